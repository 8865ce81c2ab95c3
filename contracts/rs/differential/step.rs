//! What a run may try: calls by several parties, most of them nearly right if whoever chooses likes.
//!
//! Parties, tokens and channels are places in the run's lists; they wrap around, so that any numbers are a step.

/// People with keys. Those at odd places begin as nodes.
pub const PARTIES: usize = 4;
/// Two test tokens, and an allow-listed address without code.
pub const TOKENS: usize = 3;

/// One thing to try.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names are those of the calls and their arguments")]
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
    OpenWithPermit {
        by: usize,
        node: usize,
        token: usize,
        deposit: u128,
        /// Until when the permit counts, from now on.
        off_secs: i64,
        permit: Ink,
    },
    /// A voucher reaches its payee, who takes it or doesn't (V1), off chain.
    Pay {
        voucher: Paper,
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
    Claim {
        by: By,
        voucher: Paper,
    },
    Finish {
        by: By,
        voucher: Paper,
    },
    Withdraw {
        by: usize,
        token: usize,
        to: usize,
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
    /// Lets time pass.
    Wait {
        secs: u64,
    },
    /// Lets time pass to a channel's deadline and so many seconds on or back.
    WaitForDeadline {
        channel: usize,
        off_secs: i64,
    },
}

/// Who calls a setting.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Owner {
    Real,
    Pretender(usize),
}

/// Who calls about a channel.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Client,
    Node,
    Party(usize),
}

/// A voucher, or the empty one.
#[derive(Clone, Debug)]
pub struct Paper {
    /// Whose channel.
    pub channel: usize,
    /// Names a channel that does not exist.
    pub is_lost: bool,
    /// What it says.
    pub content: Content,
}

/// What a voucher says.
#[derive(Clone, Debug)]
pub enum Content {
    /// The empty voucher.
    Empty,
    /// Written for this step.
    Written(Terms),
    /// One of those that the channel's payee took, or the empty one where it took none.
    Held(usize),
}

/// A voucher's terms and signature.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
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
    /// This.
    Any(u128),
}

/// How something is signed.
#[derive(Clone, Copy, Debug)]
pub enum Ink {
    /// As it should be.
    Right,
    /// By somebody else.
    By(usize),
    /// The same signature with the other `s` (I4).
    HighS,
    /// With this `v`.
    V(u8),
    /// With one byte changed.
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
