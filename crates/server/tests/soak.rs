//! Thousands of clients that come at once, hear a broadcast, are cut and come again: all get in within seconds, none
//! leaves anything behind.
//!
//! What is allocated goes back to what it was, but for the room of tables, and the system gets its pages back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use limpet_testkit::conformance::{Maker, Subject};
use limpet_testkit::crowd::{Crowd, raise_open_files};
use limpet_testkit::raw::socketio::RawSocket;
use limpet_testkit::wait::{PATIENCE, until};

/// Waits until no socket but that of `control` is left.
fn alone(control: &mut RawSocket) {
    until("no socket of a cut client is left", || {
        control.ask(r#"["fetch",{}]"#).expect("an answer").matches("\"rooms\"").count() <= 1
    });
}

/// Four rounds of coming, hearing, partly leaving and coming back, and being cut. In each round the server works for less
/// than `within` until all are in.
fn soak(maker: Maker, clients: usize, within: Duration) {
    let files = u64::try_from(clients).expect("a number of files") + 200;
    raise_open_files(files).expect("enough open files");
    let subject = Subject::features(maker, &[]).expect("the server starts");
    let address = subject.addresses[0];
    let work = || subject.process.processor_time().expect("the server runs");
    let memory = || subject.process.memory_bytes().expect("the server runs") >> 10;
    let mut control = RawSocket::connect(address).expect("the first client gets in");
    let first_heap = heap(&mut control);
    let first_memory = memory();
    let (mut heaps, mut memories) = (Vec::new(), Vec::new());
    for round in 0..4 {
        let mut crowd = Crowd::default();
        let (start, before) = (Instant::now(), work());
        crowd.join(address, clients).expect("all get in");
        let (took, worked) = (start.elapsed(), work() - before);
        // On a busy machine everything takes long; what the server has to do for it stays the same.
        assert!(
            worked < within && took < 10 * within,
            "{clients} clients were in after {took:?}, {worked:?} of it work"
        );
        for turn in 0..2 {
            let cast = format!("[\"cast\",{{\"via\":\"broadcast\"}},\"hello\",[{round},{turn}]]");
            control.ask(&cast).expect("it is sent to all");
            crowd.hear(&format!("2[\"hello\",{round},{turn}]")).expect("all hear it");
            crowd.cut(3);
            crowd.join(address, clients - crowd.len()).expect("those that were cut come back");
        }
        let (heap_then, memory_then) = (heap(&mut control), memory());
        drop(crowd);
        alone(&mut control);
        heaps.push(heap(&mut control));
        memories.push(memory());
        eprintln!(
            "{clients} clients in after {took:?}; heap {first_heap}, {heap_then}, {heaps:?}; KiB of memory \
             {first_memory}, {memory_then}, {memories:?} (at first, with all, after each round)"
        );
    }
    // Against the beginning: tables keep the room they once needed.
    let [_, middle, .., last] = heaps[..] else { unreachable!("four rounds") };
    if maker == Maker::Limpet {
        let room = 256 * 1024 + 200 * clients as u64;
        assert!(last <= first_heap + room, "something is left behind: {first_heap} bytes, then {heaps:?}");
        // A table that was all but full may grow once more: no more than 16 bytes a client, less than anything that is
        // left behind for each of them.
        let grown = 16 * 1024 + 16 * clients as u64;
        assert!(last <= middle + grown, "something is left behind in every round: {heaps:?} bytes");
    }
    // The system has its pages back, soon.
    if maker == Maker::Limpet {
        let room = (8 << 10) + clients as u64;
        let end = Instant::now() + PATIENCE;
        while memory() > first_memory + room {
            assert!(Instant::now() < end, "{} KiB of memory stay: {first_memory}, then {memories:?}", memory());
            sleep(Duration::from_millis(20));
        }
    }
}

/// How many bytes the server has allocated.
fn heap(control: &mut RawSocket) -> u64 {
    let answer = control.ask(r#"["heap"]"#).expect("an answer");
    answer.trim_matches(['[', ']']).parse().expect("a number")
}

#[test]
fn a_thousand_clients() {
    // A tenth of a second on a quiet machine.
    soak(Maker::Limpet, 1000, Duration::from_secs(3));
}

#[test]
#[ignore = "15,000 clients take a minute, and as many open files"]
fn fifteen_thousand_clients() {
    // Three to four seconds on a quiet machine, of which the clients take half.
    soak(Maker::Limpet, 15_000, Duration::from_secs(30));
}

/// The proof of the test itself.
#[test]
#[ignore = "Node's server is not under test"]
fn a_thousand_clients_of_node() {
    soak(Maker::Node, 1000, Duration::from_secs(30));
}
