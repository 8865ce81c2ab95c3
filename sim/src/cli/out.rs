//! Stdout and stderr, either of which may be closed while it is written to.

use std::{
    fmt::Arguments,
    io::{self, ErrorKind, Write},
    process,
};

/// What a shell reports of a program that wrote into a closed pipe.
const CLOSED_PIPE: i32 = 141;

/// A line for stdout. Nobody is left to read (`cargo sim list | head`): that is the end, and no failure. A full disk is
/// one sentence.
pub(super) fn out(line: Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    if let Err(why) = writeln!(stdout, "{line}") {
        if why.kind() == ErrorKind::BrokenPipe {
            process::exit(CLOSED_PIPE);
        }
        err(format_args!("error: stdout can't be written ({why}); send it where there is room."));
        process::exit(2);
    }
}

/// A line for stderr, as long as somebody reads it.
pub(super) fn err(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Like `println!`, but never panics.
macro_rules! say {
    ($($arg:tt)*) => { $crate::cli::out::out(format_args!($($arg)*)) };
}

/// Like `eprintln!`, but never panics.
macro_rules! tell {
    ($($arg:tt)*) => { $crate::cli::out::err(format_args!($($arg)*)) };
}

pub(super) use {say, tell};
