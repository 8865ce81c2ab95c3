//! What accounts kept from this role, because defending it was not worth its gas or did not succeed (X2): whoever keeps more than one
//! least deposit is served no more.

use alloc::collections::BTreeMap;

use crate::{
    ids::Address,
    money::Amount,
    record::{self, Key, Record},
    state::Canonical,
};

/// Accounts that are remembered. Of more, who has kept the least is forgotten.
pub(super) const FORGONE: usize = 65_536;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Forgone {
    all: BTreeMap<(Address, Address), Amount>,
}

impl Forgone {
    /// What an account has kept of a token.
    pub fn of(&self, client: Address, token: Address) -> Amount {
        self.all.get(&(client, token)).copied().unwrap_or(Amount::ZERO)
    }

    /// After a start: what the disk says.
    pub fn recover(&mut self, record::Forgone { client, token, amount }: record::Forgone) {
        self.all.insert((client, token), amount);
    }

    /// An account keeps so much more. What is to be stored, and what is not any more.
    pub fn add(
        &mut self,
        client: Address,
        token: Address,
        more: Amount,
    ) -> impl Iterator<Item = Record> + use<> {
        let amount = self.of(client, token).checked_add(more).unwrap_or(Amount::MAX);
        let key = (client, token);
        let is_full = self.all.len() >= FORGONE && !self.all.contains_key(&key);
        let least = is_full.then(|| self.all.iter().min_by_key(|(_, amount)| **amount)).flatten();
        let least = least.map(|(key, _)| *key);
        least.map(|key| self.all.remove(&key));
        self.all.insert(key, amount);
        let gone = least.map(|(client, token)| Record::Gone(Key::Forgone(client, token)));
        [Some(Record::Forgone(record::Forgone { client, token, amount })), gone].into_iter().flatten()
    }

    /// How many accounts have kept something.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for ((client, token), amount) in &self.all {
            out.tag(b'l');
            out.bytes(client.as_slice());
            out.bytes(token.as_slice());
            out.large(amount.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o11_whoever_kept_the_least_is_forgotten_first() {
        let account = |n: usize| Address::left_padding_from(&n.to_be_bytes());
        let mut forgone = Forgone::default();
        for n in 0..FORGONE {
            assert_eq!(forgone.add(account(n), Address::ZERO, Amount(2 + n as u128)).count(), 1);
        }
        assert_eq!(forgone.add(account(7), Address::ZERO, Amount(1)).count(), 1, "it is known");
        let stored: alloc::vec::Vec<Record> =
            forgone.add(account(FORGONE), Address::ZERO, Amount(1)).collect();
        assert_eq!(stored[1], Record::Gone(Key::Forgone(account(0), Address::ZERO)));
        assert_eq!((forgone.len(), forgone.of(account(7), Address::ZERO)), (FORGONE, Amount(10)));
    }
}
