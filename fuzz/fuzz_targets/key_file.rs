//! `cargo fuzz run -s none key_file`
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| decdn_fuzz::key_file(input));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("a fuzzer is built by `cargo fuzz`: run .ci/fuzz key_file");
    std::process::exit(2);
}
