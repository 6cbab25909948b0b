//! Fuzzes [`tsq_fuzz::server_endpoint`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::server_endpoint::check(input));
