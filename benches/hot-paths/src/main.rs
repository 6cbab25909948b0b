//! `tsq-counts`: goes one hot path so many times, for callgrind to count. `cargo xtask bench-check` runs it.
//!
//! `tsq-counts list` prints each path and how many passes make a count, `tsq-counts cpu` which features of the
//! processor it sees (valgrind shows others than the processor has), `tsq-counts run NAME PASSES` does the work.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tsq_hot_paths::{PATHS, Pass, Path};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["list"] => {
            for path in PATHS {
                println!("{}\t{}", path.passes, path.name);
            }
        }
        ["cpu"] => println!("{}", cpu_features().join(" ")),
        ["run", name, passes] => {
            let (Some(path), Ok(passes)) = (Path::named(name), passes.parse()) else {
                return usage("no such path, or no number of passes");
            };
            let mut pass = (path.prepare)();
            // Buffers grow and caches fill in the first passes.
            repeat(&mut pass, WARM_UP);
            tsq_counts_measured(&mut pass, passes);
        }
        _ => return usage("not a command"),
    }
    ExitCode::SUCCESS
}

/// Callgrind counts what happens inside this function, which it knows by its name.
#[inline(never)]
fn tsq_counts_measured(pass: &mut Pass, passes: u32) {
    repeat(pass, passes);
}

#[inline(never)]
fn repeat(pass: &mut Pass, passes: u32) {
    for _ in 0..passes {
        pass();
    }
}

/// Enough for buffers to have their final size, and for QUIC to have a round trip to go by.
const WARM_UP: u32 = 32;

fn usage(problem: &str) -> ExitCode {
    eprintln!("tsq-counts: {problem}; usage: tsq-counts list | cpu | run NAME PASSES");
    ExitCode::from(2)
}

/// What the cryptography and the C library choose their code by.
fn cpu_features() -> Vec<&'static str> {
    macro_rules! those_of {
        ($is_detected:ident: $($name:tt)*) => {
            [$(($name, std::arch::$is_detected!($name))),*]
        };
    }
    #[cfg(target_arch = "x86_64")]
    let known = those_of!(is_x86_feature_detected:
        "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "movbe" "aes" "pclmulqdq" "sha" "avx" "avx2" "bmi1" "bmi2" "adx"
        "lzcnt" "fma" "vaes" "vpclmulqdq" "avx512f" "avx512bw" "avx512vl");
    #[cfg(target_arch = "aarch64")]
    let known =
        those_of!(is_aarch64_feature_detected: "neon" "aes" "pmull" "sha2" "sha3" "lse" "sve");
    let mut seen = vec![std::env::consts::ARCH];
    seen.extend(
        known
            .into_iter()
            .filter(|(_, is)| *is)
            .map(|(name, _)| name),
    );
    seen
}
