//! Names that scenarios use and programs look up. Each kind is one list of its own type: nothing can be reported under a
//! name that no scenario could ask for, and a scenario that asks for a name that is not on the list is refused.

use std::fmt;

use serde::{Deserializer, de};

/// A closed list of names as an enum.
macro_rules! names {
    ($(#[$meta:meta])* $type:ident, $what:literal { $($(#[$doc:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $type { $($(#[$doc])* $name,)* }

        impl $type {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in scenarios.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::names::one_of(deserializer, $what, Self::ALL, |known| known.name()).copied()
            }
        }
    };
}
pub(crate) use names;

/// Reads the name of something that is on a list.
///
/// # Errors
/// Where it isn't, with those that are.
pub fn one_of<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
    all: &'static [T],
    name: fn(&T) -> &str,
) -> Result<&'static T, D::Error> {
    deserializer.deserialize_str(OneOf { what, all, name })
}

struct OneOf<T: 'static> {
    what: &'static str,
    all: &'static [T],
    name: fn(&T) -> &str,
}

impl<T> de::Visitor<'_> for OneOf<T> {
    type Value = &'static T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of an {} as a string", self.what)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let found = self.all.iter().find(|known| (self.name)(known) == text);
        found.ok_or_else(|| E::custom(unknown(self.what, text, self.all.iter().map(self.name))))
    }
}

/// The clause that says that there is no such name, which one is nearest, and which there are.
pub fn unknown<'a>(what: &str, text: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let none = format!("there is no {what} {text:?}");
    let nearest = known.iter().map(|name| (distance(text, name), name)).min();
    match nearest {
        None => format!("{none}, nor any other"),
        Some((far, name)) if far <= 1 + text.chars().count() / 3 => {
            format!("{none}, the nearest is {name:?}; there are {}", known.join(", "))
        }
        Some(_) => format!("{none}; there are {}", known.join(", ")),
    }
}

/// How many letters have to be put in, left out or changed to make one name of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in other.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_only_where_one_is_near() {
        let known = || ["fetched", "fetch-failed", "crashed"].into_iter();
        let error = unknown("probe", "fetchd", known());
        assert_eq!(
            error,
            "there is no probe \"fetchd\", the nearest is \"fetched\"; there are fetched, fetch-failed, crashed"
        );
        assert!(!unknown("probe", "settled-together", known()).contains("nearest"));
        assert_eq!(unknown("actor", "node", std::iter::empty()), "there is no actor \"node\", nor any other");
    }

    #[test]
    fn distances_are_of_letters() {
        for (one, other, far) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acc", 1),
            ("abc", "bc", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!((distance(one, other), distance(other, one)), (far, far), "{one} {other}");
        }
    }
}
