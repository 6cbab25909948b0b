//! Fuzzes [`tsq_fuzz::codec_bytes`].
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tsq_fuzz::codec_bytes::check(input));
