//! Telling a recorded client or node again what it was told: the same inputs, hence the same states.

use std::{
    cell::Cell,
    fs::File,
    io::{BufRead, Read},
    panic,
    path::Path,
};

use decdn_contracts::Curves;
use decdn_engine::{
    io::{Output, Outputs},
    record::Record,
    roles::{AnyRole, Role as _},
    state::Digest,
};
use decdn_recording::{BadRecording, Fed, Line, Reader};

use super::{
    BadTrace,
    replay::{Parting, shown},
};

/// The most durable records that a recording may begin with.
const RECORDS_MAX: usize = 1 << 22;

/// How a recording ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// By a clean stop.
    Stopped,
    /// After a whole line, without a stop: the process died, or the recording.
    Open,
    /// Inside a line: the process died while it wrote.
    Torn,
}

/// A recording that went as written.
#[derive(Clone, Debug)]
pub struct Incident {
    /// `client` or `node`.
    pub role: &'static str,
    /// Version of the program that recorded.
    pub software: String,
    /// Inputs that were told again.
    pub inputs: u64,
    /// The last state.
    pub digest: Digest,
    /// How the recording ends.
    pub ending: Ending,
    /// The line at which the engine panicked, if it did: the lines up to there reproduce it.
    pub panicked: Option<u64>,
}

impl From<BadRecording> for BadTrace {
    fn from(bad: BadRecording) -> Self {
        Self(bad.0)
    }
}

/// Whether a file is a recording rather than a trace: a text, not compressed. What can't be read is neither.
pub fn is_recording(path: &Path) -> bool {
    let mut first = [0];
    File::open(path).is_ok_and(|mut file| file.read_exact(&mut first).is_ok() && first == *b"{")
}

/// Where two recordings part: the line's number and both sides, if they have one.
///
/// # Errors
/// Where one of them can't be read, with the first wrong line.
pub fn diff_recordings(a: &Path, b: &Path) -> Result<Option<Parting>, BadTrace> {
    let (mut a, mut b) = (Reader::open(a)?, Reader::open(b)?);
    let mut number = 0;
    loop {
        number += 1;
        let (left, right) = (a.next_body()?, b.next_body()?);
        if left != right {
            return Ok(Some((number, left.map(shown), right.map(shown))));
        }
        if left.is_none() {
            return Ok(None);
        }
    }
}

/// Tells a recording again, with every input and what the role asked for in return to `each`.
///
/// # Errors
/// With the first wrong line: one that was edited, or after which the states differ.
pub fn retell(path: &Path, each: impl FnMut(&Fed, &[Output])) -> Result<Incident, BadTrace> {
    retell_from(Reader::open(path)?, each)
}

/// The same, from anywhere.
///
/// # Errors
/// With the first wrong line.
pub fn retell_from<R: BufRead>(
    mut reader: Reader<R>,
    mut each: impl FnMut(&Fed, &[Output]),
) -> Result<Incident, BadTrace> {
    let head = reader.head()?;
    let records = records(&mut reader)?;
    let role = head.setup.name();
    let progress = Progress::default();
    progress.line.set(reader.line());
    let told = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let role = AnyRole::recover(head.setup, records.0.into_iter());
        tell(role, records.1, &mut reader, &progress, &mut each)
    }));
    let (ending, panicked) = match told {
        Ok(told) => (told?, None),
        Err(_) => (Ending::Open, Some(progress.line.get())),
    };
    let (inputs, digest) = (progress.inputs.get(), progress.digest.get());
    Ok(Incident { role, software: head.software, inputs, digest, ending, panicked })
}

/// How far it has come; outlives a panic.
#[derive(Default)]
struct Progress {
    line: Cell<u64>,
    inputs: Cell<u64>,
    digest: Cell<Digest>,
}

/// The durable records, and the state that follows from them.
fn records<R: BufRead>(reader: &mut Reader<R>) -> Result<(Vec<Record>, Digest), BadTrace> {
    let mut records = Vec::new();
    loop {
        match reader.next_line()? {
            Some(Line::Record(record)) if records.len() < RECORDS_MAX => records.push(record),
            Some(Line::Start(start)) => return Ok((records, start)),
            Some(Line::Record(_)) => {
                return Err(reader.wrong("more durable records than any role keeps").into());
            }
            Some(_) => return Err(reader.wrong("only records come before the start").into()),
            None => {
                return Err(reader
                    .wrong("the recording ends before its start: there is nothing to tell again")
                    .into());
            }
        }
    }
}

fn tell<R: BufRead>(
    mut role: AnyRole,
    start: Digest,
    reader: &mut Reader<R>,
    progress: &Progress,
    each: &mut impl FnMut(&Fed, &[Output]),
) -> Result<Ending, BadTrace> {
    let crypto = Curves::new();
    let mut outputs = Outputs::new();
    check(reader, role.digest(), start, progress)?;
    while let Some(line) = reader.next_line()? {
        progress.line.set(reader.line());
        match line {
            Line::Fed(fed) => {
                check(reader, role.digest(), fed.met, progress)?;
                role.step(fed.at, fed.input.clone(), &crypto, &mut outputs);
                progress.inputs.set(progress.inputs.get() + 1);
                each(&fed, outputs.as_slice());
                outputs.drain();
            }
            Line::End(last) => {
                check(reader, role.digest(), last, progress)?;
                return match reader.next_body()? {
                    None => Ok(Ending::Stopped),
                    Some(_) => Err(reader.wrong("something follows the stop; remove it").into()),
                };
            }
            Line::Head(_) | Line::Record(_) | Line::Start(_) => {
                return Err(reader.wrong("this line belongs before the start").into());
            }
        }
    }
    progress.digest.set(role.digest());
    Ok(if reader.is_torn() { Ending::Torn } else { Ending::Open })
}

fn check<R: BufRead>(
    reader: &Reader<R>,
    is: Digest,
    was: Digest,
    progress: &Progress,
) -> Result<(), BadTrace> {
    progress.digest.set(is);
    if is == was {
        return Ok(());
    }
    Err(reader
        .wrong(format_args!(
            "the state was {was:?} when this was recorded and is {is:?} now: replay it with the program that recorded it"
        ))
        .into())
}
