//! `cargo fuzz run -s none config`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| decdn_fuzz::config(input));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("a fuzzer is built by `cargo fuzz`: run .ci/fuzz config");
    std::process::exit(2);
}
