//! Reading traces. They are hostile input: everything has a cap that is checked before memory is taken, and the
//! first wrong line is named.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use decdn_recording::Chained;

use super::line::{Body, chained};

/// The longest line.
const LINE_BYTES: u64 = 16 << 20;
/// The most that a trace may decompress to.
const TRACE_BYTES: u64 = 4 << 30;
/// The largest zstd window, as a power of two: what decompression may hold in memory.
const WINDOW_LOG: u32 = 24;

/// Why a trace can't be used: one sentence that says what, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadTrace(pub String);

impl fmt::Display for BadTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadTrace {}

/// Reads a trace line by line.
pub struct Reader<R: BufRead = BufReader<File>> {
    name: String,
    input: BufReader<std::io::Take<zstd::Decoder<'static, R>>>,
    chained: Chained,
    line: u64,
    text: String,
}

impl Reader {
    /// Opens a trace.
    ///
    /// # Errors
    /// If the file can't be read or is no zstd stream.
    pub fn open(path: &Path) -> Result<Self, BadTrace> {
        let name = path.display().to_string();
        let wrong = |why: std::io::Error| {
            BadTrace(format!("{name} can't be read ({why}); name a trace that `--trace` wrote."))
        };
        let file = File::open(path).map_err(wrong)?;
        let meta = file.metadata().map_err(wrong)?;
        if meta.is_dir() {
            return Err(BadTrace(format!("{name} is a folder; name a trace that `--trace` wrote.")));
        }
        if meta.len() == 0 {
            return Err(BadTrace(format!("{name} is empty; name a trace that `--trace` wrote.")));
        }
        Self::new(&name, BufReader::new(file))
    }
}

impl<R: BufRead> Reader<R> {
    /// Reads a trace that is called `name` from anywhere.
    ///
    /// # Errors
    /// If no decoder can be made.
    pub fn new(name: &str, from: R) -> Result<Self, BadTrace> {
        let wrong = |why: std::io::Error| BadTrace(format!("{name} can't be decompressed ({why})."));
        let mut decoder = zstd::Decoder::with_buffer(from).map_err(wrong)?;
        decoder.window_log_max(WINDOW_LOG).map_err(wrong)?;
        let input = BufReader::new(decoder.take(TRACE_BYTES));
        Ok(Self { name: name.to_owned(), input, chained: chained(), line: 0, text: String::new() })
    }

    /// The number of the line that was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// What is wrong at the line that was read last.
    pub fn wrong(&self, what: impl fmt::Display) -> BadTrace {
        BadTrace(format!("{}:{}: {what}.", self.name, self.line))
    }

    /// The next line's body; `None` at the end.
    ///
    /// # Errors
    /// Where the line is too long, is no text, or was not written after the one before.
    pub fn next_body(&mut self) -> Result<Option<&str>, BadTrace> {
        self.text.clear();
        self.line += 1;
        let read = (&mut self.input).take(LINE_BYTES).read_line(&mut self.text);
        let length = match read {
            Ok(length) => length,
            Err(_) if self.line == 1 => {
                return Err(
                    self.wrong("this is no trace, or one that was cut off; name one that `--trace` wrote")
                );
            }
            Err(_) => return Err(self.wrong("the trace is damaged or cut off here; make it again")),
        };
        if length == 0 {
            return Ok(None);
        }
        if !self.text.ends_with('\n') {
            return Err(self.wrong("the trace is cut off here, or the line is too long; make it again"));
        }
        let line = self.text.trim_end_matches('\n');
        match self.chained.unwrap(line) {
            Some(body) => Ok(Some(body)),
            None => Err(BadTrace(format!(
                "{}:{}: this line was not written after the one before: the trace was edited, or is none; make it \
                 again.",
                self.name, self.line
            ))),
        }
    }

    /// The next line, understood.
    ///
    /// # Errors
    /// As [`next_body`](Self::next_body), and where the line says nothing that this version knows.
    pub fn next_line(&mut self) -> Result<Option<Body>, BadTrace> {
        let parsed = self.next_body()?.map(serde_json::from_str);
        match parsed {
            None => Ok(None),
            Some(Ok(body)) => Ok(Some(body)),
            Some(Err(_)) => Err(self.wrong(format_args!(
                "this line is none of version {}; replay it with the program that wrote it",
                super::VERSION
            ))),
        }
    }
}
