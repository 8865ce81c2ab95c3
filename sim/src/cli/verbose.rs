//! `-v`: one fixed-width status line per transition, the quickest way to see what a run does.

use std::any::Any;

use decdn_engine::{
    io::{Effect, Input, Output},
    state::Digest,
    time::Time,
    wire::{ClientMessage, Message},
};

use super::out::say;
use crate::{
    actor::ActorId,
    decide::{Choice, Decisions},
    run::run,
    rung::Rung,
    scenario::Scenario,
    seen::{Included, Seen},
    watch::Recorder,
};

/// Makes a run for its status lines alone.
pub(super) fn status_lines(scenario: &Scenario, rung: Rung, decide: Decisions) {
    heading();
    run(scenario, rung, decide, Some(Box::new(Printer { names: Vec::new() })));
}

/// What stands above the lines.
pub(super) fn heading() {
    say!("{:>15} {:<12} {:<40} asks for", "time", "actor", "told");
}

/// The line of one step.
pub(super) fn transition(at: Time, name: &str, input: &Input, outputs: &[Output]) {
    let asks: Vec<String> = outputs.iter().map(asks).collect();
    print(at, name, &told(input), &asks.join(" "));
}

fn print(at: Time, name: &str, told: &str, asks: &str) {
    let (secs, micros) = (at.0 / 1_000_000, at.0 % 1_000_000);
    say!("{secs:>8}.{micros:06} {name:<12.12} {told:<40.40} {asks}");
}

struct Printer {
    names: Vec<String>,
}

impl Printer {
    fn name(&self, actor: Option<ActorId>) -> &str {
        actor.and_then(|id| self.names.get(usize::from(id.0))).map_or("chain", String::as_str)
    }

    fn line(&self, at: Time, actor: Option<ActorId>, told: &str, asks: &str) {
        print(at, self.name(actor), told, asks);
    }
}

impl Recorder for Printer {
    fn record(&mut self, at: Time, seen: &Seen<'_>, _digest: Option<Digest>) {
        match seen {
            Seen::Start { cast, .. } => {
                self.names = cast.people.iter().map(|person| person.name.clone()).collect();
            }
            Seen::Step { actor, input, outputs, .. } => {
                transition(at, self.name(Some(*actor)), input, outputs);
            }
            Seen::Lost { from, message, .. } => {
                self.line(at, Some(*from), &format!("(lost) {}", message_name(message)), "");
            }
            Seen::Crashed { actor, undone, is_wiped, .. } => {
                let what = if *is_wiped { "(crashed, wiped)" } else { "(crashed)" };
                self.line(at, Some(*actor), what, &format!("{undone} undone"));
            }
            Seen::ClockSet { actor, ahead_us } => {
                self.line(at, Some(*actor), "(clock)", &format!("{} s ahead", ahead_us / 1_000_000));
            }
            Seen::HeadOff { actor, ahead_us, blocks } => {
                let what = format!("{} s and {blocks} blocks ahead", ahead_us / 1_000_000);
                self.line(at, Some(*actor), "(head)", &what);
            }
            Seen::LogsMissed { actor, missed } => {
                self.line(at, Some(*actor), "(logs)", &format!("{missed} left out"));
            }
            Seen::EndpointWrong { actor, endpoint } => {
                self.line(at, Some(*actor), "(endpoint)", &format!("number {endpoint} is wrong"));
            }
            Seen::Apart { actor } => self.line(at, Some(*actor), "(endpoints)", "no two agree"),
            Seen::TxLost { actor, route } => self.line(at, Some(*actor), "(lost)", &format!("{route:?}")),
            Seen::EtherSet { actor, wei } => self.line(at, Some(*actor), "(ether)", &format!("{wei} wei")),
            Seen::Purse { actor, what } => self.line(at, Some(*actor), "(purse)", &format!("{what:?}")),
            Seen::Suspended { actor, lasts } => {
                self.line(at, Some(*actor), "(suspended)", &format!("for {} s", lasts.0 / 1_000_000));
            }
            Seen::Restarted { actor, .. } => self.line(at, Some(*actor), "(restarted)", ""),
            Seen::Included { tx, .. } => {
                let what = format!("(block {}) {}", tx.block.number, name(tx));
                self.line(at, tx.from, &what, &format!("{:?}", tx.result));
            }
            Seen::Undone { tx } => {
                let what = format!("(block {}) {}", tx.block.number, name(tx));
                self.line(at, tx.from, &what, "undone");
            }
            Seen::Sequencer { censored, up } => {
                let what = if *up { "(sequencer) censors" } else { "(sequencer) down" };
                self.line(at, *censored, what, "");
            }
            Seen::Calm { .. } => self.line(at, None, "(faults end)", ""),
            _ => {}
        }
    }

    fn choices(&mut self, _choices: &[Choice]) {}

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn told(input: &Input) -> String {
    match input {
        Input::Message { message, .. } => message_name(message),
        Input::Verdict { verdict, .. } => {
            format!("{verdict:?}").replace("offset: ", "").replace("bytes: ", "+")
        }
        Input::Chain(update) => format!("chain {} +{} events", update.head.number, update.events.len()),
        Input::Tx { outcome, .. } => format!("tx {outcome:?}"),
        other => first_word(&format!("{other:?}")),
    }
}

fn asks(output: &Output) -> String {
    match &output.effect {
        Effect::Send { message, .. } => format!("send:{}", message_name(message)),
        Effect::SendRange { offset, bytes, .. } => format!("range:{offset}+{bytes}"),
        Effect::Notice(notice) => format!("note:{}", first_word(&format!("{notice:?}"))),
        Effect::Fault(fault) => format!("FAULT:{}", fault.rule()),
        Effect::Tx { call, .. } => format!("tx:{}", first_word(&format!("{call:?}"))),
        Effect::Sign { what, .. } => format!("sign:{}", first_word(&format!("{what:?}"))),
        other => first_word(&format!("{other:?}")).to_lowercase(),
    }
}

fn message_name(message: &Message) -> String {
    let Message::Client(message) = message else {
        // Of any other protocol, its name and the message's: `Probe(Request(…))` is a ProbeRequest.
        return format!("{message:?}").split(['(', ' ', '{']).take(2).collect();
    };
    match message {
        ClientMessage::Voucher(voucher) => format!("Voucher {} for {}", voucher.nonce.0, voucher.amount),
        ClientMessage::VoucherAck(nonce) => format!("VoucherAck {}", nonce.0),
        ClientMessage::StreamAbort(error) => format!("StreamAbort {error:?}"),
        other => first_word(&format!("{other:?}")),
    }
}

fn first_word(text: &str) -> String {
    text.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

/// What a transaction calls.
fn name(tx: &Included<'_>) -> String {
    let call = format!("{:?}", tx.call);
    call.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}
