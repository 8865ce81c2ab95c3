//! O10 to O17: that all ends and stays bounded, what is durable, the same and apart, and what owners agreed to.

use decdn_engine::{
    chain::{self, Route, channel::Call, token},
    crypto::Signature,
    fault::{Fault, Proof, Rule},
    ids::{Address, ConnId, FetchId, StreamId, TxTicket},
    io::{Effect, FetchFailure, Input, Notice, Output},
    limits::GROUP,
    money::{Amount, Nonce, Rate},
    order::FetchOrder,
    record::{Dispute, Record},
    time::Span,
    wire::{ClientMessage, Code, Message, ProbeMessage, ProbeResponse, Protocol},
};
use decdn_sim::{
    check::o13_same::differ, decide::Decisions, run::run, rung::Rung, scenario::parse, seen::Seen,
};

use crate::{consent, order, story::*};

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
fn o12_no_cursor_is_stored_beyond_the_safe_head_and_no_dispute_sent_to_the_inbox_off_the_record() {
    let read_to = |block| {
        let mut story = Story::of("O12");
        story.durable_at(NODE, Record::Cursor(block), 100);
        story
    };
    read_to(101).is_silent();
    read_to(102).names("L4");
    let id = channel(CLIENT, NODE);
    let sends = |recorded: Option<u64>, route| {
        let mut story = Story::of("O12");
        if let Some(nonce) = recorded {
            let dispute = Dispute { channel: id, voucher: voucher(id, nonce, 10), queued: None };
            story.durable(NODE, Record::Dispute(dispute));
        }
        let call = Call::Dispute { voucher: voucher(id, 1, 10) }.into();
        story.see(Seen::Submitted { actor: NODE, call: &call, route });
        story
    };
    sends(Some(1), Route::DelayedInbox).is_silent();
    sends(None, Route::Sequencer).is_silent();
    sends(None, Route::DelayedInbox).names("X1");
    sends(Some(2), Route::DelayedInbox).names("X1");
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
        let quote = ProbeResponse {
            has_blob: true,
            rate: RATE,
            total_bytes: Some(1),
            signature,
            least_deposit: Amount(0),
        };
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
