//! What has to hold of a state between two steps, by name, so that whoever runs a role can ask after each of them.

use alloc::string::String;

/// Holds, or says where it doesn't. Nothing is allocated as long as all holds.
pub type Checked = Result<(), String>;

/// An invariant that does not hold: the engine's own fault, whatever it was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// What should hold, in plain words.
    pub invariant: &'static str,
    /// Where it doesn't.
    pub place: String,
}

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({})", self.invariant, self.place)
    }
}

/// Something that holds of every `T` between two steps.
#[derive(Debug)]
pub struct Invariant<T> {
    /// In plain words: what a violation is reported by.
    pub name: &'static str,
    /// Whether it ties two structures to each other, rather than one to itself or to a limit.
    pub is_tie: bool,
    holds: fn(&T) -> Checked,
}

impl<T> Invariant<T> {
    /// Of one structure.
    pub const fn of(name: &'static str, holds: fn(&T) -> Checked) -> Self {
        Self { name, is_tie: false, holds }
    }

    /// Between two structures.
    pub const fn tie(name: &'static str, holds: fn(&T) -> Checked) -> Self {
        Self { name, is_tie: true, holds }
    }

    /// The first of them that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check_all(all: &[Self], it: &T) -> Result<(), Broken> {
        all.iter().try_for_each(|invariant| {
            (invariant.holds)(it).map_err(|place| Broken { invariant: invariant.name, place })
        })
    }
}

/// Leaves with a sentence about the place where something doesn't hold.
macro_rules! holds {
    ($holds:expr, $($place:tt)+) => {
        if !$holds {
            return Err(alloc::format!($($place)+));
        }
    };
}

pub(crate) use holds;

/// An invariant by its name, a state that it holds of, and what breaks it.
#[cfg(test)]
pub(crate) type Case<T> = (&'static str, fn() -> T, fn(&mut T));

/// Shows of each invariant that it can fail: the damaged states, handed on to `then`.
#[cfg(test)]
pub(crate) fn each_fails<T>(all: &[Invariant<T>], cases: &[Case<T>], then: impl Fn(&T)) {
    for (place, (name, live, damage)) in cases.iter().enumerate() {
        assert_eq!(
            all.get(place).map(|invariant| invariant.name),
            Some(*name),
            "one case for each, in their order"
        );
        let mut state = live();
        assert_eq!(Invariant::check_all(all, &state), Ok(()), "before it is broken: {name}");
        damage(&mut state);
        let broken = Invariant::check_all(all, &state).map_err(|broken| broken.invariant);
        assert_eq!(broken, Err(*name));
        then(&state);
    }
    assert_eq!(all.len(), cases.len(), "an invariant that was not seen to fail");
}
