//! Each oracle against stories made by hand: one that keeps its rule, at which it is silent, and ones that break it,
//! at which it names the rule. What no role does any more is here all the same.

mod story;

use decdn_engine::{
    chain::{
        self, Route,
        channel::{Call, Revert},
        token,
    },
    crypto::{Signature, Typed},
    fault::{Fault, Proof, Rule},
    ids::{Address, ConnId, FetchId, StreamId, TxTicket},
    io::{Effect, FetchFailure, Input, Notice, Output},
    limits::GROUP,
    money::{Amount, Nonce, Rate},
    order::{Candidate, FetchOrder},
    record::{FetchRecord, Key, Record},
    time::{ChainTime, Span},
    wire::{
        ClientMessage, CloseRequest, Code, Message, ProbeMessage, ProbeResponse, Protocol, StreamRequest,
    },
};
use decdn_sim::{
    check::{Liftable, Lifted, o13_same::differ},
    decide::Decisions,
    run::run,
    rung::Rung,
    scenario::parse,
    seen::{ChainView as _, OnChain, OnChainStatus, Seen},
};
use story::*;

#[test]
fn o1_what_is_held_is_what_was_minted_and_what_is_owed_to_channels() {
    let mut story = Story::of("O1");
    story.open(CLIENT, NODE).block().close(CLIENT, channel(CLIENT, NODE), 1, 10);
    story.settle(NODE, channel(CLIENT, NODE)).block().end().is_silent();
    // A unit out of nothing.
    let mut story = Story::of("O1");
    *story.books.balances.entry(account(THIEF)).or_default() += 1;
    story.block().names("O1");
    // A unit of a deposit.
    let mut story = Story::of("O1");
    story.open(CLIENT, NODE);
    let escrow = *story.books.holders().last().expect("somebody holds");
    story.move_money(escrow, account(THIEF), 1).block().names("C3");
}

#[test]
fn o2_a_channel_pays_what_is_recorded_and_pays_once() {
    let id = channel(CLIENT, NODE);
    let settled = || {
        let mut story = Story::of("O2");
        story.open(CLIENT, NODE).close(CLIENT, id, 1, 10).settle(NODE, id);
        story
    };
    settled().block().is_silent();
    // The node's money at the client's.
    settled().move_money(account(NODE), account(CLIENT), 1).block().names("C3");
    // Once more.
    let mut story = settled();
    let after = story.books.channel(id).expect("opened");
    story.tx(NODE, Call::Settle { channel: id }, after, Odd::default()).names("C3");
}

fn close_request(client: decdn_sim::actor::ActorId) -> Message {
    let channel = channel(client, NODE);
    Message::Client(ClientMessage::CloseRequest(CloseRequest { channel, voucher: None, auth: None }))
}

fn consent() -> Message {
    Message::Client(ClientMessage::CloseConsent(Signature([9; 65])))
}

#[test]
fn o3_a_node_sends_one_offer_ahead_of_what_is_durably_paid() {
    let sold = || {
        let mut story = Story::of("O3");
        story.open(CLIENT, NODE).agree(CLIENT, NODE, 0).sends((NODE, CLIENT), 0, 0, OFFER);
        story
    };
    let paid = earning(CLIENT, NODE, 1, OFFER.into());
    sold().durable(NODE, paid.clone()).sends((NODE, CLIENT), 0, OFFER, OFFER).end().is_silent();
    sold().sends((NODE, CLIENT), 0, OFFER, GROUP).names("D8");
    // Paid, but not on the disk.
    sold().write(NODE, paid).sends((NODE, CLIENT), 0, OFFER, GROUP).names("D8");
    // What the deposit does not cover.
    let mut story = sold();
    for nth in 1..=DEPOSIT as u64 / OFFER {
        let all = nth * OFFER;
        story.durable(NODE, earning(CLIENT, NODE, nth, all.into()));
        story.sends((NODE, CLIENT), 0, all, OFFER);
    }
    story.names("V4");
}

