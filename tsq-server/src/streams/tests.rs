use super::*;

const REQUEST: [u8; 18] = [1, 16, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
const GRANTED: u16 = 8;
const INSTANT: Duration = Duration::from_nanos(1);

fn at(nanos: i64) -> HostTime {
    HostTime::from_unix_nanos(nanos)
}

fn key(index: u64) -> Key {
    (
        ConnId::for_tests(1),
        StreamId::new(Side::Client, Dir::Bi, index),
    )
}

/// The streams of one test, and what comes on them at which time after its beginning.
struct Test {
    streams: Streams,
    start: Instant,
}

impl Test {
    fn new() -> Self {
        Self {
            streams: Streams::new(GRANTED),
            start: Instant::now(),
        }
    }

    /// Bytes without an end, which arrive at `after` also by the host's clock.
    fn more(&mut self, after: Duration, index: u64, data: &[u8]) -> Progress {
        self.take(after, index, data, false)
    }

    /// The end, and bytes before it.
    fn end(&mut self, after: Duration, index: u64, data: &[u8]) -> Progress {
        self.take(after, index, data, true)
    }

    fn take(&mut self, after: Duration, index: u64, data: &[u8], finished: bool) -> Progress {
        let arrived = at(i64::try_from(after.as_nanos()).unwrap());
        let data = Bytes::copy_from_slice(data);
        self.streams
            .receive(self.start + after, key(index), &data, finished, arrived)
    }

    /// What is due by then, in its order.
    fn due(&mut self, after: Duration) -> Vec<(u64, Due)> {
        let now = self.start + after;
        std::iter::from_fn(|| self.streams.expire(now))
            .map(|((_, stream), due)| (stream.index(), due))
            .collect()
    }

    /// An answered request whose client has not ended its side.
    fn answered(&mut self, after: Duration, index: u64) {
        assert_eq!(self.more(after, index, &REQUEST), Progress::Nothing);
        let due = self.due(after + QUIET);
        assert!(
            matches!(due[..], [(which, Due::Answer(_))] if which == index),
            "{due:?}"
        );
    }
}

fn request(after: Duration) -> Complete {
    Complete {
        bytes: Bytes::from_static(&REQUEST),
        arrived: at(i64::try_from(after.as_nanos()).unwrap()),
    }
}

const ZERO: Duration = Duration::ZERO;
const MS: Duration = Duration::from_millis(1);

#[test]
fn finished_request_is_complete_at_once() {
    let mut test = Test::new();
    let progress = test.end(7 * MS, 0, &REQUEST);
    assert_eq!(progress, Progress::Complete(request(7 * MS)));
    assert_eq!(test.streams.waiting(), 0);
}

// tsq: F2
#[test]
fn unfinished_request_is_complete_after_a_quiet_while() {
    let mut test = Test::new();
    assert_eq!(test.more(7 * MS, 0, &REQUEST), Progress::Nothing);
    assert_eq!(test.due(7 * MS + QUIET - INSTANT), []);
    assert_eq!(
        test.streams.next_deadline(),
        Some(test.start + 7 * MS + QUIET)
    );
    let due = test.due(7 * MS + QUIET);
    assert_eq!(due, [(0, Due::Answer(request(7 * MS)))]);
}

#[test]
fn bytes_that_follow_put_the_answer_off() {
    let mut test = Test::new();
    let _ = test.more(ZERO, 0, &REQUEST);
    // Half an element: incomplete until the rest comes.
    let _ = test.more(QUIET / 2, 0, &[254, 2, 0]);
    assert_eq!(test.due(QUIET * 9), []);
    let _ = test.more(QUIET * 10, 0, &[0]);
    let due = test.due(QUIET * 11);
    let [(0, Due::Answer(complete))] = &due[..] else {
        panic!("{due:?}");
    };
    let arrived = at(i64::try_from((QUIET * 10).as_nanos()).unwrap());
    assert_eq!((complete.bytes.len(), complete.arrived), (22, arrived));
}

#[test]
fn an_end_in_a_later_packet_does_not_move_the_arrival() {
    let mut test = Test::new();
    let _ = test.more(MS, 0, &REQUEST);
    assert_eq!(test.end(2 * MS, 0, &[]), Progress::Complete(request(MS)));
}

// tsq: F2
#[test]
fn client_that_ends_its_side_after_the_answer_is_answered_once_and_not_stopped() {
    for pause in [MS, 100 * MS, LINGER - MS] {
        let mut test = Test::new();
        test.answered(ZERO, 0);
        assert_eq!(test.due(pause), []);
        assert_eq!(test.end(pause, 0, &[]), Progress::Nothing);
        assert_eq!(test.streams.waiting(), 0);
        assert_eq!(test.streams.next_deadline(), None);
    }
}

#[test]
fn answered_stream_that_is_never_ended_is_stopped_as_late_as_a_silent_connection() {
    let mut test = Test::new();
    test.answered(ZERO, 0);
    assert_eq!(test.due(QUIET + LINGER - INSTANT), []);
    assert_eq!(test.due(QUIET + LINGER), [(0, Due::Stop)]);
    assert_eq!(test.streams.waiting(), 0);
}

#[test]
fn answered_streams_give_way_when_half_of_the_streams_are_in_use() {
    let mut test = Test::new();
    let half = u64::from(GRANTED) / 2;
    for index in 0..half - 1 {
        test.answered(index as u32 * 10 * MS, index);
    }
    assert_eq!(test.due(LINGER), [], "there is room");
    // One more, that asks for nothing yet.
    let _ = test.more(LINGER, half, &[]);
    let all: Vec<_> = (0..half - 1).map(|index| (index, Due::Stop)).collect();
    assert_eq!(test.due(LINGER), all);
}

#[test]
fn answered_streams_are_kept_for_a_moment_even_when_room_is_short() {
    let mut test = Test::new();
    for index in 0..u64::from(GRANTED) {
        assert_eq!(test.more(ZERO, index, &REQUEST), Progress::Nothing);
    }
    assert_eq!(test.due(QUIET).len(), usize::from(GRANTED), "answers");
    assert_eq!(test.due(QUIET + GRACE - INSTANT), []);
    // Who ends its side meanwhile is not stopped.
    assert_eq!(test.end(QUIET + GRACE - INSTANT, 3, &[]), Progress::Nothing);
    let stopped: Vec<_> = [0, 1, 2, 4, 5, 6, 7].map(|i| (i, Due::Stop)).into();
    assert_eq!(test.due(QUIET + GRACE), stopped);
}

#[test]
fn room_is_made_by_the_connection_that_lacks_it() {
    let mut test = Test::new();
    test.answered(ZERO, 0);
    let other = |index| {
        (
            ConnId::for_tests(2),
            StreamId::new(Side::Client, Dir::Bi, index),
        )
    };
    for index in 0..u64::from(GRANTED) {
        let nothing = Bytes::new();
        let start = test.start;
        let _ = test
            .streams
            .receive(start, other(index), &nothing, false, at(1));
    }
    assert_eq!(test.due(GRACE * 2), []);
}

#[test]
fn request_that_does_not_end_in_time_is_given_up() {
    // Nothing, the beginning of an element, and one that grows all the time.
    let mut test = Test::new();
    for (index, bytes) in [&[][..], &REQUEST[..17], &[254]].into_iter().enumerate() {
        assert_eq!(test.more(ZERO, index as u64, bytes), Progress::Nothing);
    }
    for n in 1..100 {
        let _ = test.more(LIFETIME / 100 * n, 2, &[255]);
    }
    assert_eq!(test.due(LIFETIME - INSTANT), []);
    let all: Vec<_> = [0, 1, 2].map(|index| (index, Due::GiveUp)).into();
    assert_eq!(test.due(LIFETIME), all);
    assert_eq!(test.streams.waiting(), 0);
}

#[test]
fn request_without_end_is_cut_off_at_the_limit() {
    let mut test = Test::new();
    assert_eq!(test.more(ZERO, 0, &[0; MAX_REQUEST]), Progress::Nothing);
    assert_eq!(test.more(ZERO, 0, &[0]), Progress::TooLong);
    assert_eq!(test.end(ZERO, 1, &[0; MAX_REQUEST + 1]), Progress::TooLong);
    assert_eq!(test.streams.waiting(), 0);
}

#[test]
fn bytes_behind_an_answered_request_are_read_up_to_the_limit() {
    let mut test = Test::new();
    test.answered(ZERO, 0);
    assert_eq!(test.more(MS * 9, 0, &[0; MAX_REQUEST]), Progress::Nothing);
    assert_eq!(test.due(MS * 99), [], "they are not answered");
    assert_eq!(test.more(MS * 99, 0, &[0]), Progress::Excess);
    assert_eq!(test.streams.waiting(), 0);
}

#[test]
fn forgotten_stream_is_told_by_what_it_was() {
    let mut test = Test::new();
    let _ = test.more(ZERO, 0, &REQUEST[..9]);
    test.answered(ZERO, 1);
    assert_eq!(
        [0, 1, 2, 0, 1].map(|index| test.streams.forget(key(index))),
        [
            Known::Asking,
            Known::Answered,
            Known::No,
            Known::No,
            Known::No
        ]
    );
    assert_eq!(test.streams.next_deadline(), None);
}

#[test]
fn closed_connection_leaves_nothing_behind() {
    let mut test = Test::new();
    for index in 0..3 {
        let _ = test.more(ZERO, index, &[1]);
    }
    let other = (ConnId::for_tests(2), key(0).1);
    let (start, data) = (test.start, Bytes::from_static(&[1]));
    let _ = test.streams.receive(start, other, &data, false, at(1));
    test.streams.forget_connection(key(0).0);
    assert_eq!(test.streams.waiting(), 1);
    assert_eq!(
        test.streams.expire(start + LIFETIME),
        Some((other, Due::GiveUp))
    );
    assert_eq!(test.streams.next_deadline(), None);
}
