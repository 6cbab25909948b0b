//! Two processes in one: the abstract name does not mind.

use std::os::unix::net::UnixStream;

use tsq_net::{Generation, Group, ServerSecret};

use super::offer::Asker;
use super::*;
use tsq_host::signals::Signals;

fn ask(address: SocketAddr) -> io::Result<Option<Offer>> {
    super::ask(address, &Signals::none().unwrap())
}

fn accept(offer: Offer) -> io::Result<(Group, UnixStream)> {
    offer.accept(&Signals::none().unwrap())
}

/// An address kept as by a process that serves it.
struct Old {
    address: SocketAddr,
    secret: ServerSecret,
    handed_over: HandedOver,
    signals: Signals,
    _sockets: Vec<tsq_net::Socket>,
}

impl Old {
    fn start(shards: usize) -> Self {
        let (group, sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), shards, false).unwrap();
        let old = Self {
            address: group.local_addr(),
            secret: ServerSecret::random().unwrap(),
            handed_over: HandedOver::default(),
            signals: Signals::none().unwrap(),
            _sockets: sockets,
        };
        Keeper::first(group, old.secret.clone())
            .start(old.handed_over.clone(), &old.signals)
            .unwrap();
        old
    }
}

#[test]
fn address_nobody_serves_is_not_offered() {
    assert!(ask("127.0.0.1:9".parse().unwrap()).unwrap().is_none());
}

#[test]
fn offer_brings_sockets_and_secret_and_accepting_it_ends_the_old_ones_wait() {
    let old = Old::start(3);
    let mut offer = ask(old.address).unwrap().unwrap();
    assert_eq!(offer.secret.as_bytes(), old.secret.as_bytes());
    assert_eq!(offer.group.take_over().unwrap().len(), 3);
    assert!(!old.handed_over.get());
    let (group, _before) = accept(offer).unwrap();
    assert_eq!(group.generation(), Generation::Odd);
    old.signals.wait(None).unwrap();
    assert!(old.handed_over.get());
    // It is offered no more, and its name is free for us.
    assert!(ask(old.address).unwrap().is_none());
    Keeper::first(group, old.secret.clone())
        .start(HandedOver::default(), &Signals::none().unwrap())
        .unwrap();
    assert!(ask(old.address).unwrap().is_some());
}

#[test]
fn address_is_offered_again_when_the_one_who_asked_gives_up() {
    let old = Old::start(1);
    for _ in 0..3 {
        drop(ask(old.address).unwrap().unwrap());
    }
    let mut offer = ask(old.address).unwrap().unwrap();
    offer.group.take_over().unwrap();
    accept(offer).unwrap();
    assert!(old.handed_over.get() || old.signals.wait(None).is_ok());
}

#[test]
fn nothing_is_offered_before_the_process_before_has_ended() {
    let (group, _sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), 1, false).unwrap();
    let (address, secret) = (group.local_addr(), ServerSecret::random().unwrap());
    let (before, other_end) = UnixStream::pair().unwrap();
    let signals = Signals::none().unwrap();
    Keeper::next(group, secret, before)
        .start(HandedOver::default(), &signals)
        .unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(address).unwrap().is_some());
        // However long it waits, it cannot be answered yet.
        std::thread::sleep(Duration::from_millis(200));
        assert!(!asking.is_finished());
        drop(other_end);
        assert!(asking.join().unwrap());
    });
}

/// What the process that serves says to one that asks, then `answer`, then its end.
fn offered_by_one_that_answers(answer: &[u8]) -> Offer {
    let (mut group, _sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), 1, false).unwrap();
    let address = group.local_addr();
    let listener = std::os::unix::net::UnixListener::bind_addr(&name(address).unwrap()).unwrap();
    group.take_over().unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(address).unwrap().unwrap());
        let (mut stream, _) = listener.accept().unwrap();
        let secret = ServerSecret::random().unwrap();
        offer::send(&stream, &group, &secret).unwrap();
        io::Write::write_all(&mut stream, answer).unwrap();
        asking.join().unwrap()
    })
}

#[test]
fn offer_of_a_process_that_has_ended_since_is_good() {
    let offer = offered_by_one_that_answers(&[]);
    assert!(accept(offer).is_ok());
}

#[test]
fn offer_of_a_process_that_serves_on_is_not() {
    let error = accept(offered_by_one_that_answers(&[SERVING_ON]));
    assert!(error.unwrap_err().to_string().contains("no longer waited"));
    let error = accept(offered_by_one_that_answers(b"?"));
    assert!(error.unwrap_err().to_string().contains("version"));
}