#[test]
fn o3_a_node_serves_a_channels_own_client_until_it_consents_to_its_end() {
    let mut story = Story::of("O3");
    story.open(CLIENT, NODE).says(THIEF, NODE, 0, request(CLIENT, NODE)).says(NODE, THIEF, 0, response());
    story.sends((NODE, THIEF), 0, 0, GROUP).names("I3");
    let mut story = Story::of("O3");
    story.open(CLIENT, NODE).says(THIEF, NODE, 0, close_request(CLIENT)).says(NODE, THIEF, 0, consent());
    story.names("I3");
    let mut story = Story::of("O3");
    story.open(CLIENT, NODE).agree(CLIENT, NODE, 0);
    story.says(CLIENT, NODE, 1, close_request(CLIENT)).says(NODE, CLIENT, 1, consent()).is_silent();
    story.sends((NODE, CLIENT), 0, 0, GROUP).names("V7");
}

#[test]
fn o3_who_is_done_with_buying_is_not_done_with_selling() {
    let mut story = Story::of("O3");
    story.open(TRADER, NODE).agree(TRADER, NODE, 0);
    // The node has not heard of it, and goes on by its offer.
    story.see(Seen::StreamOver { actor: TRADER, pipe: pipe(TRADER, NODE, 0) });
    story.sends((NODE, TRADER), 0, 0, GROUP);
    story.open(CLIENT, TRADER).agree(CLIENT, TRADER, 0).sends((TRADER, CLIENT), 0, 0, OFFER);
    story.durable(TRADER, paying(TRADER, NODE, 1, GROUP.into())).is_silent();
    // What it pays for its own purchase pays nothing of what it sells.
    story.sends((TRADER, CLIENT), 0, OFFER, GROUP).names("D8");
}

#[test]
fn o4_a_node_that_buys_pays_for_what_it_verified_and_not_for_what_it_sold() {
    let id = channel(TRADER, NODE);
    let bought = || {
        let mut story = Story::of("O4");
        story.open(CLIENT, TRADER).agree(CLIENT, TRADER, 0).gets((CLIENT, TRADER), 0, 0, OFFER);
        story.open(TRADER, NODE).agree(TRADER, NODE, 0).gets((TRADER, NODE), 0, 0, GROUP);
        story
    };
    bought().signed(TRADER, terms(id, 1, GROUP.into())).is_silent();
    bought().signed(TRADER, terms(id, 1, u128::from(GROUP) + 1)).names("D5");
    // It is paid on this one.
    bought().signed(TRADER, terms(channel(CLIENT, TRADER), 1, 1)).names("V1");
}

#[test]
fn o4_a_client_pays_for_each_verified_byte_once_and_for_nothing_else() {
    let id = channel(CLIENT, NODE);
    let group = u128::from(GROUP);
    let bought = || {
        let mut story = Story::of("O4");
        story.open(CLIENT, NODE).agree(CLIENT, NODE, 0).gets((CLIENT, NODE), 0, 0, GROUP);
        story
    };
    let mut story = bought();
    story.signed(CLIENT, terms(id, 1, group)).close(CLIENT, id, 1, group).settle(CLIENT, id).is_silent();
    bought().signed(CLIENT, terms(id, 1, group + 1)).names("D5");
    bought().signed(CLIENT, terms(id, 1, DEPOSIT + 1)).names("V1");
    // The same group twice.
    bought().gets((CLIENT, NODE), 0, 0, GROUP).signed(CLIENT, terms(id, 1, 2 * group)).names("D14");
    // More on chain than was verified, whoever signed for it; and less, though the node is honest.
    bought().close(NODE, id, 1, group + 1).settle(NODE, id).names("D9");
    bought().close(CLIENT, id, 1, group - 1).settle(CLIENT, id).names("D6");
}

