use tsq_proto::{HostTime, Response};

use super::*;

const PATIENCE: Duration = Duration::from_millis(20);
fn terms() -> Terms {
    Terms {
        metadata: false,
        follow_up: false,
        precision: false,
        keys: None,
        offset_limit: Duration::from_secs(86_400),
    }
}

fn nonce(byte: u8) -> Nonce {
    Nonce::new([byte; 16])
}

/// Asks the next query and lets it leave at once.
fn ask(queries: &mut Queries, byte: u8, now: Instant) {
    let ask = queries.next_ask(nonce(byte)).expect("a query to send");
    queries.asked(&ask, Transport::Datagram, None, now);
    let before = tsq_net::now();
    queries.departed(1, Departure { id: None, before }, ClockPair::read());
}

/// An answer of a server whose clock agrees with ours.
fn answer(byte: u8, t2: HostTime) -> [u8; Response::MIN_LEN] {
    let mut bytes = [0; Response::MIN_LEN];
    Response::new(nonce(byte), t2.to_ntp(), t2.to_ntp())
        .encode(&mut bytes)
        .unwrap();
    bytes
}

fn arrived_now() -> Stamp {
    std::thread::sleep(Duration::from_micros(10));
    Stamp::user(tsq_net::now())
}

fn reasons(queries: &Queries) -> Vec<&'static str> {
    let name = |sample: &SampleReport| {
        sample
            .result
            .as_ref()
            .map_or_else(Rejection::name, |_| "ok")
    };
    queries.samples.iter().map(name).collect()
}

#[test]
fn answered_queries_become_samples() {
    let mut queries = Queries::new(2, PATIENCE, terms());
    let now = Instant::now();
    ask(&mut queries, 1, now);
    ask(&mut queries, 2, now);
    assert!(queries.next_ask(nonce(3)).is_none());
    for byte in [2, 1] {
        let message = answer(byte, tsq_net::now());
        queries.datagram(&message, arrived_now(), ClockPair::read());
    }
    assert_eq!(reasons(&queries), ["ok", "ok"]);
    assert!(queries.all_done());
}

#[test]
fn unanswered_query_is_repeated_later_and_later_and_its_old_answer_refused() {
    let mut queries = Queries::new(1, PATIENCE, terms());
    let start = Instant::now();
    ask(&mut queries, 1, start);
    assert_eq!(queries.next_deadline(), Some(start + PATIENCE));
    queries.expire(start + PATIENCE - Duration::from_nanos(1));
    assert!(queries.next_ask(nonce(2)).is_none());
    queries.expire(start + PATIENCE);
    ask(&mut queries, 2, start + PATIENCE);
    assert_eq!(queries.next_deadline(), Some(start + PATIENCE * 2));
    // tsq: E4
    queries.datagram(&answer(1, tsq_net::now()), arrived_now(), ClockPair::read());
    assert_eq!((queries.superseded, queries.samples.len()), (1, 0));
    queries.expire(start + PATIENCE * 2);
    ask(&mut queries, 3, start + PATIENCE * 2);
    assert_eq!(queries.next_deadline(), Some(start + PATIENCE * 3));
    queries.datagram(&answer(3, tsq_net::now()), arrived_now(), ClockPair::read());
    assert_eq!(reasons(&queries), ["ok"]);
    assert_eq!(queries.sent, 3);
}

/// Hands the next query over, which does not leave.
fn ask_in_vain(queries: &mut Queries, byte: u8, transport: Transport, now: Instant) -> HostTime {
    let ask = queries.next_ask(nonce(byte)).expect("a query to send");
    queries.asked(&ask, transport, None, now);
    let clocks = ClockPair::read();
    queries.unsent(1, transport, clocks);
    clocks.real
}

#[test]
fn datagram_that_did_not_leave_takes_no_departure_from_the_next() {
    let mut queries = Queries::new(2, PATIENCE, terms());
    let start = Instant::now();
    ask_in_vain(&mut queries, 1, Transport::Datagram, start);
    ask(&mut queries, 2, start);
    queries.datagram(&answer(2, tsq_net::now()), arrived_now(), ClockPair::read());
    assert_eq!(reasons(&queries), ["ok"]);
    queries.expire(start + PATIENCE);
    ask(&mut queries, 3, start + PATIENCE);
    queries.datagram(&answer(3, tsq_net::now()), arrived_now(), ClockPair::read());
    assert_eq!(reasons(&queries), ["ok", "ok"]);
}

