//! `cargo fuzz run -s none logs`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| decdn_fuzz::logs(input));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("a fuzzer is built by `cargo fuzz`: run .ci/fuzz logs");
    std::process::exit(2);
}