#[test]
fn o4_what_is_on_disk_as_verified_is_neither_forgotten_nor_asked_for_again() {
    let record = |verified_bytes| FetchRecord { order: order(), verified_bytes, total_bytes: None };
    let ask = |offset_bytes| match request(CLIENT, NODE) {
        Message::Client(ClientMessage::StreamRequest(request)) => {
            Message::Client(ClientMessage::StreamRequest(StreamRequest { offset_bytes, ..request }))
        }
        other => other,
    };
    let told = |notice| [role(Effect::Notice(notice))];
    let failed = |why| told(Notice::FetchFailed { fetch: FetchId(1), why });
    let fetch = Input::Fetch(order());
    let begun = || {
        let mut story = Story::of("O4");
        story.open(CLIENT, NODE).step(CLIENT, &fetch, &[]);
        story.durable(CLIENT, Record::Fetch(record(0))).durable(CLIENT, Record::Fetch(record(2 * GROUP)));
        story
    };
    begun().says(CLIENT, NODE, 0, ask(2 * GROUP)).is_silent();
    begun().says(CLIENT, NODE, 0, ask(GROUP)).names("D17");
    begun().durable(CLIENT, Record::Fetch(record(GROUP))).names("D17");
    begun()
        .crash(CLIENT, &[Record::Fetch(record(3 * GROUP))])
        .says(CLIENT, NODE, 0, ask(2 * GROUP))
        .names("D17");
    begun().wipe(CLIENT).step(CLIENT, &fetch, &[]).says(CLIENT, NODE, 0, ask(0)).is_silent();
    let gone = Record::Gone(Key::Fetch(FetchId(1)));
    let fail = |why| {
        let mut story = begun();
        story.step(CLIENT, &Input::Tick, &failed(why));
        story
    };
    fail(FetchFailure::NoCandidateLeft).durable(CLIENT, gone.clone()).names("D17");
    let mut given_up = fail(FetchFailure::Cancelled);
    given_up
        .durable(CLIENT, gone.clone())
        .step(CLIENT, &fetch, &[])
        .says(CLIENT, NODE, 0, ask(0))
        .is_silent();
    let mut forgotten = fail(FetchFailure::NoCandidateLeft);
    let notice = Notice::Forgotten { fetch: FetchId(1), verified_bytes: 2 * GROUP };
    forgotten.step(CLIENT, &Input::Tick, &told(notice)).durable(CLIENT, gone).is_silent();
    let kept = || {
        let mut story = fail(FetchFailure::NoCandidateLeft);
        story.durable(CLIENT, Record::Kept(record(2 * GROUP))).step(CLIENT, &fetch, &[]);
        story
    };
    kept().says(CLIENT, NODE, 0, ask(2 * GROUP)).is_silent();
    kept().says(CLIENT, NODE, 0, ask(0)).names("D17");
}

#[test]
fn o4_a_loss_is_lifted_for_whom_the_scenario_names_up_to_what_it_says() {
    let id = channel(CLIENT, NODE);
    let lose = |loss| {
        let lifted = Lifted { oracle: Liftable::O4, actor: CLIENT, loss: Amount(5) };
        let mut story = Story::told("O4", "0", Some(lifted));
        story.open(CLIENT, NODE).close(NODE, id, 1, loss).settle(NODE, id);
        story
    };
    lose(5).is_silent();
    lose(6).names("D9");
}

#[test]
fn o5_nonces_and_amounts_rise_together_and_nothing_taken_is_forgotten() {
    let id = channel(CLIENT, NODE);
    let signed = || {
        let mut story = Story::of("O5");
        story.open(CLIENT, NODE).signed(CLIENT, terms(id, 1, 10)).signed(CLIENT, terms(id, 2, 20));
        story
    };
    let best = |nonce, amount| earning(CLIENT, NODE, nonce, amount);
    let mut story = signed();
    story.durable(NODE, best(1, 10)).durable(NODE, best(2, 20)).crash(NODE, &[best(2, 20)]);
    story.close(CLIENT, id, 1, 10).dispute(NODE, id, 2, 20).is_silent();
    signed().signed(CLIENT, terms(id, 2, 21)).names("V3");
    signed().signed(CLIENT, terms(id, 3, 19)).names("V1");
    // The node takes what nobody signed, what falls, and forgets.
    signed().durable(NODE, best(3, 30)).names("V1");
    signed().durable(NODE, best(2, 20)).durable(NODE, best(1, 10)).names("V1");
    signed().durable(NODE, best(2, 20)).crash(NODE, &[best(1, 10)]).names("V3");
    signed().close(CLIENT, id, 2, 20).dispute(CLIENT, id, 3, 1).names("C2");
    // Without their disks: what was signed stays signed, and what was held may come again.
    signed().wipe(CLIENT).signed(CLIENT, terms(id, 1, 5)).names("V1");
    let mut story = signed();
    story.durable(NODE, best(2, 20)).wipe(NODE).durable(NODE, best(2, 20)).is_silent();
}

