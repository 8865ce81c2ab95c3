//! A small mutator: deterministic, and it knows nothing of what the bytes mean.

use std::collections::BTreeSet;

use crate::{Target, reached};

/// Inputs do not grow beyond this.
const BYTES_MAX: usize = 2_048;

/// SplitMix64: enough to choose bytes with.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }
}

/// Inputs worth changing: the committed ones, and whatever reached something new.
#[derive(Debug)]
pub struct Pool {
    inputs: Vec<Vec<u8>>,
    reached: BTreeSet<u64>,
    dice: Dice,
}

impl Pool {
    /// A pool that begins with a corpus.
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        let inputs = if corpus.is_empty() { vec![Vec::new()] } else { corpus };
        Self { inputs, reached: BTreeSet::new(), dice: Dice(seed) }
    }

    /// Another input to try.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.pick().clone();
        for _ in 0..=self.dice.below(5) {
            self.change(&mut input);
        }
        input.truncate(BYTES_MAX);
        input
    }

    fn pick(&mut self) -> &Vec<u8> {
        let place = self.dice.below(self.inputs.len());
        &self.inputs[place]
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.dice.below(input.len() + 1);
        let to = (at + 1 + self.dice.below(24)).min(input.len());
        match self.dice.below(8) {
            0 | 1 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte = self.dice.roll() as u8;
                }
            }
            2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.dice.below(8);
                }
            }
            3 => {
                let fresh: Vec<u8> = (0..=self.dice.below(12)).map(|_| self.dice.roll() as u8).collect();
                input.splice(at..at, fresh);
            }
            4 => drop(input.drain(at..to.max(at))),
            5 => {
                let copy = input[at..to.max(at)].to_vec();
                let place = self.dice.below(input.len() + 1);
                input.splice(place..place, copy);
            }
            6 => {
                let other = self.pick().clone();
                let from = self.dice.below(other.len() + 1);
                let count = self.dice.below(64);
                input.splice(at..at, other[from..].iter().take(count).copied());
            }
            _ => {
                let other = self.pick().clone();
                let from = self.dice.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
    }

    /// Runs an input; keeps it if it reached something new, and says so.
    pub fn run(&mut self, target: Target, input: Vec<u8>) -> bool {
        target(&input);
        let before = self.reached.len();
        self.reached.append(&mut reached());
        let is_new = self.reached.len() > before;
        if is_new {
            self.inputs.push(input);
        }
        is_new
    }

    /// How many different things were reached, and by how many inputs.
    pub fn size(&self) -> (usize, usize) {
        (self.reached.len(), self.inputs.len())
    }

    /// The fewest of the kept inputs, newest first, that reach everything that the pool reached and `corpus` does not.
    pub fn distil(&self, target: Target, corpus: &[Vec<u8>]) -> Vec<&Vec<u8>> {
        let mut have = BTreeSet::new();
        for input in corpus {
            target(input);
            have.append(&mut reached());
        }
        let mut reach: Vec<_> = self.inputs[corpus.len().min(self.inputs.len())..]
            .iter()
            .map(|input| {
                target(input);
                (reached(), input)
            })
            .collect();
        let mut kept = Vec::new();
        loop {
            let best = reach
                .iter()
                .max_by_key(|(found, input)| (found.difference(&have).count(), usize::MAX - input.len()));
            let Some((found, input)) = best else { return kept };
            if found.is_subset(&have) {
                return kept;
            }
            kept.push(*input);
            have.extend(found.iter().copied());
            let done = *input;
            reach.retain(|(_, input)| !std::ptr::eq(*input, done));
        }
    }
}

/// Makes a failing input shorter and plainer as long as `fails` says that it fails.
pub fn shrink(mut input: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut step = input.len() / 2;
    while step > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut shorter = input.clone();
            shorter.drain(at..(at + step).min(input.len()));
            if fails(&shorter) {
                input = shorter;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    for at in 0..input.len() {
        for plainer in [0, input[at] & 15] {
            let mut other = input.clone();
            other[at] = plainer;
            if plainer < input[at] && fails(&other) {
                input = other;
                break;
            }
        }
    }
    input
}
