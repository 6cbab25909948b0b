//! Fuzzes [`tsq_fuzz::response_validator`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::response_validator::check(input));
