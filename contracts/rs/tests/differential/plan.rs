//! What a run tries: calls by several parties, most of them nearly right.

use proptest::prelude::*;

pub const PARTIES: usize = 4;
pub const TOKENS: usize = 3;

/// One thing to try. Parties, tokens and channels are places in the run's lists; they wrap around.
#[derive(Clone, Debug)]
pub enum Step {
    Mint {
        token: usize,
        to: usize,
        amount: u128,
    },
    Transfer {
        by: usize,
        token: usize,
        to: usize,
        amount: u128,
    },
    SetNode {
        by: Owner,
        who: usize,
        active: bool,
    },
    AllowToken {
        by: Owner,
        token: usize,
        allowed: bool,
    },
    SetWindow {
        by: Owner,
        secs: u64,
    },
    Pause {
        by: Owner,
        paused: bool,
    },
    Approve {
        by: usize,
        token: usize,
        amount: u128,
    },
    Open {
        by: usize,
        node: usize,
        token: usize,
        deposit: u128,
    },
    Close {
        by: By,
        voucher: Paper,
    },
    Dispute {
        by: By,
        voucher: Paper,
    },
    Settle {
        by: By,
        channel: usize,
    },
    CloseCooperatively {
        by: By,
        voucher: Paper,
        consent: Consent,
    },
    Withdraw {
        by: usize,
        token: usize,
    },
    ForceClose {
        by: By,
        channel: usize,
    },
    /// A party's account becomes a wallet that takes another party's signatures, or nobody's.
    Delegate {
        by: usize,
        trusted: usize,
    },
    /// Lets time pass, as seconds, or to a channel's deadline and so many seconds on or back.
    Wait {
        secs: u64,
    },
    WaitForDeadline {
        channel: usize,
        off_secs: i64,
    },
}

/// Who calls a setting.
#[derive(Clone, Copy, Debug)]
pub enum Owner {
    Real,
    Pretender(usize),
}

/// Who calls about a channel.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Client,
    Node,
    Party(usize),
}

/// A voucher, or the empty one.
#[derive(Clone, Debug)]
pub struct Paper {
    pub channel: usize,
    /// Names a channel that does not exist.
    pub is_lost: bool,
    /// `None` for the empty voucher.
    pub terms: Option<Terms>,
}

#[derive(Clone, Debug)]
pub struct Terms {
    pub amount: Sum,
    pub nonce: u64,
    /// Another token than the channel's.
    pub token: Option<usize>,
    pub signature: Ink,
}

/// An amount in terms of the channel.
#[derive(Clone, Copy, Debug)]
pub enum Sum {
    /// This many 256ths of the deposit.
    Part(u8),
    /// Beside the recorded amount.
    Recorded(i8),
    /// Beside the deposit.
    Deposit(i8),
    Any(u128),
}

/// How something is signed.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    Right,
    By(usize),
    /// The same signature with the other `s` (I4).
    HighS,
    V(u8),
    Noise(u8),
    /// Of terms whose amount is one unit off.
    OtherAmount,
}

/// What the node signs.
#[derive(Clone, Copy, Debug)]
pub enum Consent {
    /// The voucher's terms.
    Same(Ink),
    /// The amount as the contract caps it, where it is above the deposit (C4 wants it uncapped).
    Capped,
    /// A voucher instead of a consent.
    AsVoucher,
}

fn ink() -> impl Strategy<Value = Ink> {
    prop_oneof![
        12 => Just(Ink::Right),
        1 => (0..PARTIES).prop_map(Ink::By),
        1 => Just(Ink::HighS),
        1 => any::<u8>().prop_map(Ink::V),
        1 => any::<u8>().prop_map(Ink::Noise),
        1 => Just(Ink::OtherAmount),
    ]
}

fn sum() -> impl Strategy<Value = Sum> {
    prop_oneof![
        5 => any::<u8>().prop_map(Sum::Part),
        2 => (-1..=1i8).prop_map(Sum::Recorded),
        2 => (-1..=1i8).prop_map(Sum::Deposit),
        1 => prop_oneof![any::<u128>(), Just(u128::MAX)].prop_map(Sum::Any),
    ]
}

