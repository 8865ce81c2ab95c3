//! The only randomness of a run: named choices, each asked of one source. A seed is a way to make choices; the log
//! of the choices made is the run's identity. Any log and any byte string is a run: what a source lacks is 0, and
//! what is too large is folded into range.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a choice is about. Each label has its own stream, so that one more choice of one kind does not
        /// move all others.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Label { $($(#[$doc])* $name,)* }

        impl Label {
            /// All labels, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name in traces.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

labels! {
    /// What a scenario leaves open: sizes, rates, counts.
    Scenario = "scenario",
    /// Which of several simultaneous events comes first.
    Tie = "tie",
    /// How long a packet takes.
    Latency = "latency",
    /// When a connection dies, and what dies with it.
    Connection = "connection",
    /// Duplicated and delayed control messages.
    Shuffle = "shuffle",
    /// How long a write takes.
    Disk = "disk",
    /// When a process crashes, and for how long.
    Crash = "crash",
    /// Whether a write set that nobody acknowledged survives a crash.
    Torn = "torn",
    /// How long a signature takes.
    Signer = "signer",
    /// How long the chain's endpoints and the sequencer take.
    Chain = "chain",
    /// How far clocks are off.
    Clock = "clock",
    /// What an adversary does next.
    Adversary = "adversary",
    /// What an owner answers, and when.
    Owner = "owner",
    /// What a scenario pins and somebody leaves open for once.
    Set = "set",
    /// What is wrong with an endpoint's answer.
    Endpoint = "endpoint",
}

const LABELS: usize = Label::ALL.len();

/// One choice that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// What it was about.
    pub label: Label,
    /// The choice, below the number of options at the time.
    pub value: u64,
}

/// Where choices come from.
#[derive(Clone, Debug)]
enum Source {
    Seeded(Box<[ChaCha8Rng; LABELS]>),
    Recorded { choices: Vec<Choice>, next: usize },
    Bytes { bytes: Vec<u8>, next: usize },
}

/// A run's choices.
#[derive(Clone, Debug)]
pub struct Decisions {
    source: Source,
    log: Option<Vec<Choice>>,
    made: u64,
    off_script: bool,
}

impl Decisions {
    /// Choices drawn from a seed, one ChaCha8 stream per label.
    pub fn seeded(seed: u64) -> Self {
        let rngs = core::array::from_fn(|label| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(label as u64);
            rng
        });
        Self::from(Source::Seeded(Box::new(rngs)))
    }

    /// The choices of a log, one after the other.
    pub fn recorded(choices: Vec<Choice>) -> Self {
        Self::from(Source::Recorded { choices, next: 0 })
    }

    /// Choices read from bytes: as many of them per choice as its range needs.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::from(Source::Bytes { bytes, next: 0 })
    }

    fn from(source: Source) -> Self {
        Self { source, log: None, made: 0, off_script: false }
    }

    /// Keeps a log of every choice from here on.
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// The choices logged so far.
    pub fn log(&self) -> &[Choice] {
        self.log.as_deref().unwrap_or_default()
    }

    /// Empties the log.
    pub fn clear_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.clear();
        }
    }

    /// How many choices were made.
    pub fn made(&self) -> u64 {
        self.made
    }

    /// Whether a recorded log did not fit the questions asked: it belongs to another program or scenario.
    pub fn is_off_script(&self) -> bool {
        self.off_script
    }

    /// One of `options` options: a number below `options`, 0 if there are none.
    pub fn below(&mut self, label: Label, options: u64) -> u64 {
        if options <= 1 {
            return 0;
        }
        let value = match &mut self.source {
            Source::Seeded(rngs) => {
                let wide = u128::from(rngs[label as usize].next_u64()) * u128::from(options);
                (wide >> 64) as u64
            }
            Source::Recorded { choices, next } => match choices.get(*next) {
                Some(choice) => {
                    *next += 1;
                    self.off_script |= choice.label != label || choice.value >= options;
                    choice.value % options
                }
                None => {
                    self.off_script = true;
                    0
                }
            },
            Source::Bytes { bytes, next } => {
                let mut value = 0;
                let mut room = options - 1;
                while room > 0 {
                    value = value << 8 | u64::from(bytes.get(*next).copied().unwrap_or(0));
                    *next += 1;
                    room >>= 8;
                }
                value % options
            }
        };
        self.made += 1;
        if let Some(log) = &mut self.log {
            log.push(Choice { label, value });
        }
        value
    }

    /// A number from `low` to `high`, both included; `low` where the range is empty.
    pub fn between(&mut self, label: Label, low: u64, high: u64) -> u64 {
        let options = high.saturating_sub(low).saturating_add(1);
        low + self.below(label, options)
    }

    /// Yes with a probability of `per_million` in a million. Asks nothing where the answer is certain.
    pub fn chance(&mut self, label: Label, per_million: u32) -> bool {
        match per_million {
            0 => false,
            1_000_000.. => true,
            weight => self.below(label, 1_000_000) < u64::from(weight),
        }
    }

    /// How many trials pass before something happens that happens in `per_million` of a million trials: any
    /// number up to twice the mean; `None` for never.
    pub fn trials_until(&mut self, label: Label, per_million: u32) -> Option<u64> {
        (per_million > 0).then(|| self.between(label, 0, 2_000_000 / u64::from(per_million)))
    }
}