/// QUIC sends it again: T1 must not be later than that.
#[test]
fn stream_that_did_not_leave_at_once_has_its_first_attempt_as_t1() {
    let mut queries = Queries::new(1, PATIENCE, terms());
    let before = ask_in_vain(&mut queries, 1, Transport::Stream, Instant::now());
    let later = tsq_net::now();
    queries.departed(
        1,
        Departure {
            id: None,
            before: later,
        },
        ClockPair::read(),
    );
    let waiting = queries.waiting_mut().next().unwrap();
    assert_eq!(waiting.departed.as_ref().unwrap().t1.time, before);
}

#[test]
fn move_to_another_connection_keeps_the_samples_and_asks_the_rest_again() {
    let mut queries = Queries::new(3, PATIENCE, terms());
    let now = Instant::now();
    for byte in [1, 2, 3] {
        ask(&mut queries, byte, now);
    }
    queries.datagram(&answer(1, tsq_net::now()), arrived_now(), ClockPair::read());
    queries.move_over(PATIENCE, terms());
    for byte in [4, 5] {
        ask(&mut queries, byte, now);
    }
    assert!(queries.next_ask(nonce(6)).is_none());
    queries.datagram(&answer(2, tsq_net::now()), arrived_now(), ClockPair::read());
    assert_eq!(queries.superseded, 1);
    for byte in [4, 5] {
        queries.datagram(
            &answer(byte, tsq_net::now()),
            arrived_now(),
            ClockPair::read(),
        );
    }
    assert_eq!(reasons(&queries), ["ok"; 3]);
    assert!(queries.all_done());
}

#[test]
fn second_copy_of_an_answer_counts_once() {
    let mut queries = Queries::new(2, PATIENCE, terms());
    let now = Instant::now();
    ask(&mut queries, 1, now);
    ask(&mut queries, 2, now);
    let message = answer(1, tsq_net::now());
    queries.datagram(&message, arrived_now(), ClockPair::read());
    queries.datagram(&message, arrived_now(), ClockPair::read());
    assert_eq!((queries.samples.len(), queries.superseded), (1, 1));
}

// tsq: E4
#[test]
fn strangers_answer_spends_a_query_and_says_why() {
    let mut queries = Queries::new(3, PATIENCE, terms());
    let now = Instant::now();
    for byte in 1..=3 {
        ask(&mut queries, byte, now);
    }
    queries.datagram(
        &answer(99, tsq_net::now()),
        arrived_now(),
        ClockPair::read(),
    );
    queries.datagram(&[1, 16, 2], arrived_now(), ClockPair::read());
    queries.datagram(
        &answer(3, tsq_net::now())[..37],
        arrived_now(),
        ClockPair::read(),
    );
    assert_eq!(
        reasons(&queries),
        ["nonce_mismatch", "malformed", "malformed"]
    );
    assert!(queries.all_done());
}

#[test]
fn stream_answer_to_a_nonce_alone_is_whole_with_its_last_element_not_with_its_end() {
    let mut queries = Queries::new(1, PATIENCE, terms());
    let stream = ask_by_stream(&mut queries);
    let message = answer(1, tsq_net::now());
    let arrived = arrived_now();
    assert!(
        !queries.stream(stream, &message[..18], false, arrived, ClockPair::read()),
        "a nonce is no answer"
    );
    assert!(!queries.stream(stream, &message[18..30], false, arrived, ClockPair::read()));
    assert!(queries.stream(stream, &message[30..], false, arrived, ClockPair::read()));
    assert_eq!(reasons(&queries), ["ok"]);
}

/// Asks the next query, numbered 1, on a stream, and lets it leave at once.
fn ask_by_stream(queries: &mut Queries) -> StreamId {
    let stream = StreamId::new(tsq_net::Side::Client, tsq_net::Dir::Bi, 0);
    let asked = queries.next_ask(nonce(1)).unwrap();
    queries.asked(&asked, Transport::Stream, Some(stream), Instant::now());
    let before = tsq_net::now();
    queries.departed(1, Departure { id: None, before }, ClockPair::read());
    stream
}

