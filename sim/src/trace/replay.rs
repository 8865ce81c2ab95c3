//! Making a traced run again, and finding where two traces part.

use std::{
    io::{self, BufRead},
    path::Path,
};

use decdn_recording::BODY_AT;

use super::{BadTrace, Body, Head, Reader, VERSION, line::choices_from_text};
use crate::{
    decide::{Choice, Decisions},
    run::{Outcome, traced},
    scenario::Scenario,
};

/// The most choices that a trace may hold.
const CHOICES_MAX: usize = 1 << 27;
/// How much of a line is shown, in characters.
const SHOWN: usize = 400;

/// A trace that makes sense, with what is needed to make its run again.
pub struct Script<'a> {
    /// What it is of.
    pub head: Head,
    /// The scenario it is of.
    pub scenario: &'a Scenario,
    /// The run's choices.
    pub choices: Vec<Choice>,
}

/// Makes the run of a trace again and compares every line.
///
/// # Errors
/// With the first wrong line, whatever is wrong with it.
pub fn replay(path: &Path, scenarios: &[Scenario], artifacts: &str) -> Result<(Head, Outcome), BadTrace> {
    let Script { head, scenario, choices } = script(path, scenarios, artifacts)?;
    let against = Against { reader: Reader::open(path)?, wrong: None };
    let (outcome, mut against) = traced(scenario, &head, Decisions::recorded(choices), against)
        .map_err(|why| BadTrace(format!("{} can't be compared ({why}).", path.display())))?;
    if against.wrong.is_none() && against.reader.next_body()?.is_some() {
        against.wrong = Some(against.reader.wrong("the run is over before this line"));
    }
    against.wrong.map_or(Ok((head, outcome)), Err)
}

/// Takes the lines of a run and holds them against those of a trace.
struct Against {
    reader: Reader,
    wrong: Option<BadTrace>,
}

impl io::Write for Against {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.wrong.is_none() {
            let expected = body_of(line);
            let reader = &mut self.reader;
            self.wrong = match reader.next_body().map(|found| found.map(str::to_owned)) {
                Err(wrong) => Some(wrong),
                Ok(found) if found.as_deref().map(str::as_bytes) == Some(expected) => None,
                Ok(found) => Some(reader.wrong(format_args!(
                    "the run does not go like this: the trace has {}, the run has {}",
                    found.as_deref().map_or("nothing".to_owned(), shown),
                    shown(&String::from_utf8_lossy(expected))
                ))),
            };
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a trace says it is of.
///
/// # Errors
/// Where it does not begin like one.
pub fn head(path: &Path) -> Result<Head, BadTrace> {
    head_of(&mut Reader::open(path)?)
}

fn head_of(reader: &mut Reader<impl BufRead>) -> Result<Head, BadTrace> {
    match reader.next_line()? {
        Some(Body::Head(head)) => Ok(head),
        _ => Err(reader.wrong("a trace begins with a head; name one that `--trace` wrote")),
    }
}

/// What a whole trace says about how to make its run again.
///
/// # Errors
/// With the first wrong line.
pub fn script<'a>(path: &Path, scenarios: &'a [Scenario], artifacts: &str) -> Result<Script<'a>, BadTrace> {
    script_of(Reader::open(path)?, scenarios, artifacts)
}

/// The same, from anywhere.
///
/// # Errors
/// With the first wrong line.
pub fn script_of<'a>(
    mut reader: Reader<impl BufRead>,
    scenarios: &'a [Scenario],
    artifacts: &str,
) -> Result<Script<'a>, BadTrace> {
    let head = head_of(&mut reader)?;
    let scenario = check_head(&reader, &head, scenarios, artifacts)?;
    let mut choices = Vec::new();
    let mut ended = false;
    while let Some(body) = reader.next_line()? {
        if ended {
            return Err(reader.wrong("something follows the tail; remove it"));
        }
        match body {
            Body::Head(_) => return Err(reader.wrong("a second head; a trace holds one run")),
            Body::Choices(text) => {
                let more = choices_from_text(&text).ok_or_else(|| {
                    reader.wrong("these are no choices of this version; make the trace again")
                })?;
                if choices.len() + more.len() > CHOICES_MAX {
                    return Err(reader.wrong("the trace has too many choices for one run"));
                }
                choices.extend(more);
            }
            Body::Seen(_) | Body::Digest(_) => {}
            Body::Tail(_) => ended = true,
        }
    }
    if !ended {
        return Err(reader.wrong("the trace ends without its tail: it was cut off; make it again"));
    }
    Ok(Script { head, scenario, choices })
}

fn check_head<'a>(
    reader: &Reader<impl BufRead>,
    head: &Head,
    scenarios: &'a [Scenario],
    artifacts: &str,
) -> Result<&'a Scenario, BadTrace> {
    if head.version != VERSION {
        return Err(reader.wrong(format_args!(
            "this trace has version {}, this program reads {VERSION}; replay it with the program that wrote it",
            head.version
        )));
    }
    let is_it = |scenario: &&Scenario| scenario.name == head.scenario && scenario.set == head.set;
    let Some(scenario) = scenarios.iter().find(is_it) else {
        return Err(reader.wrong(format_args!(
            "the trace is of a scenario {:?} that is not here; `cargo sim list` names them all",
            head.scenario
        )));
    };
    if scenario.hash != head.scenario_hash {
        return Err(reader.wrong(format_args!(
            "the trace is of another version of {}; replay it beside the scenario that it was made from",
            head.scenario
        )));
    }
    if artifacts != head.artifacts {
        return Err(reader.wrong("the trace was made with other contracts; replay it with those"));
    }
    Ok(scenario)
}

/// Where two traces part: the line's number and both sides, if they have one.
pub type Parting = (u64, Option<String>, Option<String>);

/// The first line at which two traces part.
///
/// # Errors
/// Where one of them can't be read, with the first wrong line.
pub fn diff(a: &Path, b: &Path) -> Result<Option<Parting>, BadTrace> {
    let (mut a, mut b) = (Reader::open(a)?, Reader::open(b)?);
    loop {
        let left = a.next_body()?.map(str::to_owned);
        let right = b.next_body()?.map(str::to_owned);
        if left != right {
            return Ok(Some((a.line(), left.map(|l| shown(&l)), right.map(|r| shown(&r)))));
        }
        if left.is_none() {
            return Ok(None);
        }
    }
}

/// A line's body: what stands behind its hash.
fn body_of(line: &[u8]) -> &[u8] {
    let end = line.len().saturating_sub(2);
    line.get(BODY_AT..end).unwrap_or_default()
}

pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
