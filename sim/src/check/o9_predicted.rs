//! O9: what the engine predicts of a transaction, given the state at its place in the block, is what the bytecode
//! does, revert reasons included; and where the second model of the contract runs beside it, it does the same.

use decdn_engine::{
    chain::{Revert, State},
    time::Time,
};

use super::o1_conservation::clock;
use crate::{
    report::Report,
    seen::{Included, Kind, Seen},
};

/// See the module.
#[derive(Default)]
pub struct Predicted {
    checked: u64,
}

impl Predicted {
    fn check(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        self.checked += 1;
        if let Some(predicted) = &tx.predicted {
            let did = tx.result.map(|()| None);
            let is_same = match (predicted, tx.result) {
                // The engine says what is there after the call only where the call names it.
                (Ok(Some(after)), Ok(())) => tx.after.as_ref() == Some(after),
                (Ok(None), Ok(())) => true,
                (Err(why), Err(did)) => *why == did,
                _ => false,
            };
            if !is_same {
                differ(at, tx, ("the engine expects", predicted), (did, tx.after), report);
            }
        }
        if let Some((result, after)) = &tx.beside
            && (*result != tx.result || *after != tx.after)
        {
            let beside = result.map(|()| *after);
            differ(at, tx, ("the model says", &beside), (tx.result.map(|()| None), tx.after), report);
        }
    }
}

type Expected = Result<Option<State>, Revert>;

fn differ(
    at: Time,
    tx: &Included<'_>,
    (who, expected): (&str, &Expected),
    (did, after): (Expected, Option<State>),
    report: &mut Report,
) {
    report.violation("O9", "O9", || {
        let short = |result: &Expected| match result {
            Err(revert) => format!("{revert:?}"),
            Ok(None) => "success".to_owned(),
            Ok(Some(after)) => format!("{after:?}"),
        };
        let did = did.map(|_| after);
        format!("{}: {who} {} of {:?}, and it does {}", clock(at), short(expected), tx.call, short(&did))
    });
}

impl crate::seen::Oracle for Predicted {
    fn name(&self) -> &'static str {
        "O9"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Included]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        if let Seen::Included { tx, .. } = seen {
            self.check(at, tx, report);
        }
    }
}