/// Terms that ask for more than the time, each for one thing.
fn asking_for_more() -> [Terms; 3] {
    let keys = tsq_keys::VerifyKeys::default();
    [
        Terms {
            metadata: true,
            ..terms()
        },
        Terms {
            precision: true,
            ..terms()
        },
        Terms {
            keys: Some(std::sync::Arc::new(keys)),
            ..terms()
        },
    ]
}

// tsq: M1 T9
#[test]
fn stream_answer_to_more_than_a_nonce_is_whole_at_its_end_only() {
    for terms in asking_for_more() {
        let signed = terms.keys.is_some();
        let mut queries = Queries::new(1, PATIENCE, terms);
        let stream = ask_by_stream(&mut queries);
        let message = answer(1, tsq_net::now());
        let arrived = arrived_now();
        assert!(!queries.stream(stream, &message, false, arrived, ClockPair::read()));
        assert!(queries.samples.is_empty(), "the verdict waits for the end");
        assert!(queries.stream(stream, &[], true, arrived_now(), ClockPair::read()));
        let verdict = if signed { "signature_missing" } else { "ok" };
        assert_eq!(reasons(&queries), [verdict]);
        if let Ok(answer) = &queries.samples[0].result {
            assert_eq!(answer.sample.t4, arrived.time, "the end came later");
        }
    }
}

// tsq: M1 T9
#[test]
fn stratum_0_that_comes_behind_the_time_on_a_stream_is_not_missed() {
    for (tail, reason) in [
        (&[251, 2, 0, 5][..], "unsynchronised"),
        (&[251, 9, 0, 5], "malformed"),
    ] {
        let [metadata, ..] = asking_for_more();
        let mut queries = Queries::new(1, PATIENCE, metadata);
        let stream = ask_by_stream(&mut queries);
        let message = answer(1, tsq_net::now());
        let arrived = arrived_now();
        assert!(!queries.stream(stream, &message, false, arrived, ClockPair::read()));
        assert!(queries.stream(stream, tail, true, arrived, ClockPair::read()));
        assert_eq!(reasons(&queries), [reason]);
    }
}

// tsq: M1 M3
#[test]
fn stream_answer_that_nothing_can_mend_is_refused_before_its_end() {
    for (bytes, reason) in [
        (&[249, 2, 1, 0][..], "server_error"),
        (&[2, 0], "nonce_missing"),
    ] {
        let [metadata, ..] = asking_for_more();
        let mut queries = Queries::new(1, PATIENCE, metadata);
        let stream = ask_by_stream(&mut queries);
        assert!(queries.stream(stream, bytes, false, arrived_now(), ClockPair::read()));
        assert_eq!(reasons(&queries), [reason]);
    }
}

// tsq: M6
#[test]
fn precise_answer_of_another_length_is_refused() {
    let precise = Terms {
        precision: true,
        ..terms()
    };
    let mut queries = Queries::new(1, PATIENCE, precise);
    ask(&mut queries, 1, Instant::now());
    let now = tsq_net::now().to_ntp();
    let mut message = [0; 40];
    let response = Response::new(nonce(1), now, now).with_precision();
    response.encode(&mut message).unwrap();
    queries.datagram(&message, arrived_now(), ClockPair::read());
    assert_eq!(reasons(&queries), ["precision_length"]);
}

// tsq: M6
#[test]
fn precision_that_nobody_asked_for_is_refused_at_another_length() {
    let mut queries = Queries::new(1, PATIENCE, terms());
    ask(&mut queries, 1, Instant::now());
    let now = tsq_net::now().to_ntp();
    let mut message = [0; 40];
    let response = Response::new(nonce(1), now, now).with_precision();
    response.encode(&mut message).unwrap();
    queries.datagram(&message, arrived_now(), ClockPair::read());
    assert_eq!(reasons(&queries), ["precision_length"]);
}

#[test]
fn endless_stream_answer_is_cut_off() {
    let mut queries = Queries::new(1, PATIENCE, terms());
    let stream = StreamId::new(tsq_net::Side::Client, tsq_net::Dir::Bi, 0);
    let asked = queries.next_ask(nonce(1)).unwrap();
    queries.asked(&asked, Transport::Stream, Some(stream), Instant::now());
    assert!(!queries.stream(stream, &[200, 255], false, arrived_now(), ClockPair::read()));
    assert!(queries.stream(
        stream,
        &[0; MAX_ANSWER],
        false,
        arrived_now(),
        ClockPair::read()
    ));
    assert_eq!(
        queries.samples[0].result.as_ref().unwrap_err(),
        &Rejection::TooLong
    );
}

