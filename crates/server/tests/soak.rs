//! Thousands of clients that come at once, hear a broadcast, are cut and come again: all get in within seconds, none
//! leaves anything behind.

use std::thread::sleep;
use std::time::{Duration, Instant};

use limpet_testkit::conformance::{Maker, Subject};
use limpet_testkit::crowd::{Crowd, raise_open_files};
use limpet_testkit::raw::socketio::RawSocket;

/// Waits until no socket but that of `control` is left.
fn alone(control: &mut RawSocket) {
    let end = Instant::now() + Duration::from_secs(30);
    while control.ask(r#"["fetch",{}]"#).expect("an answer").matches("\"rooms\"").count() > 1 {
        assert!(Instant::now() < end, "sockets of cut clients are left");
        sleep(Duration::from_millis(20));
    }
}

/// Three rounds of coming, hearing, partly leaving and coming back, and being cut.
fn soak(maker: Maker, clients: usize, within: Duration) {
    let files = u64::try_from(clients).expect("a number of files") + 200;
    raise_open_files(files).expect("enough open files");
    let subject = Subject::features(maker, &[]).expect("the server starts");
    let address = subject.addresses[0];
    let memory = || subject.process.memory_bytes().expect("the server runs") / 1024;
    let mut control = RawSocket::connect(address).expect("the first client gets in");
    let began = memory();
    let mut ends = Vec::new();
    let mut peak = 0;
    for round in 0..3 {
        let mut crowd = Crowd::default();
        let start = Instant::now();
        crowd.join(address, clients).expect("all get in");
        let took = start.elapsed();
        assert!(took < within, "it took {took:?} until {clients} clients were in");
        for turn in 0..2 {
            let said = format!("[\"hello\",{round},{turn}]");
            let cast = format!("[\"cast\",{{\"via\":\"broadcast\"}},\"hello\",[{round},{turn}]]");
            control.ask(&cast).expect("it is sent to all");
            crowd.hear(&format!("2{said}")).expect("all hear it");
            peak = peak.max(memory());
            crowd.cut(3);
            crowd.join(address, clients - crowd.len()).expect("those that were cut come back");
        }
        drop(crowd);
        alone(&mut control);
        ends.push(memory());
        eprintln!("{clients} clients in after {took:?}; KiB: {began} at first, {peak} at most, {ends:?} at the ends");
    }
    // What the first round leaves is the allocator's; a leak would show in every round.
    let [first, .., last] = ends[..] else { unreachable!("three rounds") };
    assert!(last <= first + first / 10 + 1024, "memory grows: {ends:?} KiB");
    if maker == Maker::Limpet {
        assert!(last <= began + (peak - began) / 4 + 4096, "memory stays: {began}, at most {peak}, then {ends:?} KiB");
    }
}

#[test]
fn a_thousand_clients() {
    soak(Maker::Limpet, 1000, Duration::from_secs(10));
}

#[test]
#[ignore = "15,000 clients take a minute, and as many open files"]
fn fifteen_thousand_clients() {
    soak(Maker::Limpet, 15_000, Duration::from_secs(30));
}

/// The proof of the test itself.
#[test]
#[ignore = "Node's server is not under test"]
fn a_thousand_clients_of_node() {
    soak(Maker::Node, 1000, Duration::from_secs(30));
}
