//! A client that pays as it should, then closes as if it never had, and tries to settle before anybody looks (C1,
//! C3).

use super::{exit::Lie, payer::Ploy};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct StaleCloser;

impl Ploy for StaleCloser {
    const LIE: Lie = Lie::Empty;
}
