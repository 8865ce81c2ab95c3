//! Branches of a chain: what happens to some channels in its blocks. Tests of each role tell them in that role's words.

use proptest::prelude::*;

/// What is held of a channel that was paid on.
pub const HELD: u128 = 700;

/// What can happen to a channel, of so many units.
#[derive(Clone, Copy, Debug)]
pub enum Deed {
    Open(u128),
    Close(u128),
    Dispute(u128),
    Settle,
}

use Deed::{Close, Dispute, Open, Settle};

/// In which block, to which channel.
pub type Deeds = Vec<(u64, u8, Deed)>;

/// One branch's deeds, in its first ten blocks, about five channels from this one on.
pub fn deeds(first_block: u64, first: u8) -> impl Strategy<Value = Deeds> {
    let deed = prop_oneof![
        (1_u128..9).prop_map(Open),
        (0_u128..2 * HELD).prop_map(Close),
        (1_u128..2 * HELD).prop_map(Dispute),
        Just(Settle),
    ];
    let deed = (first_block..first_block + 10, first..first + 5, deed);
    prop::collection::vec(deed, 0..12).prop_map(|mut deeds| {
        deeds.sort_by_key(|(block, ..)| *block);
        deeds
    })
}

/// What of these a contract can say after the trunk, where these channels are open before it: a channel opens once, before all
/// else, and nothing comes after its settlement.
pub fn sensible(open: &[u8], trunk: &[(u64, u8, Deed)], deeds: &[(u64, u8, Deed)]) -> Deeds {
    let (mut opened, mut closing, mut settled) = (open.to_vec(), vec![], vec![]);
    let mut kept = Vec::new();
    for (place, deed) in trunk.iter().chain(deeds).enumerate() {
        let (_, n, what) = deed;
        let is_live = opened.contains(n) && !settled.contains(n);
        let list = match what {
            Open(_) if !opened.contains(n) => &mut opened,
            Close(_) if is_live && !closing.contains(n) => &mut closing,
            Settle if is_live => &mut settled,
            Dispute(_) if is_live && closing.contains(n) => &mut closing,
            _ => continue,
        };
        list.push(*n);
        if place >= trunk.len() {
            kept.push(*deed);
        }
    }
    kept
}
