//! A node that closes its channels at zero as soon as it holds something: a compromised operator, or one that wants
//! its customers' monitors asleep. A client holds the higher voucher, and has it settled (X1).

use decdn_engine::{
    chain::{
        self, ChainEvent, Route,
        channel::{Call, EventKind},
    },
    ids::{ChannelId, TxTicket},
    io::{Effect, Input, Lane, Notice, Output},
    time::{Span, Time, WallTime},
};

use super::{With, mask::Hand};
use crate::{
    actor::{OWN_TICKETS, Turn},
    rung::Mix,
    world::EPOCH,
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Lowballer {
    not_before: WallTime,
    /// Channels to be closed.
    marks: Vec<ChannelId>,
    next_ticket: u64,
    wake: Option<Time>,
}

impl Lowballer {
    /// `with`: `close_at_secs`, no earlier.
    pub fn new(with: &With) -> Self {
        let not_before = EPOCH + Span::from_secs(with.or("close_at_secs", 0));
        Self { not_before, marks: Vec::new(), next_ticket: OWN_TICKETS, wake: None }
    }

    fn close(&mut self, turn: &mut Turn<'_>) {
        if turn.now.wall < self.not_before {
            let wait = Span(self.not_before.0 - turn.now.wall.0);
            self.wake = (!self.marks.is_empty()).then(|| turn.now.mono + wait);
            return;
        }
        self.wake = None;
        for channel in std::mem::take(&mut self.marks) {
            self.next_ticket += 1;
            let ticket = TxTicket(self.next_ticket);
            let call = Call::Close { channel, voucher: None }.into();
            turn.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
        }
    }
}

impl Hand for Lowballer {
    fn hear(&mut self, input: &mut Input, turn: &mut Turn<'_>) -> bool {
        match input {
            Input::Tx { ticket, .. } if ticket.0 > OWN_TICKETS => return false,
            Input::Tick => self.close(turn),
            Input::Chain(update) => {
                let is_over = |id: &ChannelId| {
                    update.events.iter().filter_map(ChainEvent::as_channel).any(|event| {
                        event.channel == *id
                            && matches!(event.kind, EventKind::Closing { .. } | EventKind::Settled { .. })
                    })
                };
                self.marks.retain(|id| !is_over(id));
            }
            _ => {}
        }
        true
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        match output.effect {
            // It puts nothing right, and consents to nothing.
            Effect::Tx { call: chain::Call::Channel(Call::Dispute { .. }), .. } => return,
            Effect::Notice(Notice::Voucher { channel, .. }) if !self.marks.contains(&channel) => {
                self.marks.push(channel);
                self.close(turn);
            }
            _ => {}
        }
        turn.push(output.lane, output.effect);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.wake
    }

    fn mix(&self, mix: &mut Mix) {
        mix.words([self.marks.len() as u64, self.next_ticket]);
    }

    fn restart(&mut self) {
        self.marks.clear();
        self.wake = None;
    }
}
