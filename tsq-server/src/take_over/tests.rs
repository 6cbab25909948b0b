//! Two processes in one: the abstract name does not mind.

use std::os::unix::net::UnixStream;

use tsq_net::{Generation, Group, ServerSecret};

use super::*;
use crate::signals::Signals;

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
        let (group, sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), shards).unwrap();
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
    let (group, _before) = offer.accept().unwrap();
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
    offer.accept().unwrap();
    assert!(old.handed_over.get() || old.signals.wait(None).is_ok());
}

#[test]
fn nothing_is_offered_before_the_process_before_has_ended() {
    let (group, _sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
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
    let (mut group, _sockets) = Group::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
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
    assert!(offer.accept().is_ok());
}

#[test]
fn offer_of_a_process_that_serves_on_is_not() {
    let error = offered_by_one_that_answers(&[SERVING_ON]).accept();
    assert!(error.unwrap_err().to_string().contains("no longer waited"));
    let error = offered_by_one_that_answers(b"?").accept();
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
