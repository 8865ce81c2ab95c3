//! What an execution reached: the only guidance that the mutating loop has, since nothing is instrumented.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
};

thread_local! {
    static REACHED: RefCell<BTreeSet<u64>> = const { RefCell::new(BTreeSet::new()) };
}

thread_local! {
    static IS_TOLD: Cell<bool> = const { Cell::new(false) };
}

/// Whether executions on this thread say what they do.
pub fn tell(is_told: bool) {
    IS_TOLD.set(is_told);
}

/// Says it, if it is to be said.
pub(crate) fn say(what: impl FnOnce() -> String) {
    if IS_TOLD.get() {
        eprintln!("{}", what());
    }
}

/// Notes that something was reached; equal things count once.
pub(crate) fn hit(what: impl Hash) {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    REACHED.with_borrow_mut(|reached| reached.insert(hasher.finish()));
}

/// What this thread's executions reached since this was last asked.
pub fn reached() -> BTreeSet<u64> {
    REACHED.take()
}
