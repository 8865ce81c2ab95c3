//! What goes on, for whoever asks.

use std::{env, sync::OnceLock};

/// Says it, if it is to be said: with `DECDN_TELL=1` in front of a test or a fuzz target.
pub fn tell(what: impl FnOnce() -> String) {
    static IS_TOLD: OnceLock<bool> = OnceLock::new();
    if *IS_TOLD.get_or_init(|| env::var_os("DECDN_TELL").is_some()) {
        eprintln!("{}", what());
    }
}
