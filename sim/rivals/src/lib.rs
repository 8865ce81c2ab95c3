//! The game that every simulator plays: hosts in pairs, one message to and fro in each pair, between one and ten
//! milliseconds one way, until so many messages have arrived.
#![warn(missing_docs)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::{Duration, Instant};

use clap::Parser;

/// Where every server listens.
pub const PORT: u16 = 9_000;
/// One way, shortest and longest.
pub const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// What `cargo sim bench` asks of a rival.
#[derive(Clone, Copy, Debug, Parser)]
pub struct Game {
    /// How many pairs of hosts there are.
    #[arg(long)]
    pub pairs: u8,
    /// How often the message of each pair arrives, at either end.
    #[arg(long)]
    pub messages: u64,
    /// What the simulator's choices are drawn from.
    #[arg(long)]
    pub seed: u64,
}

impl Game {
    /// Plays, and prints how long it took as one JSON object.
    pub fn measure(self, play: impl FnOnce()) {
        let start = Instant::now();
        play();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        println!("{}", serde_json::json!({ "nanos": nanos }));
    }

    /// How often the server of each pair answers.
    pub fn answers(self) -> u64 {
        self.messages / 2
    }
}