/// A thief's channel, closed at nothing although its node held a voucher over 500.
fn robbed() -> Story {
    let id = channel(THIEF, NODE);
    let mut story = Story::of("O8");
    story.open(THIEF, NODE).signed(THIEF, terms(id, 1, 500)).durable(NODE, earning(THIEF, NODE, 1, 500));
    story.wait(60).close(THIEF, id, 0, 0);
    story
}

#[test]
fn o5_a_node_that_buys_raises_what_it_signs_and_keeps_what_it_takes() {
    let (bought, sold) = (channel(TRADER, NODE), channel(CLIENT, TRADER));
    let both = || {
        let mut story = Story::of("O5");
        story.open(CLIENT, TRADER).open(TRADER, NODE);
        story.signed(CLIENT, terms(sold, 2, 20)).signed(TRADER, terms(bought, 2, 20));
        story.durable(TRADER, earning(CLIENT, TRADER, 2, 20));
        story
    };
    both().signed(TRADER, terms(bought, 3, 30)).is_silent();
    both().signed(TRADER, terms(bought, 3, 20)).names("V1");
    both().durable(TRADER, earning(CLIENT, TRADER, 3, 30)).names("V1");
    both().crash(TRADER, &[earning(CLIENT, TRADER, 1, 10)]).names("V3");
}

#[test]
fn o8_the_highest_voucher_that_an_honest_party_held_in_time_settles() {
    let id = channel(THIEF, NODE);
    robbed().dispute(NODE, id, 1, 500).wait(WINDOW).settle(THIEF, id).is_silent();
    robbed().wait(WINDOW).settle(THIEF, id).names("X3");
    robbed().dispute(NODE, id, 1, 500).settle(THIEF, id).names("C3");
    let moves = |change: fn(&mut OnChain)| {
        let mut story = robbed();
        let mut after = story.books.channel(id).expect("opened");
        change(&mut after);
        story.tx(NODE, Call::Dispute { voucher: voucher(id, 1, 500) }, after, Odd::default());
        story
    };
    moves(|after| after.amount = Amount(500)).is_silent();
    moves(|after| (after.amount, after.deadline) = (Amount(500), ChainTime(after.deadline.0 + 1)))
        .names("C2");
    // A genuine voucher over more is refused.
    moves(|_| {}).names("C2");
}

#[test]
fn o8_a_voucher_that_came_late_counts_where_nothing_kept_its_holder_from_the_chain() {
    let id = channel(THIEF, NODE);
    let late = |left: u64, happens: fn(&mut Story)| {
        let mut story = Story::of("O8");
        story.open(THIEF, NODE).wait(60).close(THIEF, id, 0, 0).wait(WINDOW - left);
        story.signed(THIEF, terms(id, 1, 500)).durable(NODE, earning(THIEF, NODE, 1, 500));
        happens(&mut story);
        story.wait(left).settle(THIEF, id);
        story
    };
    let forced = FORCED + 3 * 3_600;
    let censor = |story: &mut Story| _ = story.see(Seen::Sequencer { censored: Some(NODE), up: true });
    // While the forced path is open it counts whatever the sequencer does.
    late(forced, censor).names("X3");
    late(forced - 1, |_| {}).names("X3");
    late(forced - 1, censor).is_silent();
    late(forced - 1, |story| _ = story.see(Seen::Sequencer { censored: None, up: false })).is_silent();
    late(forced - 1, |story| _ = story.crash(NODE, &[earning(THIEF, NODE, 1, 500)])).is_silent();
    late(600, |_| {}).names("X3");
    late(599, |_| {}).is_silent();
}

