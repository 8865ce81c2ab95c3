//! Writing a recording.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use decdn_engine::{io::Input, record::Record, roles::Config, state::Digest, time::Now};

use crate::{
    chained::Chained,
    line::{Fed, Head, Line, VERSION, chained},
};

/// Writes a recording line by line. The first error of the writer is kept, and nothing is written after it: a full disk
/// ends a recording, not the process.
#[derive(Debug)]
pub struct Recorder<W: Write> {
    to: W,
    chained: Chained,
    failed: Option<io::Error>,
}

impl Recorder<File> {
    /// Begins a recording in a new file that only its owner may read.
    ///
    /// # Errors
    /// If the file is there already or can't be written.
    pub fn create(
        path: &Path,
        software: &str,
        setup: Config,
        records: &[Record],
        start: Digest,
    ) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        Self::begin(options.open(path)?, software, setup, records, start)
    }
}

impl<W: Write> Recorder<W> {
    /// Begins a recording of a role that starts from these records in this state.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn begin(
        to: W,
        software: &str,
        setup: Config,
        records: &[Record],
        start: Digest,
    ) -> io::Result<Self> {
        let mut recorder = Self { to, chained: chained(), failed: None };
        recorder.write(&Line::Head(Head { version: VERSION, software: software.to_owned(), setup }));
        for record in records {
            recorder.write(&Line::Record(record.clone()));
        }
        recorder.write(&Line::Start(start));
        match recorder.failed.take() {
            Some(why) => Err(why),
            None => Ok(recorder),
        }
    }

    fn write(&mut self, line: &Line) {
        if self.failed.is_some() {
            return;
        }
        let text = serde_json::to_string(line).expect("plain data has a text");
        // In one piece, and at once: after a crash at most the last line is torn.
        if let Err(why) = self.to.write_all(self.chained.wrap(&text).as_bytes()) {
            self.failed = Some(why);
        }
    }

    /// An input is about to be fed to a role in this state.
    pub fn fed(&mut self, at: Now, met: Digest, input: &Input) {
        self.write(&Line::Fed(Fed { at, met, input: input.clone() }));
    }

    /// Why nothing is written any more; says it once.
    pub fn take_error(&mut self) -> Option<io::Error> {
        let error = self.failed.take()?;
        self.failed = Some(io::Error::other("the recording has ended"));
        Some(error)
    }

    /// The role was stopped in this state. Gives the writer back.
    ///
    /// # Errors
    /// The first one of the writer.
    pub fn end(mut self, last: Digest) -> io::Result<W> {
        self.write(&Line::End(last));
        match self.failed {
            Some(why) => Err(why),
            None => Ok(self.to),
        }
    }
}
