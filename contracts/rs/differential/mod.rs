//! Model, bytecode and the engine's prediction held against each other (O9): the same transactions into all three, and a
//! comparison of everything that can be read after each. What is tried is the caller's: a property test draws it
//! (`tests/differential`), a fuzzer reads it from bytes (`fuzz/src/contract.rs`).

mod run;
mod step;

pub use self::{
    run::{Run, Taken},
    step::{By, Consent, Content, Ink, Owner, PARTIES, Paper, Step, Sum, TOKENS, Terms},
};