#[test]
fn o8_only_a_party_ends_a_channel_and_only_what_was_signed_is_recorded() {
    let id = channel(CLIENT, NODE);
    let open = || {
        let mut story = Story::of("O8");
        story.open(CLIENT, NODE).signed(CLIENT, terms(id, 1, 500));
        story
    };
    open().close(NODE, id, 1, 500).is_silent();
    open().close(THIEF, id, 0, 0).names("C1");
    open().close(NODE, id, 2, 501).names("C2");
    open().close(CLIENT, id, 0, 0).dispute(LIAR, id, 2, 501).names("C2");
    let short = |story: &mut Story| {
        let after = OnChain {
            status: OnChainStatus::Closing,
            deadline: ChainTime(EPOCH + 1),
            ..opened(CLIENT, NODE)
        };
        story.tx(CLIENT, Call::Close { channel: id, voucher: None }, after, Odd::default());
    };
    let mut story = open();
    short(&mut story);
    story.names("C9");
    let together = |story: &mut Story| {
        let after = OnChain {
            status: OnChainStatus::Settled,
            amount: Amount(500),
            nonce: Nonce(1),
            ..opened(CLIENT, NODE)
        };
        let (voucher, node_signature) = (Some(voucher(id, 1, 500)), Signature([9; 65]));
        let call = Call::CloseCooperatively { channel: id, voucher, node_signature };
        story.tx(CLIENT, call, after, Odd::default());
    };
    let mut story = open();
    together(&mut story);
    story.names("C4");
    let mut story = open();
    let what = Typed::CooperativeClose(terms(id, 1, 500));
    story.see(Seen::Signed { actor: NODE, what: &what, signature: &Signature([9; 65]) });
    together(&mut story);
    story.is_silent();
}

#[test]
fn o9_a_transaction_does_what_was_predicted_of_it() {
    let id = channel(CLIENT, NODE);
    let settle = |predicted, result| {
        let mut story = Story::of("O9");
        let odd = Odd { result, predicted: Some(predicted) };
        story.open(CLIENT, NODE).tx(CLIENT, Call::Settle { channel: id }, opened(CLIENT, NODE), odd);
        story
    };
    let same = Ok(Some(opened(CLIENT, NODE)));
    settle(same, None).is_silent();
    settle(Err(Revert::NotClosing), Some(Revert::NotClosing)).is_silent();
    settle(Err(Revert::NotClosing), Some(Revert::WindowOpen)).names("O9");
    settle(Err(Revert::NotClosing), None).names("O9");
    settle(same, Some(Revert::NotClosing)).names("O9");
    settle(Ok(Some(OnChain { nonce: Nonce(1), ..opened(CLIENT, NODE) })), None).names("O9");
}

fn order() -> FetchOrder {
    FetchOrder {
        id: FetchId(1),
        hash: BLOB,
        offset_bytes: 0,
        len_bytes: 0,
        candidates: vec![Candidate { node: node_id(NODE), operator: account(NODE) }],
        token: Address::ZERO,
        deposit: Amount(1),
        cadence_bytes: 1,
        max_rate: RATE,
        keep_channel: false,
    }
}

fn fetched() -> Output {
    role(Effect::Notice(Notice::Fetched { fetch: FetchId(1), bytes: 1 }))
}

#[test]
fn o10_downloads_and_channels_end_nobody_spins_and_nobody_honest_is_blamed() {
    let fetch = Input::Fetch(order());
    let fetched = [fetched()];
    let mut story = Story::of("O10");
    story.step(CLIENT, &fetch, &[]).step(CLIENT, &Input::Tick, &fetched);
    story.open(CLIENT, NODE).close(CLIENT, channel(CLIENT, NODE), 0, 0).settle(CLIENT, channel(CLIENT, NODE));
    story.end().is_silent();
    Story::of("O10").step(CLIENT, &fetch, &[]).end().names("D10");
    // A refused order is none, and ends none.
    let refused = Notice::OrderRefused { fetch: FetchId(1), why: FetchFailure::BadOrder };
    let refused = [role(Effect::Notice(refused))];
    Story::of("O10").step(CLIENT, &fetch, &refused).end().is_silent();
    Story::of("O10").step(CLIENT, &fetch, &[]).step(CLIENT, &fetch, &refused).end().names("D10");
    Story::of("O10").open(CLIENT, NODE).end().names("V4");
    let blame = |peer| {
        let fault = Fault::Peer { peer: node_id(peer), rule: Rule::D4, proof: Proof::Message(stream(0)) };
        let mut story = Story::of("O10");
        story.step(CLIENT, &Input::Tick, &[role(Effect::Fault(fault))]);
        story
    };
    blame(LIAR).is_silent();
    blame(NODE).names("D4");
    let mut story = Story::of("O10");
    for _ in 0..20_000 {
        story.step(NODE, &Input::Tick, &[]);
    }
    story.names("O10");
    let settle = |times| {
        let mut story = Story::of("O10");
        let call = Call::Settle { channel: channel(CLIENT, NODE) }.into();
        for _ in 0..times {
            story.see(Seen::Submitted { actor: NODE, call: &call, route: Route::Sequencer });
        }
        story
    };
    settle(100).is_silent();
    settle(512).names("O10");
}

