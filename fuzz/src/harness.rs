//! What the targets about roles share: whose signatures there are, the bench on which roles run, and numbers that overflow.

use decdn_engine::{ids::Address, roles::Role};
use decdn_testkit::FirstByte;

use crate::Bytes;

/// The most that one step may ask for, with the limits of these targets.
const OUTPUTS_MAX: usize = 192;
/// Far more effects than any of these worlds needs to come to rest at one instant.
const REST_MAX: usize = 40_000;

pub(crate) const CLIENT: Address = Address::repeat_byte(4);
pub(crate) const OPERATOR: Address = Address::repeat_byte(5);
pub(crate) const RIVAL: Address = Address::repeat_byte(6);
pub(crate) const STRANGER: Address = Address::repeat_byte(0xee);

const SIGNERS: FirstByte = FirstByte(&[CLIENT, OPERATOR, STRANGER, RIVAL]);

pub(crate) type Bench<R> = decdn_testkit::Bench<R, FirstByte>;

pub(crate) fn bench<R: Role + Clone>(role: R) -> Bench<R> {
    Bench::new(role, SIGNERS).with_twin().with_outputs_max(OUTPUTS_MAX)
}

/// Every table of a role is within its limit; both lists name the same tables.
pub(crate) fn check_tables(limits: &[(&str, usize)], tables: &[(&str, usize)]) {
    for ((name, held), (limited, limit)) in tables.iter().zip(limits) {
        assert_eq!(name, limited);
        assert!(held <= limit, "O11: {held} {name}, at most {limit}");
    }
    assert_eq!(tables.len(), limits.len());
}

/// Counts what is done until nothing is left to do.
pub(crate) fn rest(mut carry_out_one: impl FnMut() -> bool) {
    let count = (0..REST_MAX).take_while(|_| carry_out_one()).count();
    assert!(count < REST_MAX, "no rest: effects lead to effects for ever");
}

/// A number that the input chooses: small, or one of those that overflow.
pub(crate) fn odd(input: &mut Bytes<'_>) -> u64 {
    match input.byte() {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX / 2,
        3 => 1 << 60,
        4 => u64::MAX / 1_000_000,
        5 => 1,
        6 => u64::MAX - (1 << 14),
        small => u64::from(small) << (input.byte() % 40),
    }
}
