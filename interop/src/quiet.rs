use std::panic;

/// Ends the process without a word, as a signal would have, when nobody reads its output any more: for programs that
/// print with `println!`, which panics then. Other panics are told as before.
pub fn end_quietly_without_a_reader() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let told = panic.payload_as_str().unwrap_or_default();
        if told.starts_with("failed printing to std") && told.contains("Broken pipe") {
            // Destructors would print again.
            std::process::exit(ENDED_BY_SIGPIPE);
        }
        usual(panic);
    }));
}

/// What a shell shows of a program that the signal ended.
const ENDED_BY_SIGPIPE: i32 = 128 + 13;