#[test]
fn o10_what_its_owner_has_closed_does_not_stay_open() {
    let id = channel(CLIENT, NODE);
    for party in [CLIENT, NODE] {
        let told = || {
            let mut story = Story::of("O10");
            let order = FetchOrder { keep_channel: true, ..order() };
            story.step(CLIENT, &Input::Fetch(order), &[]).open(CLIENT, NODE);
            story.step(CLIENT, &Input::Tick, &[fetched()]);
            story
        };
        told().end().is_silent();
        told().step(party, &Input::CloseChannel(id), &[]).end().names("V4");
        let mut story = told();
        story.step(party, &Input::CloseChannel(id), &[]).close(party, id, 0, 0).wait(WINDOW);
        story.settle(party, id).end().is_silent();
    }
}

#[test]
fn o11_eight_ranges_of_a_stream_and_a_hundred_streams_of_a_connection_are_under_way() {
    let range = |index| Effect::SendRange { stream: stream(index), hash: BLOB, offset: 0, bytes: GROUP };
    let send = |ranges: usize| {
        let mut story = Story::of("O11");
        story.step(NODE, &Input::Tick, &vec![role(range(0)); ranges]);
        story
    };
    send(8).step(NODE, &Input::RangeSent { stream: stream(0) }, &[role(range(0))]).is_silent();
    send(9).names("O11");
    let ask = |streams: u32| {
        let mut story = Story::of("O11");
        for index in 0..streams {
            let message = request(CLIENT, NODE);
            story.step(CLIENT, &Input::Tick, &[role(Effect::Send { stream: stream(index), message })]);
        }
        story
    };
    ask(100).is_silent();
    ask(101).names("O11");
}

#[test]
fn o12_nothing_leaves_before_it_is_durable_and_what_was_acknowledged_survives() {
    let paid_with = |durable: bool| {
        let mut story = Story::of("O12");
        story.says(CLIENT, NODE, 0, request(CLIENT, NODE)).write(CLIENT, paying(CLIENT, NODE, 1, 10));
        if durable {
            story.durable(CLIENT, paying(CLIENT, NODE, 1, 10));
        }
        story.says(CLIENT, NODE, 0, paid(1, 10));
        story
    };
    paid_with(true).is_silent();
    paid_with(false).names("V3");
    let acked = |nonce| {
        let mut story = Story::of("O12");
        story.says(CLIENT, NODE, 0, request(CLIENT, NODE)).durable(NODE, earning(CLIENT, NODE, 1, 10));
        story.says(NODE, CLIENT, 0, Message::Client(ClientMessage::VoucherAck(Nonce(nonce))));
        story
    };
    acked(1).is_silent();
    acked(2).names("V3");
    // The channel is not durably final.
    acked(1).says(NODE, CLIENT, 0, consent()).names("V3");
    let best = |nonce| earning(CLIENT, NODE, nonce, 10 * u128::from(nonce));
    acked(1).crash(NODE, &[best(1)]).is_silent();
    acked(1).write(NODE, best(2)).crash(NODE, &[best(2)]).is_silent();
    acked(1).write(NODE, best(2)).crash(NODE, &[best(1)]).is_silent();
    acked(1).crash(NODE, &[]).names("O12");
    acked(1).crash(NODE, &[best(2)]).names("O12");
}