#[test]
fn someone_elses_words_are_no_offer() {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let listener = std::os::unix::net::UnixListener::bind_addr(&name(address).unwrap()).unwrap();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(address));
        let (mut stream, _) = listener.accept().unwrap();
        io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        let error = asking.join().unwrap().unwrap_err();
        assert!(error.to_string().contains("version"), "{error}");
    });
}

/// As if the process at the other end were not of the user who asks.
fn asker_of_another_user() -> Asker {
    Asker {
        user: Uid::from_raw(rustix::process::geteuid().as_raw() + 1),
        ..Asker::default()
    }
}

#[test]
fn another_users_process_with_the_name_is_no_reason_not_to_start() {
    let signals = Signals::none().unwrap();
    let old = Old::start(1);
    let offer = asker_of_another_user().ask(old.address, &signals);
    assert!(offer.unwrap().is_none());
    // Nor is one that says nothing, and the address is still offered to its own.
    let address: SocketAddr = "127.0.0.1:2".parse().unwrap();
    let _silent = std::os::unix::net::UnixListener::bind_addr(&name(address).unwrap()).unwrap();
    let offer = asker_of_another_user().ask(address, &signals);
    assert!(offer.unwrap().is_none());
    assert!(ask(old.address).unwrap().is_some());
}

#[test]
fn another_users_process_gets_no_offer_and_keeps_nobody_waiting() {
    let (group, _sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), 1, false).unwrap();
    let address = group.local_addr();
    let mut keeper = Keeper::first(group, ServerSecret::random().unwrap());
    keeper.user = asker_of_another_user().user;
    let (handed_over, signals) = (HandedOver::default(), Signals::none().unwrap());
    keeper.start(handed_over.clone(), &signals).unwrap();
    // Ten each second, were each a failed take-over.
    for _ in 0..3000 {
        let mut stream = UnixStream::connect_addr(&name(address).unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let word = io::Read::read(&mut stream, &mut [0]);
        assert_eq!(word.unwrap(), 0, "not a word");
    }
    assert!(!handed_over.get());
}

/// A name whose queue is full: connecting to it would wait for ever.
fn crowded(address: SocketAddr) -> Vec<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = || socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
    let name = SocketAddrUnix::new_abstract_name(words(address).as_bytes()).unwrap();
    let mut held = vec![socket()];
    rustix::net::bind(&held[0], &name).unwrap();
    rustix::net::listen(&held[0], 0).unwrap();
    loop {
        let one = socket();
        match rustix::net::connect(&one, &name) {
            Ok(()) => held.push(one),
            Err(error) => {
                assert_eq!(error, rustix::io::Errno::AGAIN);
                return held;
            }
        }
    }
}

#[test]
fn name_that_lets_nobody_in_is_no_reason_not_to_start() {
    let address: SocketAddr = "127.0.0.1:3".parse().unwrap();
    let _held = crowded(address);
    let asker = Asker {
        queueing: Duration::from_millis(50),
        ..Asker::default()
    };
    let offer = asker.ask(address, &Signals::none().unwrap());
    assert!(offer.unwrap().is_none());
}

#[test]
fn signal_to_end_ends_every_wait_for_the_other_process() {
    let (full, silent) = (
        "127.0.0.1:4".parse().unwrap(),
        "127.0.0.1:5".parse().unwrap(),
    );
    let _held = crowded(full);
    let _silent = std::os::unix::net::UnixListener::bind_addr(&name(silent).unwrap()).unwrap();
    let patient = Asker {
        queueing: 100 * PATIENCE,
        answer: 100 * PATIENCE,
        ..Asker::default()
    };
    let (mut group, _sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), 1, false).unwrap();
    let (stream, _other_end) = UnixStream::pair().unwrap();
    group.take_over().unwrap();
    let offer = Offer::of(group, ServerSecret::random().unwrap(), stream);
    // One waits for its signals, as the main thread does.
    ended_by_a_signal(|signals| patient.ask(full, signals).map(drop));
    ended_by_a_signal(|signals| patient.ask(silent, signals).map(drop));
    ended_by_a_signal(|signals| offer.accept(signals).map(drop));
}

#[track_caller]
fn ended_by_a_signal(wait: impl FnOnce(&Signals) -> io::Result<()> + Send) {
    let signals = Signals::none().unwrap();
    let ender = signals.ender().unwrap();
    let error = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| wait(&signals).unwrap_err());
        drop(ender);
        waiting.join().unwrap()
    });
    assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}");
}

#[test]
fn own_process_that_never_answers_is_an_error_in_time() {
    let address: SocketAddr = "127.0.0.1:6".parse().unwrap();
    let _silent = std::os::unix::net::UnixListener::bind_addr(&name(address).unwrap()).unwrap();
    let asker = Asker {
        answer: Duration::from_millis(20),
        ..Asker::default()
    };
    let error = asker.ask(address, &Signals::none().unwrap()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}