mod follow_up {
    use tsq_proto::time::Offset;
    use tsq_proto::{FollowUp, Metadata, Request};

    use super::*;
    use crate::report::{Answer, Timestamps};

    fn asking() -> Queries {
        queries_for(2)
    }

    fn queries_for(wanted: u32) -> Queries {
        let terms = Terms {
            metadata: true,
            follow_up: true,
            ..terms()
        };
        Queries::new(wanted, PATIENCE, terms)
    }

    /// An answer that says of earlier ones how long after their T3 (`at`) they left.
    fn telling(byte: u8, at: HostTime, told: &[(u8, i64)]) -> Vec<u8> {
        let told: Vec<FollowUp> = told
            .iter()
            .map(|&(byte, after)| FollowUp {
                nonce: nonce(byte),
                departure: (at + Offset::from_nanos(after)).to_ntp(),
            })
            .collect();
        let (mut room, mut bytes) = ([0; FollowUp::MAX_LEN], [0; 400]);
        let length = Response::new(nonce(byte), at.to_ntp(), at.to_ntp())
            .with_metadata(Metadata::EMPTY)
            .with_follow_ups(FollowUp::to_metadata(&told, &mut room).unwrap())
            .encode(&mut bytes)
            .unwrap();
        bytes[..length].to_vec()
    }

    /// A departure and an arrival 200 us apart, as if the kernel had stamped both; the server
    /// answered in the middle, at the time returned.
    fn exchange(queries: &mut Queries, byte: u8) -> (HostTime, Stamp) {
        let t1 = tsq_net::now();
        for waiting in queries.waiting_mut() {
            if waiting.nonce == nonce(byte) {
                let departed = waiting.departed.as_mut().expect("it was sent");
                departed.t1 = Stamp::kernel(t1);
            }
        }
        let t4 = t1 + Offset::from_nanos(200_000);
        (t1 + Offset::from_nanos(100_000), Stamp::kernel(t4))
    }

    fn answers(queries: &Queries) -> Vec<&Answer> {
        let accepted = queries.samples.iter().map(|sample| &sample.result);
        accepted.map(|result| result.as_ref().unwrap()).collect()
    }

    fn refused(queries: &Queries, name: &'static str) -> u32 {
        let counts = &queries.follow_ups.counts.refused;
        counts.get(name).copied().unwrap_or(0)
    }

    #[test]
    fn one_query_more_goes_out_and_asks_like_the_others() {
        let mut queries = asking();
        let now = Instant::now();
        for byte in 1..=3 {
            let asked = queries
                .next_ask(nonce(byte))
                .expect("two and a closing one");
            let request = Request::decode(&asked.request).unwrap();
            assert!(request.asks_follow_up());
            ask(&mut queries, byte, now);
        }
        assert!(queries.next_ask(nonce(4)).is_none());
        assert_eq!(queries.sent, 2);
    }

    #[test]
    fn closing_answer_corrects_the_last_sample_and_gives_none() {
        let mut queries = queries_for(1);
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        let (at, t4) = exchange(&mut queries, 1);
        queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
        assert_eq!(answers(&queries)[0].sample.offset, Offset::ZERO);
        assert!(!queries.all_done());
        queries.datagram(
            &telling(2, at, &[(1, 4_000)]),
            arrived_now(),
            ClockPair::read(),
        );
        let only = answers(&queries);
        assert_eq!(only.len(), 1);
        assert_eq!(only[0].timestamps, Timestamps::KernelAndFollowUp);
        assert_eq!(only[0].sample.offset, Offset::from_nanos(2_000));
        assert_eq!(queries.follow_ups.counts.used, 1);
        assert!(queries.all_done());
    }

    #[test]
    fn closing_query_is_not_waited_for_when_nothing_is_missing() {
        let mut queries = queries_for(1);
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        // Its T1 is this process's own: a follow-up could not make it better.
        queries.datagram(&answer(1, tsq_net::now()), arrived_now(), ClockPair::read());
        assert!(queries.all_done());
        assert_eq!(answers(&queries)[0].timestamps, Timestamps::User);
    }