#[test]
fn o12_a_node_that_buys_stores_first_on_either_side() {
    let mut bought = Story::of("O12");
    bought.says(TRADER, NODE, 0, request(TRADER, NODE)).durable(TRADER, paying(TRADER, NODE, 1, 10));
    bought.says(TRADER, NODE, 0, paid(1, 10)).is_silent();
    bought.says(TRADER, NODE, 0, paid(2, 20)).names("V3");
    let mut sold = Story::of("O12");
    sold.says(CLIENT, TRADER, 0, request(CLIENT, TRADER)).durable(TRADER, earning(CLIENT, TRADER, 1, 10));
    sold.says(TRADER, CLIENT, 0, Message::Client(ClientMessage::VoucherAck(Nonce(1)))).is_silent();
    sold.says(TRADER, CLIENT, 0, Message::Client(ClientMessage::VoucherAck(Nonce(2)))).names("V3");
    // To the chain goes what it signed itself once it is stored, and what it was given.
    let call = |id| Call::Close { channel: id, voucher: Some(voucher(id, 1, 10)) };
    let closes = |client, node| {
        let mut story = Story::of("O12");
        let call = call(channel(client, node)).into();
        story.open(client, node);
        story.see(Seen::Submitted { actor: TRADER, call: &call, route: Route::Sequencer });
        story
    };
    closes(CLIENT, TRADER).is_silent();
    closes(TRADER, NODE).names("V3");
}

#[test]
fn o13_two_runs_of_the_same_decisions_differ_in_nothing() {
    let text = r#"
shows = "A download."
[[actors]]
name = "client"
part = "client"
[[actors]]
name = "node"
part = "node"
[[fetches]]
client = "client"
from = ["node"]
blob_bytes = 100000
"#;
    let scenario = parse("test/one", "test", text).expect("well-formed");
    let once = |seed| run(&scenario, Rung::Ideal, Decisions::seeded(seed), None);
    assert_eq!(differ(&once(1), &once(1)), None);
    assert!(differ(&once(1), &once(2)).is_some());
    let mut other = once(1);
    other.ran.digest[31] ^= 1;
    assert!(differ(&once(1), &other).is_some_and(|what| what.contains("digests")));
}

#[test]
fn o14_the_coalition_gains_what_the_scenario_concedes() {
    let story = |conceded: u64| {
        let mut story = Story::told("O14", &format!("K * {conceded}"), None);
        story.open(THIEF, NODE).agree(THIEF, NODE, 0).gets((THIEF, NODE), 0, 0, OFFER);
        // What comes again is worth nothing more.
        story.gets((THIEF, NODE), 0, 0, OFFER).end();
        story
    };
    story(OFFER).is_silent();
    story(OFFER - 1).names("O14");
    // An honest client that gets the same is no coalition.
    let mut story = Story::told("O14", "0", None);
    story.open(CLIENT, NODE).agree(CLIENT, NODE, 0).gets((CLIENT, NODE), 0, 0, OFFER).end().is_silent();
}

#[test]
fn o16_a_fault_on_one_channel_ends_and_writes_nothing_of_another() {
    let asks = |client, index| Input::Message { stream: stream(index), message: request(client, NODE) };
    let fault = |outputs: &[Effect]| {
        let mut story = Story::of("O16");
        story.step(NODE, &asks(CLIENT, 0), &[]).step(NODE, &asks(THIEF, 1), &[]);
        let outputs: Vec<_> = outputs.iter().cloned().map(role).collect();
        story.step(NODE, &Input::Malformed { stream: stream(1), code: Code::Malformed }, &outputs);
        story
    };
    let reset = |index| Effect::Reset { stream: stream(index), code: Code::Malformed };
    let write =
        |client| Effect::Persist { seq: Default::default(), writes: vec![earning(client, NODE, 1, 1)] };
    fault(&[reset(1), write(THIEF)]).is_silent();
    fault(&[reset(0)]).names("O16");
    fault(&[Effect::Finish { stream: stream(0) }]).names("O16");
    fault(&[write(CLIENT)]).names("O16");
    // A stranger names the client's channel on a connection of its own: that makes it no stream of that channel.
    let borrowed = |index| {
        let mut story = Story::of("O16");
        let (conn, rtt) = (ConnId(1), Span(0));
        let own = StreamId { conn, index: 0 };
        story.open(CLIENT, NODE).step(NODE, &asks(CLIENT, 0), &[]);
        story.step(
            NODE,
            &Input::Connected { conn, peer: node_id(THIEF), protocol: Protocol::Client, rtt },
            &[],
        );
        let ended = if index == 0 { own } else { stream(0) };
        let reset = role(Effect::Reset { stream: ended, code: Code::Malformed });
        story.step(NODE, &Input::Message { stream: own, message: request(CLIENT, NODE) }, &[reset]);
        story
    };
    borrowed(0).is_silent();
    borrowed(1).names("O16");
}

