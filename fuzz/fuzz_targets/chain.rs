//! `cargo fuzz run -s none chain`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| decdn_fuzz::chain(input));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("a fuzzer is built by `cargo fuzz`: run .ci/fuzz chain");
    std::process::exit(2);
}
