//! The good file: four receipts, by both algorithms, written by the code that writes them.

use std::sync::OnceLock;

use tempfile::NamedTempFile;
use tsq_proto::{Contents, HostTime, Nonce, Offset, Prepared, Request, Signer};
use tsq_sync::receipt::{Hex, Line, START, append};

use crate::keys::{ed25519, hmac_sha256};

/// Its bytes, the same in every run.
#[must_use]
pub fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = NamedTempFile::new().expect("a place for temporary files");
        append(file.path(), receipts().to_vec()).expect("room for four receipts");
        std::fs::read(file.path()).expect("what was just written")
    })
}

/// Its receipts, not chained yet.
pub(super) fn receipts() -> &'static [Line] {
    static RECEIPTS: OnceLock<Vec<Line>> = OnceLock::new();
    RECEIPTS.get_or_init(|| (1..=4).map(receipt).collect())
}

/// One exchange with a server 5 ms ahead, 10 us each way.
fn receipt(number: u8) -> Line {
    let key = if number.is_multiple_of(2) {
        hmac_sha256()
    } else {
        ed25519()
    };
    let signer = key
        .signing
        .active(HostTime::from_unix_nanos(0))
        .expect("the key was always valid");
    let t1 = HostTime::from_unix(1_795_000_000 + i64::from(number), 0);
    let after = |nanos| t1 + Offset::from_nanos(nanos);
    let asked = Request::new(Nonce::new([number; 16])).with_signature();
    let mut request = [0; 64];
    let len = asked.encode(&mut request).expect("room for 20 bytes");
    let contents = Contents {
        signer: Some(signer),
        ..Contents::default()
    };
    let mut response = [0; 256];
    let response = Prepared::answer_with(&asked, after(5_010_000), &contents, &mut response)
        .expect("room for 113 bytes")
        .stamp(after(5_012_000))
        .to_vec();
    Line {
        seq: 0,
        prev: START,
        server: "time.example".into(),
        address: "192.0.2.1:443".into(),
        request: Hex(request[..len].to_vec()),
        response: Hex(response),
        key_id: signer.key_id(),
        algorithm: signer.algorithm().name().into(),
        t1_ns: t1.as_unix_nanos(),
        t4_ns: after(22_000).as_unix_nanos(),
        action: "slew".into(),
        offset_ns: Some(5_000_000),
        bound_ns: Some(10_000),
        written_ns: after(1_000_000).as_unix_nanos(),
    }
}