#[test]
fn o16_a_node_that_buys_keeps_what_it_sells_apart() {
    let ends = |about, ended| {
        let mut story = Story::of("O16");
        let buys = |index, node| role(Effect::Send { stream: stream(index), message: request(TRADER, node) });
        story.step(TRADER, &Input::Tick, &[buys(0, NODE), buys(2, LIAR)]);
        let asked = Input::Message { stream: stream(1), message: request(CLIENT, TRADER) };
        story.step(TRADER, &asked, &[]);
        let over = Input::StreamClosed { stream: stream(about), code: None };
        story.step(TRADER, &over, &[role(Effect::Reset { stream: stream(ended), code: Code::Malformed })]);
        story
    };
    // A download that ends here may end there: that is the buyer's business.
    ends(0, 2).is_silent();
    ends(1, 1).is_silent();
    ends(1, 0).names("O16");
}

#[test]
fn o17_nothing_that_spends_leaves_before_its_owner_has_agreed() {
    let about = (FetchId(1), node_id(NODE));
    let says =
        |rate, deposit| Input::Agreed { fetch: about.0, node: about.1, rate, deposit: Amount(deposit) };
    let no = Input::Declined { fetch: about.0, node: about.1 };
    let quoted = || {
        let mut story = Story::of("O17");
        let signature = Signature([9; 65]);
        let quote = ProbeResponse { has_blob: true, rate: RATE, total_bytes: Some(1), signature };
        story.says(NODE, CLIENT, 0, Message::Probe(ProbeMessage::Response(quote)));
        story
    };
    let agreed = || {
        let mut story = quoted();
        story.step(CLIENT, &says(RATE, 50), &[]);
        story
    };
    let submits = |story: &mut Story, call: chain::Call| {
        let tx = Effect::Tx { ticket: TxTicket(0), call, route: Route::Sequencer };
        story.step(CLIENT, &Input::Tick, &[role(tx)]);
    };
    let approve = |story: &mut Story, amount| {
        submits(story, token::Call::Approve { token: Address::ZERO, amount: Amount(amount) }.into());
    };
    let open = |story: &mut Story, node, deposit| {
        let (node, deposit) = (account(node), Amount(deposit));
        submits(story, Call::Open { node, token: Address::ZERO, deposit }.into());
    };
    let mut story = agreed();
    approve(&mut story, 50);
    open(&mut story, NODE, 50);
    story.is_silent();
    // Once more on the same yes.
    approve(&mut story, 50);
    story.names("D16");
    // One that comes late is to nothing that was asked, and takes nothing back.
    let mut story = agreed();
    story.step(CLIENT, &says(RATE, 10), &[]);
    approve(&mut story, 50);
    story.is_silent();
    type Tale<'a> = &'a dyn Fn(&mut Story);
    let unasked: Tale<'_> = &|_| {};
    let less: Tale<'_> = &|story| _ = story.step(CLIENT, &says(RATE, 49), &[]);
    let cheaper: Tale<'_> = &|story| _ = story.step(CLIENT, &says(Rate(RATE.0 - 1), 50), &[]);
    let taken_back: Tale<'_> = &|story| _ = story.step(CLIENT, &says(RATE, 50), &[]).step(CLIENT, &no, &[]);
    let died: Tale<'_> = &|story| _ = story.step(CLIENT, &says(RATE, 50), &[]).crash(CLIENT, &[]);
    let stale: Tale<'_> = &|story| _ = story.step(CLIENT, &says(RATE, 50), &[]).wait(41);
    for tale in [unasked, less, cheaper, taken_back, died, stale] {
        let mut story = quoted();
        tale(&mut story);
        approve(&mut story, 50);
        story.names("D16");
    }
    // To somebody else, with more, or without an allowance.
    for (node, deposit) in [(LIAR, 50), (NODE, 51)] {
        let mut story = agreed();
        approve(&mut story, 50);
        open(&mut story, node, deposit);
        story.names("D16");
    }
    let mut story = agreed();
    open(&mut story, NODE, 50);
    story.names("D16");
}
