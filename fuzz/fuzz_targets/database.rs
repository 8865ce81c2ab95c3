//! `cargo fuzz run -s none database`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| decdn_fuzz::database(input));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("a fuzzer is built by `cargo fuzz`: run .ci/fuzz database");
    std::process::exit(2);
}
