use tsq_net::Carries;

use super::*;

fn conn(index: u32) -> ConnId {
    ConnId::for_tests(index)
}

fn nonce(number: u8) -> Nonce {
    Nonce::new([number; 16])
}

fn departure(id: u32) -> Departure {
    Departure {
        id: Some(id),
        before: HostTime::from_unix_nanos(0),
    }
}

fn at(number: u8) -> HostTime {
    HostTime::from_unix(i64::from(number), 0)
}

/// An answer that is sent and, at once, reported.
fn left(departures: &mut Departures, conn: ConnId, number: u8) {
    departures.sent(conn, nonce(number), departure(u32::from(number)));
    let reported = departures.reported(u32::from(number)).unwrap();
    departures.left(&reported, at(number));
}

fn told(departures: &mut Departures, conn: ConnId) -> Vec<u8> {
    let (told, count) = departures.tell(conn);
    let number = |follow_up: &FollowUp| {
        let number = follow_up.nonce.as_bytes()[0];
        assert_eq!(follow_up.departure, at(number).to_ntp());
        number
    };
    told[..count].iter().map(number).collect()
}

fn packet(conn: ConnId, datagrams: u64, stream_frames: u64) -> Outgoing {
    Outgoing {
        conn: Some(conn),
        remote: "192.0.2.1:443".parse().unwrap(),
        local_ip: None,
        carries: Carries {
            datagrams,
            stream_frames,
        },
    }
}

#[test]
fn departures_are_told_once_the_oldest_first_and_to_their_own_client() {
    let mut departures = Departures::default();
    for client in [conn(0), conn(3)] {
        assert!(departures.note(client));
        assert!(!departures.note(client));
    }
    left(&mut departures, conn(0), 1);
    left(&mut departures, conn(3), 2);
    left(&mut departures, conn(0), 3);
    assert_eq!(told(&mut departures, conn(0)), [1, 3]);
    assert_eq!(told(&mut departures, conn(0)), Vec::<u8>::new());
    assert_eq!(told(&mut departures, conn(3)), [2]);
}

#[test]
fn only_the_last_departures_are_kept_and_few_are_told_at_once() {
    let mut departures = Departures::default();
    departures.note(conn(0));
    for number in 0..10 {
        left(&mut departures, conn(0), number);
    }
    assert_eq!(told(&mut departures, conn(0)), [2, 3, 4, 5]);
    assert_eq!(told(&mut departures, conn(0)), [6, 7, 8, 9]);
    assert_eq!(told(&mut departures, conn(0)), Vec::<u8>::new());
}

#[test]
fn reports_may_come_in_any_order_twice_or_not_at_all() {
    let mut departures = Departures::default();
    departures.note(conn(0));
    for number in 1..=3 {
        departures.sent(conn(0), nonce(number), departure(u32::from(number)));
    }
    assert!(departures.is_waiting(conn(0)));
    let last = departures.reported(3).unwrap();
    departures.left(&last, at(3));
    assert_eq!(departures.reported(3), None);
    let first = departures.reported(1).unwrap();
    departures.left(&first, at(1));
    assert_eq!(told(&mut departures, conn(0)), [3, 1]);
    assert!(departures.is_waiting(conn(0)));
    assert_eq!(departures.reported(77), None);
}

#[test]
fn packets_whose_report_never_comes_are_given_up() {
    let mut departures = Departures::default();
    departures.note(conn(0));
    departures.note(conn(1));
    let ids = u32::try_from(UNDER_WAY).unwrap();
    for id in 0..ids {
        departures.sent(conn(0), nonce(0), departure(id));
    }
    assert_eq!(departures.waiting, UNDER_WAY);
    for id in ids..2 * ids {
        departures.sent(conn(1), nonce(1), departure(id));
    }
    assert!(!departures.is_waiting(conn(0)));
    assert_eq!(departures.waiting, UNDER_WAY);
    assert_eq!(departures.reported(0), None);
}

#[test]
fn kernel_without_departure_stamps_leaves_nothing_waiting() {
    let mut departures = Departures::default();
    departures.note(conn(0));
    let unstamped = Departure {
        id: None,
        before: at(0),
    };
    departures.sent(conn(0), nonce(1), unstamped);
    assert!(!departures.any_waiting());
    assert_eq!(departures.reported(0), None);
}

#[test]
fn connection_that_ended_is_forgotten_with_its_departures() {
    let mut departures = Departures::default();
    departures.note(conn(0));
    left(&mut departures, conn(0), 1);
    departures.sent(conn(0), nonce(2), departure(2));
    departures.forget(conn(0));
    let late = departures.reported(2).unwrap();
    departures.left(&late, at(2));
    assert_eq!(told(&mut departures, conn(0)), Vec::<u8>::new());
    assert!(!departures.any_waiting());
}

#[test]
fn packet_with_the_answer_alone_and_room_for_another_is_noted() {
    for (carrier, datagrams, stream_frames) in [(Carrier::Datagram, 1, 0), (Carrier::Stream, 0, 1)]
    {
        let mut departures = Departures::default();
        departures.queued(conn(0), nonce(1), carrier);
        // Acknowledgements of this client, and what is for others, go by.
        assert_eq!(departures.carried_by(&packet(conn(0), 0, 0), 40), None);
        assert_eq!(departures.carried_by(&packet(conn(1), 1, 1), 340), None);
        let packet = packet(conn(0), datagrams, stream_frames);
        assert_eq!(departures.carried_by(&packet, 340), Some(nonce(1)));
        assert_eq!(departures.carried_by(&packet, 340), None);
    }
}

#[test]
fn packet_that_may_carry_another_answer_or_a_part_is_not_noted() {
    let carried = |carrier, (datagrams, stream_frames), size| {
        let mut departures = Departures::default();
        departures.queued(conn(0), nonce(1), carrier);
        departures.carried_by(&packet(conn(0), datagrams, stream_frames), size)
    };
    assert_eq!(carried(Carrier::Datagram, (2, 0), 640), None);
    assert_eq!(carried(Carrier::Datagram, (0, 1), 340), None);
    assert_eq!(carried(Carrier::Datagram, (1, 0), PACKET), Some(nonce(1)));
    assert_eq!(carried(Carrier::Stream, (0, 2), 640), None);
    assert_eq!(carried(Carrier::Stream, (1, 0), 340), None);
    let with_room = PACKET - ROOM;
    assert_eq!(carried(Carrier::Stream, (0, 1), with_room), Some(nonce(1)));
    assert_eq!(carried(Carrier::Stream, (0, 1), with_room + 1), None);
}

#[test]
fn answer_that_could_not_leave_at_once_is_not_noted_later() {
    let mut departures = Departures::default();
    departures.queued(conn(0), nonce(1), Carrier::Datagram);
    departures.flushed();
    assert_eq!(departures.carried_by(&packet(conn(0), 1, 0), 340), None);
}
