//! Fuzzes [`tsq_fuzz::receipt_verifier`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::receipt_verifier::check(input));
