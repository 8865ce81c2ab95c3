//! Each oracle against stories made by hand: one that keeps its rule, at which it is silent, and ones that break it,
//! at which it names the rule. What no role does any more is here all the same. Here are those about money and the chain, O1 to O9.

mod conduct;
mod story;

use decdn_engine::{
    chain::channel::{Call, Revert},
    crypto::{Signature, Typed},
    ids::{Address, FetchId},
    io::{Effect, FetchFailure, Input, Notice},
    limits::GROUP,
    money::{Amount, Nonce},
    order::{Candidate, FetchOrder},
    record::{FetchRecord, Key, Record},
    time::ChainTime,
    wire::{ClientMessage, CloseRequest, Message, StreamRequest},
};
use decdn_sim::{
    check::{Liftable, Lifted},
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

#[test]
fn o2_what_is_claimed_is_paid_once_and_the_rest_at_the_end() {
    let id = channel(CLIENT, NODE);
    let claimed = || {
        let mut story = Story::of("O2");
        story.open(CLIENT, NODE).claim(NODE, id, 1, 10);
        story
    };
    claimed()
        .block()
        .claim(NODE, id, 2, 30)
        .block()
        .close(CLIENT, id, 3, 40)
        .settle(NODE, id)
        .block()
        .is_silent();
    claimed().finish(NODE, id, 2, 30).block().is_silent();
    // What was claimed is paid again.
    claimed().finish(NODE, id, 2, 30).move_money(account(CLIENT), account(NODE), 10).block().names("C3");
    // A claim that pays nothing, and one that is somebody's else.
    claimed().move_money(account(NODE), ESCROW, 1).block().names("C3");
    let mut story = Story::of("O2");
    story.open(CLIENT, NODE).claim(THIEF, id, 1, 10).names("C12");
    // What is claimed falls, or rises by something else than a claim.
    for forged in [0, 20] {
        let mut story = claimed();
        let before = story.books.channel(id).expect("opened");
        let after = OnChain { claimed: Amount(forged), ..before };
        story.tx(NODE, Call::Settle { channel: id }, after, Odd::default()).names("C12");
    }
}

#[test]
fn o8_a_node_ends_what_pays_it_as_it_likes_and_nobody_else_does() {
    let id = channel(CLIENT, NODE);
    let paid = || {
        let mut story = Story::of("O8");
        story
            .open(CLIENT, NODE)
            .signed(CLIENT, terms(id, 1, 500))
            .durable(CLIENT, paying(CLIENT, NODE, 1, 500));
        story
    };
    paid().finish(NODE, id, 1, 500).is_silent();
    // Less than the client has signed is the node's own affair; less than it holds itself is no honest node's.
    paid().finish(NODE, id, 0, 0).is_silent();
    paid().durable(NODE, earning(CLIENT, NODE, 1, 500)).finish(NODE, id, 0, 0).names("X3");
    paid().finish(THIEF, id, 1, 500).names("C11");
    paid().finish(NODE, id, 2, 501).names("C2");
    paid().claim(NODE, id, 1, 500).is_silent();
    paid().claim(NODE, id, 2, 501).names("C2");
}

fn close_request(client: decdn_sim::actor::ActorId) -> Message {
    let channel = channel(client, NODE);
    Message::Client(ClientMessage::CloseRequest(CloseRequest { channel, voucher: None, auth: None }))
}

fn consent() -> Message {
    Message::Client(ClientMessage::CloseConsent(Signature([9; 65])))
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
    // Who finishes forgoes one offer of what was still to be signed, and no more (C11).
    let more = || {
        let mut story = bought();
        story.gets((CLIENT, NODE), 0, GROUP, OFFER);
        story
    };
    more().finish(NODE, id, 1, group).is_silent();
    more().finish(NODE, id, 1, group - 1).names("D6");
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