    #[test]
    fn lost_closing_query_is_given_up_after_one_wait() {
        let mut queries = queries_for(1);
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        let (at, t4) = exchange(&mut queries, 1);
        queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
        queries.expire(now + PATIENCE - Duration::from_nanos(1));
        assert!(!queries.all_done());
        queries.expire(now + PATIENCE);
        assert!(queries.all_done() && queries.next_ask(nonce(3)).is_none());
        assert_eq!(answers(&queries)[0].timestamps, Timestamps::Kernel);
    }

    #[test]
    fn follow_up_that_overtakes_its_answer_waits_for_it() {
        let mut queries = asking();
        let now = Instant::now();
        for byte in 1..=3 {
            ask(&mut queries, byte, now);
        }
        let (at, t4) = exchange(&mut queries, 1);
        queries.datagram(
            &telling(2, at, &[(1, 4_000)]),
            arrived_now(),
            ClockPair::read(),
        );
        assert_eq!(queries.follow_ups.counts.used, 0);
        queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
        assert_eq!(
            answers(&queries)[1].timestamps,
            Timestamps::KernelAndFollowUp
        );
        assert_eq!(queries.follow_ups.counts.used, 1);
    }

    // tsq: M10
    #[test]
    fn follow_ups_that_cannot_be_are_ignored_and_counted() {
        for (after, name) in [
            (-2_000, "before_send"),
            (1_100_000_000, "too_late"),
            (200_000, "delay_not_positive"),
        ] {
            let mut queries = asking();
            let now = Instant::now();
            ask(&mut queries, 1, now);
            ask(&mut queries, 2, now);
            let (at, t4) = exchange(&mut queries, 1);
            queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
            queries.datagram(
                &telling(2, at, &[(1, after), (9, 4_000)]),
                arrived_now(),
                ClockPair::read(),
            );
            assert_eq!(
                (refused(&queries, name), refused(&queries, "unknown_nonce")),
                (1, 1)
            );
            let unchanged = answers(&queries)[0];
            assert_eq!(unchanged.timestamps, Timestamps::Kernel);
            assert_eq!(unchanged.sample.offset, Offset::ZERO);
        }
    }

    #[test]
    fn departure_told_twice_counts_once() {
        let mut queries = asking();
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        let (at, t4) = exchange(&mut queries, 1);
        queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
        queries.datagram(
            &telling(2, at, &[(1, 4_000), (1, 8_000)]),
            arrived_now(),
            ClockPair::read(),
        );
        assert_eq!(
            (
                queries.follow_ups.counts.used,
                refused(&queries, "repeated")
            ),
            (1, 1)
        );
        assert_eq!(
            answers(&queries)[0].sample.offset,
            Offset::from_nanos(2_000)
        );
    }

    // tsq: E4
    #[test]
    fn follow_up_in_an_answer_that_is_refused_counts_for_nothing() {
        let mut queries = asking();
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        let (at, t4) = exchange(&mut queries, 1);
        queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
        // It came, by its own stamp, before its query left.
        let early = Stamp::user(at - Offset::from_nanos(1_000_000_000));
        queries.datagram(&telling(2, at, &[(1, 4_000)]), early, ClockPair::read());
        assert_eq!(queries.follow_ups.counts.used, 0);
        let first = queries.samples[0].result.as_ref().unwrap();
        assert_eq!(first.timestamps, Timestamps::Kernel);
    }

    #[test]
    fn what_comes_of_an_earlier_measurement_is_late_and_not_strange() {
        let mut queries = queries_for(1);
        let now = Instant::now();
        ask(&mut queries, 1, now);
        ask(&mut queries, 2, now);
        let (at, t4) = exchange(&mut queries, 1);
        queries.datagram(&telling(1, at, &[]), t4, ClockPair::read());
        queries.renew(1, PATIENCE, queries.terms.clone());
        ask(&mut queries, 3, now);
        queries.datagram(&telling(2, at, &[]), arrived_now(), ClockPair::read());
        assert_eq!((queries.superseded, queries.samples.len()), (1, 0));
        let (at, t4) = exchange(&mut queries, 3);
        queries.datagram(
            &telling(3, at, &[(1, 4_000), (2, 4_000)]),
            t4,
            ClockPair::read(),
        );
        assert!(queries.follow_ups.counts.refused.is_empty());
    }
}
