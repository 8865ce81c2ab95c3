//! What oracles say about a run: broken rules, quantities that were observed, and probes that were hit. The names that
//! scenarios use for the latter two are listed here, and nowhere else.

use crate::names::names;

names! {
    /// What is observed in a run, and what a bound may limit.
    Quantity, "quantity" {
        /// The most that an honest client paid beyond the price of the bytes it verified, each counted once, and a rounding
        /// per further channel, in base units.
        Overpaid = "overpaid",
        /// The most by which an honest client's payments stay below the price of the bytes it verified, in base units.
        Underpaid = "underpaid",
        /// The most that an honest node sent on a channel and was not paid for, in base units.
        NodeLoss = "node-loss",
        /// The same, over all channels of a run together, in base units.
        Stolen = "stolen",
        /// The longest time from an agreement to the last byte that came by it, in microseconds.
        TransferMicros = "transfer-us",
        /// Downloads that honest clients gave up.
        FailedDownloads = "failed-downloads",
        /// Faults that honest actors attributed to honest peers.
        HonestBlamed = "honest-blamed",
        /// Vouchers that honest clients signed.
        Signatures = "signatures",
        /// The most disputes that honest actors submitted about one channel.
        Disputes = "disputes",
        /// The most claims that honest actors submitted about one channel.
        Claims = "claims",
        /// Closes that honest actors submitted without the other party's consent.
        ClosedAlone = "closed-alone",
        /// The longest way of an honest actor's transaction through the sequencer, in microseconds.
        InclusionMicros = "inclusion-us",
        /// The longest way of an honest actor's transaction through the delayed inbox, in microseconds.
        InboxMicros = "inbox-us",
        /// The most bytes that a node had out on a channel and no durable voucher paid (O3).
        ExposureBytes = "exposure-bytes",
        /// The most that a client paid on a channel beyond what it verified there, in base units (O4).
        ClientLoss = "client-loss",
        /// The most by which a channel settled below what one of its honest parties held, in base units (O8).
        SettledBelow = "settled-below",
        /// What everybody who is not honest gained together, in base units (O14).
        CoalitionProfit = "coalition-profit",
        /// What its transactions took, in gas.
        CoalitionGas = "coalition-gas",
        /// What honest actors' transactions took, in gas.
        HonestGas = "honest-gas",
    }
}

