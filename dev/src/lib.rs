//! What the tests, benchmarks and the fuzzer of several crates have in common. No program is built from it, and it
//! knows none of our crates: each of them may test itself with it.

#![forbid(unsafe_code)]

mod any_certificate;

pub use any_certificate::AnyCertificate;
