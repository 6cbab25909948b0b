//! One whole exchange allocates nothing, proven by an allocator that counts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use toy_key::ToyKey;
use tsq_proto::{
    ClockClass, ClockQuality, Contents, FollowUp, HostTime, Leap, Metadata, Nonce, Prepared,
    Profile, Query, Request, Response, Sample, SourceType, TimeSource,
};

mod toy_key;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEY: ToyKey = ToyKey { id: 7, len: 64 };

#[test]
fn one_exchange_allocates_nothing() {
    let (allocations, sample) = counted(exchange);
    assert!(sample.is_some());
    assert_eq!(allocations, 0);
}

// tsq: M5 M10
#[test]
fn signed_exchange_with_metadata_allocates_nothing() {
    let (allocations, sample) = counted(signed_exchange);
    let error = sample.and_then(|sample| sample.server_error());
    assert_eq!(error, Some(Duration::from_nanos(530)));
    assert_eq!(allocations, 0);
}

// tsq: M5
#[test]
fn refused_signature_allocates_nothing() {
    let (allocations, refused) = counted(|| {
        let query = Query::new(Nonce::new([7; 16]), HostTime::from_unix(0, 0));
        let mut answer = [0; 48];
        answer[..2].copy_from_slice(&[1, 16]);
        answer[2..18].fill(7);
        answer[18..20].copy_from_slice(&[2, 8]);
        answer[28..30].copy_from_slice(&[3, 8]);
        answer[38..48].copy_from_slice(&[255, 8, 2, 0, 0, 0, 7, 0, 1, 9]);
        query
            .requiring_signature(&KEY)
            .finish(black_box(&answer), HostTime::from_unix(0, 1), Duration::MAX)
            .err()
    });
    assert_eq!(
        refused.map(|refusal| refusal.name()),
        Some("signature_invalid")
    );
    assert_eq!(allocations, 0);
}

#[test]
fn refusals_allocate_nothing() {
    let (allocations, refused) = counted(|| {
        let query = Query::new(Nonce::new([7; 16]), HostTime::from_unix(0, 0));
        let answer = [249, 6, 1, 0, b'n', b'o', b'p', b'e'];
        query
            .finish(black_box(&answer), HostTime::from_unix(0, 1), Duration::MAX)
            .is_err()
    });
    assert!(refused);
    assert_eq!(allocations, 0);
}

#[test]
fn the_counter_counts() {
    let (allocations, boxed) = counted(|| black_box(Box::new(7)));
    assert_eq!((allocations, *boxed), (1, 7));
}

fn exchange() -> Option<Sample> {
    let (mut storage, mut packet, mut out) = ([0; 64], [0; 200], [0; 200]);
    let [t1, t2, t3, t4] =
        [0, 50_000, 52_000, 90_000].map(|nanos| HostTime::from_unix(1_795_000_000, nanos));
    let query = Query::new(Nonce::new([7; 16]), t1).with_request_len(150);
    let metadata = Metadata::new(&[("site", "us-east")], &mut storage).ok()?;
    let request = Request::new(query.nonce())
        .with_precision()
        .with_metadata(metadata)
        .padded_to(150);
    let len = request.encode(&mut packet).ok()?;
    let request = Request::decode(black_box(&packet[..len])).ok()?;
    let answer = Prepared::answer(&request, t2, &mut out).ok()?.stamp(t3);
    query
        .finish(black_box(answer), t4, Duration::from_secs(86_400))
        .ok()
}

fn signed_exchange() -> Option<Sample> {
    let (mut storage, mut packet, mut out) = ([0; 200], [0; 512], [0; 512]);
    let mut room = [0; FollowUp::MAX_LEN];
    let [t1, t2, t3, t4] =
        [0, 50_000, 52_000, 90_000].map(|nanos| HostTime::from_unix(1_795_000_000, nanos));
    let profile = Profile {
        leap: Some(Leap::NoWarning),
        tai_offset: Some(37),
        smear: Some("none"),
        root_delay: Some(Duration::from_nanos(1000)),
        root_dispersion: Some(Duration::from_nanos(30)),
        reference_id: Some("GPS"),
        era: t2.ntp_era(),
        server: Some("tsqd/0.1.0"),
    };
    let annotations = [("site", "us-east"), ("region", "us")];
    let earlier = FollowUp {
        nonce: Nonce::new([6; 16]),
        departure: t1.to_ntp(),
    };
    let contents = Contents {
        time_source: Some(TimeSource {
            stratum: 1,
            source: SourceType::Gps,
            info: "roof",
        }),
        clock_quality: Some(ClockQuality {
            class: ClockClass::Gnss,
            error_us: 1,
            drift_ppb: 2,
            tag: "",
        }),
        metadata: profile.to_metadata(&annotations, &mut storage).ok()?,
        follow_ups: FollowUp::to_metadata(&[earlier], &mut room).ok()?,
        signer: Some(&KEY),
    };
    let query = Query::new(Nonce::new([7; 16]), t1)
        .with_request_len(500)
        .requiring_signature(&KEY);
    let request = Request::new(Nonce::new([7; 16]))
        .with_follow_up()
        .with_signature()
        .with_precision()
        .padded_to(500);
    let len = request.encode(&mut packet).ok()?;
    let request = Request::decode(black_box(&packet[..len])).ok()?;
    let prepared = Prepared::answer_with(&request, t2, &contents, &mut out).ok()?;
    let answer = prepared.stamp(t3);
    let sample = query
        .finish(black_box(answer), t4, Duration::from_secs(86_400))
        .ok()?;
    let response = Response::decode(answer).ok()?;
    let told = FollowUp::all(&response.metadata()).next()?;
    (told == earlier).then_some(sample)
}

/// Runs `work` and counts this thread's allocations meanwhile; other tests run beside it.
fn counted<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.get();
    let outcome = work();
    (ALLOCATIONS.get() - before, outcome)
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout, for `alloc` above got it there.
        unsafe { System.dealloc(pointer, layout) }
    }
}
