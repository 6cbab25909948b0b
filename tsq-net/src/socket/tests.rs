use std::net::UdpSocket;

use tsq_proto::time::Offset;

use super::*;
use crate::StampSource;

const SOON: Option<Duration> = Some(Duration::from_secs(2));

fn any_port(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 0)
}

/// Waits for packets and receives them.
fn receive(socket: &mut Socket, batch: &mut Batch) -> usize {
    wait(&[socket], None, SOON).unwrap();
    socket.receive(batch).unwrap()
}

/// Waits for the next report of the error queue.
fn next_report(socket: &mut Socket) -> ErrorReport {
    wait(&[socket], None, SOON).unwrap();
    socket
        .departures()
        .unwrap()
        .expect("a report within two seconds")
}

#[test]
fn received_packet_carries_the_kernels_time_between_our_reads() {
    let mut socket = Socket::bind(any_port("127.0.0.1")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut batch = Batch::new();
    let before = now();
    sender.send_to(b"hello", socket.local_addr()).unwrap();
    assert_eq!(receive(&mut socket, &mut batch), 1);
    let after = now();
    let packet = batch.packet(0).unwrap();
    assert_eq!(packet.bytes, b"hello");
    assert_eq!(packet.remote, sender.local_addr().unwrap());
    assert_eq!(packet.stamp.source, StampSource::Kernel);
    assert!(packet.stamp.time >= before && packet.stamp.time <= after);
    assert!(batch.packet(1).is_none());
}

#[test]
fn wildcard_socket_tells_which_address_was_asked_and_answers_from_it() {
    for (bind, ask) in [("0.0.0.0", "127.0.0.5"), ("::", "::1"), ("::", "127.0.0.5")] {
        let mut socket = Socket::bind(any_port(bind)).unwrap();
        let target = SocketAddr::new(ask.parse().unwrap(), socket.local_addr().port());
        let mut client = Socket::connect(target).unwrap();
        client.send(target, b"?", SendOptions::default()).unwrap();
        let mut batch = Batch::new();
        assert_eq!(receive(&mut socket, &mut batch), 1);
        let (remote, local_ip) = {
            let packet = batch.packet(0).unwrap();
            (packet.remote, packet.local_ip)
        };
        assert_eq!(local_ip.unwrap().to_canonical(), target.ip(), "{bind}");
        // A connected socket hears only the address it asked.
        let options = SendOptions {
            local_ip,
            report_departure: false,
        };
        socket.send(remote, b"!", options).unwrap();
        assert_eq!(receive(&mut client, &mut batch), 1, "{bind} {ask}");
    }
}

#[test]
fn departure_is_reported_with_the_packets_own_id() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = receiver.local_addr().unwrap();
    let mut socket = Socket::connect(target).unwrap();
    let options = SendOptions {
        report_departure: true,
        ..SendOptions::default()
    };
    let silent = socket.send(target, b"0", SendOptions::default()).unwrap();
    assert_eq!(silent.id, None);
    for _ in 0..3 {
        let departure = socket.send(target, b"1", options).unwrap();
        let ErrorReport::Departed { id, at } = next_report(&mut socket) else {
            panic!("no departure");
        };
        assert_eq!(Some(id), departure.id);
        let stamp = socket.departure_stamp(&departure, Some(at));
        assert_eq!(stamp, Stamp::kernel(at));
    }
}

#[test]
fn older_kernels_count_the_packets_sent() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let target = receiver.local_addr().unwrap();
    let mut socket = Socket::connect(target).unwrap();
    socket.count_departures();
    let options = SendOptions {
        report_departure: true,
        ..SendOptions::default()
    };
    for round in 0..3 {
        // Every packet is stamped in this mode; only those asked for have an id for the caller.
        let silent = socket.send(target, b"0", SendOptions::default()).unwrap();
        assert_eq!(silent.id, None);
        next_report(&mut socket);
        let departure = socket.send(target, b"1", options).unwrap();
        assert_eq!(departure.id, Some(2 * round + 1));
        let ErrorReport::Departed { id, .. } = next_report(&mut socket) else {
            panic!("no departure");
        };
        assert_eq!(Some(id), departure.id);
    }
}

#[test]
fn departure_without_a_fitting_stamp_is_our_own_read() {
    let target = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut socket = Socket::connect(target).unwrap();
    let departure = socket.send(target, b"1", SendOptions::default()).unwrap();
    let early = departure.before - Offset::from_nanos(1);
    for kernel in [
        None,
        Some(early),
        Some(now() + Offset::from_nanos(1_000_000_000)),
    ] {
        assert_eq!(
            socket.departure_stamp(&departure, kernel),
            Stamp::user(departure.before)
        );
    }
}

#[test]
fn port_without_a_listener_is_reported_as_refused() {
    let target = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut socket = Socket::connect(target).unwrap();
    socket.send(target, b"?", SendOptions::default()).unwrap();
    assert_eq!(
        next_report(&mut socket),
        ErrorReport::Unreachable {
            errno: libc::ECONNREFUSED
        }
    );
}

#[test]
fn oversized_packet_is_dropped_and_the_next_is_whole() {
    let mut socket = Socket::bind(any_port("127.0.0.1")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    sender
        .send_to(&[7; MAX_PACKET + 1], socket.local_addr())
        .unwrap();
    sender
        .send_to(&[8; MAX_PACKET], socket.local_addr())
        .unwrap();
    let mut batch = Batch::new();
    assert_eq!(receive(&mut socket, &mut batch), 2);
    assert!(batch.packet(0).is_none());
    assert_eq!(batch.packet(1).unwrap().bytes, [8; MAX_PACKET]);
}

#[test]
fn taken_port_is_an_error() {
    let socket = Socket::bind(any_port("127.0.0.1")).unwrap();
    let error = Socket::bind(socket.local_addr()).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn waker_ends_a_wait() {
    let socket = Socket::bind(any_port("127.0.0.1")).unwrap();
    let wake = Wake::new().unwrap();
    wake.waker().wake();
    let start = std::time::Instant::now();
    wait(&[&socket], Some(&wake), Some(Duration::from_secs(20))).unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));

    let (again, brief) = (std::time::Instant::now(), Duration::from_millis(20));
    wait(&[&socket], Some(&wake), Some(brief)).unwrap();
    assert!(again.elapsed() >= brief, "a wake-up ends one wait only");
}

#[test]
fn burst_of_a_thousand_packets_is_kept() {
    use std::os::unix::fs::MetadataExt;
    // Without root the system's limit (rmem_max) decides.
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let burst = if root { 1000 } else { 200 };
    let mut socket = Socket::bind(any_port("127.0.0.1")).unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..burst {
        sender.send_to(&[7; 60], socket.local_addr()).unwrap();
    }
    let mut batch = Batch::new();
    let mut total = 0;
    while total < burst {
        let count = receive(&mut socket, &mut batch);
        assert_ne!(count, 0, "lost all after {total}");
        total += count;
    }
}
