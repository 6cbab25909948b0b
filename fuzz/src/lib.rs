//! Properties of TSQ that must hold for any input, one module each.
//!
//! A property is a function `check(&[u8])` that panics when it does not hold. `fuzz_targets/` hands it what the fuzzer
//! invents; the tests here hand it every seed and every finding of the past, on any compiler.
//!
//! What is not here: how to run them, and what came of it, is in `README.md`.

#![forbid(unsafe_code)]

pub mod clock_keeper;
pub mod codec_bytes;
pub mod codec_values;
mod elements;
pub mod input;
pub mod keys;
pub mod receipt_verifier;
pub mod request_handler;
pub mod response_validator;
pub mod scenario_file;
pub mod server_endpoint;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    fn replay(folder: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            // Shown when the property does not hold.
            println!("{}", path.display());
            check(&fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "nothing in {}", folder.display());
    }

    #[test]
    fn clock_keeper_holds_for_every_seed() {
        replay("seeds/clock_keeper", crate::clock_keeper::check);
    }

    #[test]
    fn scenario_file_holds_for_every_seed() {
        replay("seeds/scenario_file", crate::scenario_file::check);
    }

    #[test]
    fn codec_values_hold_for_every_seed() {
        replay("seeds/codec_values", crate::codec_values::check);
    }

    #[test]
    fn codec_bytes_hold_for_every_seed() {
        replay("seeds/codec_bytes", crate::codec_bytes::check);
    }

    #[test]
    fn request_handler_holds_for_every_seed() {
        replay("seeds/request_handler", crate::request_handler::check);
    }

    #[test]
    fn response_validator_holds_for_every_seed() {
        replay("seeds/response_validator", crate::response_validator::check);
    }

    #[test]
    fn server_endpoint_holds_for_every_seed() {
        replay("seeds/server_endpoint", crate::server_endpoint::check);
    }

    #[test]
    fn receipt_verifier_holds_for_every_seed() {
        replay("seeds/receipt_verifier", crate::receipt_verifier::check);
    }
}
