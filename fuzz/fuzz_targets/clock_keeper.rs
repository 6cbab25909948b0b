//! Fuzzes [`tsq_fuzz::clock_keeper`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::clock_keeper::check(input));