names! {
    /// What a run may reach, and what a scenario may demand of a sweep.
    Probe, "probe" {
        /// A client's opening is in a block.
        ChannelOpened = "channel-opened",
        /// A client found a channel of which it has no record.
        ChannelFound = "channel-found",
        /// A node told its price.
        Quoted = "quoted",
        /// An owner agrees to an opening.
        OwnerAgreed = "owner-agreed",
        /// An owner agrees to less than it was asked for.
        OwnerAgreedToLess = "owner-agreed-to-less",
        /// An owner says no.
        OwnerDeclined = "owner-declined",
        /// An owner says no after it has said yes.
        OwnerRepented = "owner-repented",
        /// An owner does not answer.
        OwnerSilent = "owner-silent",
        /// An owner is asked once more, by a process that has started since.
        AskedAfterRestart = "asked-after-restart",
        /// An owner is asked once more, because the price has risen since it agreed.
        AskedAfterRise = "asked-after-rise",
        /// An order about money was taken: it is on record.
        OrderTaken = "order-taken",
        /// An order about money was refused.
        OrderNotTaken = "order-not-taken",
        /// An order about money was carried out.
        OrderDone = "order-done",
        /// The contract would not do what was ordered.
        OrderReverted = "order-reverted",
        /// A node claimed on a channel that stays open.
        Claimed = "claimed",
        /// A node finished a channel, without a window.
        Finished = "finished",
        /// A process starts with an order about money on record.
        RestartedWithOrder = "restarted-with-order",
        /// Content was agreed on.
        StreamStarted = "stream-started",
        /// A download is done.
        Fetched = "fetched",
        /// A node verified content of its own, and had sent some since the last time.
        BoughtWhileSelling = "bought-while-selling",
        /// A download was given up.
        FetchFailed = "fetch-failed",
        /// A download that had failed with something verified is ordered again.
        OrderedAgain = "ordered-again",
        /// A download that runs is ordered with other terms.
        Amended = "amended",
        /// A download goes on with another node.
        FailedOver = "failed-over",
        /// A node refused.
        Refused = "refused",
        /// A close below what is held was seen.
        StaleCloseSeen = "stale-close-seen",
        /// A transaction takes the forced path (X2).
        ForcedInclusion = "forced-inclusion",
        /// A dispute was seen in a block.
        DisputeSeen = "dispute-seen",
        /// A channel settled by both parties' consent.
        SettledTogether = "settled-together",
        /// A channel settled after its window.
        SettledAfterWindow = "settled-after-window",
        /// Somebody heard that a node had finished a channel of theirs.
        SettledByNode = "settled-by-node",
        /// A peer was blamed by D4.
        BlamedD4 = "blamed-D4",
        /// A peer was blamed by I3.
        BlamedI3 = "blamed-I3",
        /// A peer was blamed by V1.
        BlamedV1 = "blamed-V1",
        /// A peer was blamed by V2.
        BlamedV2 = "blamed-V2",
        /// A peer was blamed by V4.
        BlamedV4 = "blamed-V4",
        /// A peer was blamed by another rule.
        Blamed = "blamed",
        /// A peer was silent for too long (D10).
        Silence = "silence",
        /// Something failed, and nothing says by whom.
        FailedByNobody = "failed-by-nobody",
        /// A limit was hit.
        Limit = "limit",
        /// The chain did what was not expected.
        ChainSurprise = "chain-surprise",
        /// An honest actor blamed an honest peer.
        HonestBlamed = "honest-blamed",
        /// A dispute counts, by the sequencer.
        DisputeLanded = "dispute-landed",
        /// A dispute counts, by the delayed inbox.
        DisputeLandedByForce = "dispute-landed-by-force",
        /// A connection was lost.
        LinkLost = "link-lost",
        /// A channel was asked on once more.
        AskedAgain = "asked-again",
        /// A node refused a voucher.
        VoucherRejected = "voucher-rejected",
        /// A voucher did not arrive.
        VoucherLost = "voucher-lost",
        /// A process died.
        Crashed = "crashed",
        /// A process died before all that a step asked for was done.
        CrashedMidStep = "crashed-mid-step",
        /// A process lost its disk.
        Wiped = "wiped",
        /// A lifted oracle's actor lost something.
        LiftedLoss = "lifted-loss",
        /// A transaction reverted: the window is open.
        RevertWindowOpen = "revert-WindowOpen",
        /// A transaction reverted: the window is over.
        RevertWindowOver = "revert-WindowOver",
        /// A transaction reverted: the amount is no higher.
        RevertAmountNotHigher = "revert-AmountNotHigher",
        /// A transaction reverted: a signature is not the party's.
        RevertBadSignature = "revert-BadSignature",
        /// A transaction reverted: the channel is not closing.
        RevertNotClosing = "revert-NotClosing",
        /// A transaction reverted: the channel is not open.
        RevertNotOpen = "revert-NotOpen",
        /// A transaction reverted: the caller is no party.
        RevertNotParty = "revert-NotParty",
        /// A transaction reverted for another reason.
        Revert = "revert",
        /// A fork took an opening back.
        OpeningUndone = "opening-undone",
        /// A fork took a settlement back.
        SettlementUndone = "settlement-undone",
        /// A fork took a dispute back.
        DisputeUndone = "dispute-undone",
        /// An honest actor disputed a channel once more after a fork had taken a dispute back.
        DisputedAgain = "disputed-again",
        /// An honest party's process started again while its dispute was on its way through the delayed inbox.
        RestartedWhileQueued = "restarted-while-queued",
        /// An honest party's machine was suspended while a channel of its was closing.
        SuspendedInWindow = "suspended-in-window",
        /// An honest party's wall clock was wrong while a channel of its was closing.
        ClockWrongInWindow = "clock-wrong-in-window",
        /// An honest party heard of a head with a wrong time while a channel of its was open.
        HeadOffWhileOpen = "head-off-while-open",
        /// An honest party was told of a head without the logs up to it, while a channel of its was closing.
        LogsMissedInWindow = "logs-missed-in-window",
        /// An endpoint of an honest party's was silent or wrong while a channel of its was open.
        EndpointWrongWhileOpen = "endpoint-wrong-while-open",
        /// An endpoint of an honest party's was silent or wrong while a channel of its was closing.
        EndpointWrongInWindow = "endpoint-wrong-in-window",
        /// No two endpoints of an honest party's agreed while a channel of its was open or closing.
        EndpointsApart = "endpoints-apart",
        /// What an honest party handed to the sequencer was lost while a channel of its was closing.
        LostInWindow = "lost-in-window",
        /// The delayed inbox took nothing of an honest party's while a channel of its was closing.
        InboxMissingInWindow = "inbox-missing-in-window",
        /// An honest party could not pay for a transaction while a channel of its was closing.
        UnpaidInWindow = "unpaid-in-window",
        /// An honest party's transaction ran out of gas, or was refused for it, while a channel of its was closing.
        OutOfGasInWindow = "out-of-gas-in-window",
        /// An honest party bid more for what waited while a channel of its was closing.
        RaisedInWindow = "raised-in-window",
        /// An honest party gave up a transaction that nobody took while a channel of its was closing.
        GivenUpInWindow = "given-up-in-window",
        /// A transaction of an honest party's came into a block by the sequencer while a dispute of its waited in the delayed inbox.
        BusinessWhileQueued = "business-while-queued",
    }
}

