//! Fuzzes [`tsq_fuzz::request_handler`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::request_handler::check(input));
