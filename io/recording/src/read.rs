//! Reading a recording. It is hostile input: every line has a cap that is checked before memory is taken, and the first
//! wrong line is named.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use crate::{
    chained::Chained,
    line::{Head, Line, VERSION, chained},
};

/// The longest line.
const LINE_BYTES: u64 = 16 << 20;

/// Why a recording can't be used: one sentence that says what, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadRecording(pub String);

impl fmt::Display for BadRecording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRecording {}

/// Reads a recording line by line.
#[derive(Debug)]
pub struct Reader<R = BufReader<File>> {
    name: String,
    input: R,
    chained: Chained,
    line: u64,
    text: Vec<u8>,
    is_torn: bool,
}

impl Reader {
    /// Opens a recording.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn open(path: &Path) -> Result<Self, BadRecording> {
        let name = path.display().to_string();
        let file = File::open(path).map_err(|why| {
            BadRecording(format!("{name} can't be read ({why}); name a recording that `--record` wrote."))
        })?;
        Ok(Self::new(&name, BufReader::new(file)))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads a recording that is called `name` from anywhere.
    pub fn new(name: &str, input: R) -> Self {
        let chained = chained();
        Self { name: name.to_owned(), input, chained, line: 0, text: Vec::new(), is_torn: false }
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Whether the last line is torn, as after a crash.
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// What is wrong at the line that was read last.
    pub fn wrong(&self, what: impl fmt::Display) -> BadRecording {
        BadRecording(format!("{}:{}: {what}.", self.name, self.line))
    }

    /// The head.
    ///
    /// # Errors
    /// If there is none, or one of another version.
    pub fn head(&mut self) -> Result<Head, BadRecording> {
        match self.next_line()? {
            Some(Line::Head(head)) if head.version == VERSION => Ok(head),
            Some(Line::Head(head)) => Err(self.wrong(format_args!(
                "this recording has version {}, this program reads {VERSION}; replay it with the program that \
                 wrote it ({})",
                head.version,
                head.software.chars().take(40).collect::<String>()
            ))),
            _ => Err(self.wrong("a recording begins with a head; name one that `--record` wrote")),
        }
    }

    /// The next line's body as it is written; `None` at the end, torn or not.
    ///
    /// # Errors
    /// If a line is too long, is no text, or was not written after the one before.
    pub fn next_body(&mut self) -> Result<Option<&str>, BadRecording> {
        self.text.clear();
        if self.is_torn {
            return Ok(None);
        }
        let read = (&mut self.input).take(LINE_BYTES).read_until(b'\n', &mut self.text);
        let bytes = read.map_err(|why| BadRecording(format!("{} can't be read on ({why}).", self.name)))?;
        if bytes == 0 {
            return Ok(None);
        }
        self.line += 1;
        if self.text.last() != Some(&b'\n') {
            if bytes as u64 == LINE_BYTES {
                return Err(
                    self.wrong("the line is longer than any of a recording; name one that `--record` wrote")
                );
            }
            if self.line == 1 {
                return Err(self.wrong("this is no recording; name one that `--record` wrote"));
            }
            self.is_torn = true;
            self.line -= 1;
            return Ok(None);
        }
        let end = self.text.len() - 1;
        let body = std::str::from_utf8(&self.text[..end]).ok().and_then(|text| self.chained.unwrap(text));
        body.map(Some).ok_or_else(|| {
            BadRecording(format!(
                "{}:{}: this line was not written after the one before: the recording was edited, or is none; \
                 use the original.",
                self.name, self.line
            ))
        })
    }

    /// The next line, understood; `None` at the end, torn or not.
    ///
    /// # Errors
    /// As [`next_body`](Self::next_body), and where the line says nothing that this version knows.
    pub fn next_line(&mut self) -> Result<Option<Line>, BadRecording> {
        let parsed = self.next_body()?.map(serde_json::from_str);
        match parsed {
            None => Ok(None),
            Some(Ok(line)) => Ok(Some(line)),
            Some(Err(_)) => Err(self.wrong(format_args!(
                "this line is none of version {VERSION}; replay it with the program that wrote it"
            ))),
        }
    }
}
