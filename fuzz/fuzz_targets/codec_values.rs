//! Fuzzes [`tsq_fuzz::codec_values`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::codec_values::check(input));
