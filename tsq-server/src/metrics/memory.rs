//! How much memory this process holds.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Reads the kernel's count of our resident pages.
#[derive(Debug)]
pub struct Memory {
    /// Opened before a sandbox forbids it; None where there is no /proc.
    statm: Option<File>,
}

impl Memory {
    /// Of this process.
    pub fn own() -> Self {
        Self {
            statm: File::open("/proc/self/statm").ok(),
        }
    }

    /// Bytes in memory now; None where the kernel does not say.
    pub fn resident(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let text = std::str::from_utf8(&text[..length]).ok()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_used_is_counted_when_it_is_asked_for() {
        let memory = Memory::own();
        let before = memory.resident().unwrap();
        let held = vec![1_u8; 64 << 20];
        let during = memory.resident().unwrap();
        assert!(during >= before + (32 << 20), "{before} {during}");
        drop(std::hint::black_box(held));
    }
}