/// A rule that was broken.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// The oracle that noticed, `O3`; `bound` or `probe` for what a scenario demands by itself.
    pub oracle: String,
    /// The rule, bound or probe.
    pub rule: String,
    /// What happened, to whom, when: one sentence.
    pub text: String,
}

/// An observed value beside its limit.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Bound {
    /// Its name in the scenario.
    pub name: String,
    /// The largest value seen.
    pub observed: u64,
    /// What it may be at most.
    pub limit: u64,
}

/// What a run's oracles have found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Broken rules, oldest first; at most [`Report::VIOLATIONS`] are kept.
    pub violations: Vec<Violation>,
    probes: [u64; Probe::ALL.len()],
    observed: [Option<u64>; Quantity::ALL.len()],
    is_hopeless: bool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            violations: Vec::new(),
            probes: [0; Probe::ALL.len()],
            observed: [None; Quantity::ALL.len()],
            is_hopeless: false,
        }
    }
}

impl Report {
    /// The most violations that one run keeps: the first ones say what went wrong.
    pub const VIOLATIONS: usize = 32;

    /// A rule was broken. `text` is made only if there is room for it.
    pub fn violation(&mut self, oracle: &str, rule: &str, text: impl FnOnce() -> String) {
        if self.violations.len() < Self::VIOLATIONS {
            self.violations.push(Violation {
                oracle: oracle.to_owned(),
                rule: rule.to_owned(),
                text: text(),
            });
        }
    }

    /// Somebody spins: the run would only go on as it is, so it ends here.
    pub fn give_up(&mut self) {
        self.is_hopeless = true;
    }

    /// Whether an oracle gave up.
    pub fn is_hopeless(&self) -> bool {
        self.is_hopeless
    }

    /// Something that a sweep should reach was reached.
    pub fn probe(&mut self, probe: Probe) {
        self.probes[probe as usize] += 1;
    }

    /// A quantity that scenarios may bound was this large: the largest observation counts.
    pub fn observe(&mut self, quantity: Quantity, value: u64) {
        let largest = &mut self.observed[quantity as usize];
        *largest = Some(largest.map_or(value, |largest| largest.max(value)));
    }

    /// The probes that were hit, with how often.
    pub fn probes(&self) -> impl Iterator<Item = (Probe, u64)> {
        let all = Probe::ALL.iter().map(|probe| (*probe, self.probe_count(*probe)));
        all.filter(|(_, count)| *count > 0)
    }

    /// How often a probe was hit.
    pub fn probe_count(&self, probe: Probe) -> u64 {
        self.probes[probe as usize]
    }

    /// The largest observation of a quantity, if there was one.
    pub fn observed(&self, quantity: Quantity) -> Option<u64> {
        self.observed[quantity as usize]
    }
}
