//! Messages as the bridge's and the inbox's events tell of them.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_rpc_types_eth::{Filter, Log};
use alloy_sol_types::SolEvent;

use super::abi::{Bridge, Inbox, SequencerInbox};

/// The kind of a message that is a retryable ticket.
const TICKET: u8 = 9;
/// How far an account's alias on the L2 is from its address on the L1.
const ALIAS: U256 = U256::from_limbs([0x1111, 0, 0x1111_0000, 0]);
/// The words before a ticket's data.
const HEAD_WORDS: usize = 9;

/// A message that waits in the delayed inbox, or did: all that forcing it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its number.
    pub number: u64,
    /// Its block on the L1.
    pub block: u64,
    /// That block's time, in seconds.
    pub at: u64,
    kind: u8,
    sender: Address,
    base_fee: U256,
    data_hash: B256,
}

/// What a retryable ticket calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Retryable {
    pub(super) to: Address,
    pub(super) data: Vec<u8>,
}

/// Every message of a bridge.
pub(super) fn of_bridge(bridge: Address) -> Filter {
    Filter::new().address(bridge).event_signature(Bridge::MessageDelivered::SIGNATURE_HASH)
}

/// Whom the L2 takes an account of the L1 for.
pub(super) fn alias(account: Address) -> Address {
    let sum = U256::from_be_slice(account.as_slice()).wrapping_add(ALIAS);
    Address::from_slice(&sum.to_be_bytes::<32>()[12..])
}

impl Message {
    /// Reads the bridge's event.
    pub(super) fn read(log: &Log, bridge: Address) -> Option<Self> {
        if log.address() != bridge || log.removed {
            return None;
        }
        let event = Bridge::MessageDelivered::decode_log(&log.inner).ok()?.data;
        Some(Self {
            number: event.messageIndex.try_into().ok()?,
            block: log.block_number?,
            at: event.timestamp,
            kind: event.kind,
            sender: event.sender,
            base_fee: event.baseFeeL1,
            data_hash: event.messageDataHash,
        })
    }

    /// Whether it is a retryable ticket of this account of the L1.
    pub(super) fn is_ticket_of(&self, account: Address) -> bool {
        self.kind == TICKET && self.sender == alias(account)
    }

    /// Where the inbox tells its content.
    pub(super) fn content(&self, inbox: Address) -> Filter {
        let filter =
            Filter::new().address(inbox).event_signature(Inbox::InboxMessageDelivered::SIGNATURE_HASH);
        filter.topic1(B256::from(U256::from(self.number))).from_block(self.block).to_block(self.block)
    }

    /// The ticket that a log of the inbox says it is. What the bridge has the hash of, nobody can lie about.
    pub(super) fn retryable(&self, log: &Log) -> Option<Retryable> {
        let event = Inbox::InboxMessageDelivered::decode_log(&log.inner).ok()?.data;
        if keccak256(&event.data) != self.data_hash {
            return None;
        }
        let (head, data) = event.data.split_at_checked(HEAD_WORDS * 32)?;
        let word = |at: usize| U256::from_be_slice(&head[at * 32..][..32]);
        let is_whole = word(HEAD_WORDS - 1) == U256::from(data.len());
        let to = Address::from_slice(&word(0).to_be_bytes::<32>()[12..]);
        is_whole.then(|| Retryable { to, data: data.to_vec() })
    }

    /// The call that forces it.
    pub(super) fn forcing(&self) -> SequencerInbox::forceInclusionCall {
        SequencerInbox::forceInclusionCall {
            totalDelayedMessagesRead: U256::from(self.number) + U256::ONE,
            kind: self.kind,
            l1BlockAndTime: [self.block, self.at],
            baseFeeL1: self.base_fee,
            sender: self.sender,
            messageDataHash: self.data_hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Bytes, Log as Event, address};

    use super::*;

    const BRIDGE: Address = Address::repeat_byte(3);
    const INBOX: Address = Address::repeat_byte(4);

    fn log(from: Address, event: &impl SolEvent) -> Log {
        let inner = Event { address: from, data: event.encode_log_data() };
        Log { inner, block_number: Some(7), ..Log::default() }
    }

    fn content(to: Address, data: &[u8], length: u64) -> Bytes {
        let mut words = [U256::from(5); HEAD_WORDS];
        (words[0], words[HEAD_WORDS - 1]) = (U256::from_be_slice(to.as_slice()), U256::from(length));
        words.iter().flat_map(U256::to_be_bytes::<32>).chain(data.iter().copied()).collect::<Vec<_>>().into()
    }

    fn delivered(content: &[u8]) -> Bridge::MessageDelivered {
        Bridge::MessageDelivered {
            messageIndex: U256::from(9),
            beforeInboxAcc: B256::ZERO,
            inbox: INBOX,
            kind: TICKET,
            sender: alias(INBOX),
            messageDataHash: keccak256(content),
            baseFeeL1: U256::from(1),
            timestamp: 2,
        }
    }

    #[test]
    fn l2_the_alias_is_the_account_and_a_fixed_distance() {
        assert_eq!(alias(Address::ZERO), address!("1111000000000000000000000000000000001111"));
        assert_eq!(alias(Address::repeat_byte(0xff)), address!("1111000000000000000000000000000000001110"));
    }

    #[test]
    fn l4_a_message_is_read_only_from_its_bridge_and_its_content_only_where_the_hash_agrees() {
        let to = Address::repeat_byte(6);
        let good = content(to, b"call", 4);
        let message = Message::read(&log(BRIDGE, &delivered(&good)), BRIDGE).expect("a message");
        assert_eq!((message.number, message.block, message.at), (9, 7, 2));
        assert!(message.is_ticket_of(INBOX) && !message.is_ticket_of(BRIDGE));
        assert_eq!(Message::read(&log(INBOX, &delivered(&good)), BRIDGE), None);
        assert_eq!(Message::read(&Log::default(), BRIDGE), None);
        let mut far = delivered(&good);
        far.messageIndex = U256::MAX;
        assert_eq!(Message::read(&log(BRIDGE, &far), BRIDGE), None);

        let tells = |content: &Bytes, message: &Message| {
            let event = Inbox::InboxMessageDelivered { messageNum: U256::from(9), data: content.clone() };
            message.retryable(&log(INBOX, &event))
        };
        assert_eq!(tells(&good, &message), Some(Retryable { to, data: b"call".to_vec() }));
        assert_eq!(tells(&content(to, b"fall", 4), &message), None, "another content");
        for bad in
            [content(to, b"call", 5), content(to, b"call", 3), Bytes::from(vec![0; 9 * 32 - 1]), Bytes::new()]
        {
            let message = Message::read(&log(BRIDGE, &delivered(&bad)), BRIDGE).expect("a message");
            assert_eq!(tells(&bad, &message), None, "no ticket");
        }
    }
}