fn paper() -> impl Strategy<Value = Paper> {
    let nonce = prop_oneof![6 => 0..6u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let token = prop_oneof![9 => Just(None), 1 => (0..TOKENS).prop_map(Some)];
    let terms = (sum(), nonce, token, ink()).prop_map(|(amount, nonce, token, signature)| Terms {
        amount,
        nonce,
        token,
        signature,
    });
    let terms = prop_oneof![1 => Just(None), 5 => terms.prop_map(Some)];
    (any::<usize>(), prop::bool::weighted(0.03), terms).prop_map(|(channel, is_lost, terms)| Paper {
        channel,
        is_lost,
        terms,
    })
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![4 => Just(By::Client), 4 => Just(By::Node), 2 => (0..PARTIES).prop_map(By::Party)]
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![9 => Just(Owner::Real), 1 => (0..PARTIES).prop_map(Owner::Pretender)]
}

fn money() -> impl Strategy<Value = u128> {
    prop_oneof![16 => 0..2_000u128, 1 => Just(0), 2 => Just(u128::MAX), 2 => any::<u128>()]
}

/// One step.
pub fn step() -> impl Strategy<Value = Step> {
    let (party, token) = (0..PARTIES, 0..TOKENS);
    let hours = prop_oneof![Just(0), Just(43_199), 43_200..=259_200u64, Just(259_201), any::<u64>()];
    let consent = prop_oneof![8 => ink().prop_map(Consent::Same), 1 => Just(Consent::Capped), 1 => Just(Consent::AsVoucher)];
    let setup = prop_oneof![
        (token.clone(), 0..=PARTIES, money()).prop_map(|(token, to, amount)| Step::Mint {
            token,
            to,
            amount
        }),
        (party.clone(), token.clone(), 0..=PARTIES, money())
            .prop_map(|(by, token, to, amount)| Step::Transfer { by, token, to, amount }),
        (owner(), 0..=PARTIES, any::<bool>()).prop_map(|(by, who, active)| Step::SetNode { by, who, active }),
        (owner(), token.clone(), any::<bool>()).prop_map(|(by, token, allowed)| Step::AllowToken {
            by,
            token,
            allowed
        }),
        (owner(), hours).prop_map(|(by, secs)| Step::SetWindow { by, secs }),
        (owner(), prop::bool::weighted(0.3)).prop_map(|(by, paused)| Step::Pause { by, paused }),
        (party.clone(), token.clone(), money()).prop_map(|(by, token, amount)| Step::Approve {
            by,
            token,
            amount
        }),
    ];
    let open_token = prop_oneof![8 => Just(0), 2 => token.clone()];
    prop_oneof![
        2 => setup,
        4 => (party.clone(), party.clone(), open_token, money())
            .prop_map(|(by, node, token, deposit)| Step::Open { by, node, token, deposit }),
        5 => (by(), paper()).prop_map(|(by, voucher)| Step::Close { by, voucher }),
        5 => (by(), paper()).prop_map(|(by, voucher)| Step::Dispute { by, voucher }),
        3 => (by(), any::<usize>()).prop_map(|(by, channel)| Step::Settle { by, channel }),
        4 => (by(), paper(), consent)
            .prop_map(|(by, voucher, consent)| Step::CloseCooperatively { by, voucher, consent }),
        1 => (party.clone(), token).prop_map(|(by, token)| Step::Withdraw { by, token }),
        2 => (by(), any::<usize>()).prop_map(|(by, channel)| Step::ForceClose { by, channel }),
        1 => (party, 0..=PARTIES).prop_map(|(by, trusted)| Step::Delegate { by, trusted }),
        1 => (0..300_000u64).prop_map(|secs| Step::Wait { secs }),
        2 => (any::<usize>(), -1..=1i64).prop_map(|(channel, off_secs)| Step::WaitForDeadline { channel, off_secs }),
    ]
}
