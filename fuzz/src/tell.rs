//! What an execution does, for whoever asks: `DECDN_FUZZ_TELL=1` in front of a target, or of the test that replays the corpus.

use std::{env, sync::OnceLock};

/// Says it, if it is to be said.
pub(crate) fn tell(what: impl FnOnce() -> String) {
    static IS_TOLD: OnceLock<bool> = OnceLock::new();
    if *IS_TOLD.get_or_init(|| env::var_os("DECDN_FUZZ_TELL").is_some()) {
        eprintln!("{}", what());
    }
}
