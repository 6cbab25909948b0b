//! Fuzzes [`tsq_fuzz::scenario_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::scenario_file::check(input));
