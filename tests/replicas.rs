//! Replicas that limpet starts by itself: real Socket.IO servers, killed, rolled and ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::peers;
use limpet_testkit::raw::RawClient;
use limpet_testkit::raw::websocket::RawWebSocket;
use limpet_testkit::wait;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");
const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

/// A Socket.IO server that is called `r1`, `r2`, ...
fn server() -> String {
    let script = peers::folder().join("node/server.js");
    format!("node {} --port $PORT --name r$LIMPET_REPLICA --ping-interval 1000 --ping-timeout 30000", script.display())
}

fn launch(count: usize, flags: &[&str], script: &str) -> Launch {
    let launch = Launch::proxy(BINARY, []).arg("--replicas").arg(count.to_string());
    let launch = flags.iter().fold(launch, |launch, flag| launch.arg(*flag));
    ["--", "sh", "-c", script].iter().fold(launch, |launch, argument| launch.arg(*argument))
}

fn start(count: usize, flags: &[&str]) -> Limpet {
    with_all(count, &launch(count, flags, &format!("exec {}", server())))
}

/// Starts it and waits for all its replicas: on a busy machine some join only after it has said that it is ready.
fn with_all(count: usize, launch: &Launch) -> Limpet {
    let limpet = launch.start().expect("limpet starts");
    let at_first = |line: &str| {
        let (_, rest) = line.strip_prefix("upstream ")?.split_once(": ")?;
        rest.split_once(" endpoints")?.0.parse::<usize>().ok()
    };
    let at_first = limpet.process.wait_for("its endpoints", at_first).expect("it names its upstream");
    wait::until("all replicas have joined", || {
        at_first + limpet.process.output().lines().filter(|line| line.contains("endpoint added")).count() >= count
    });
    limpet
}

/// The number after `key` in a line of the log.
fn number(line: &str, key: &str) -> Option<i32> {
    let (_, rest) = line.split_once(&format!("{key}="))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Waits for the start of a process of a replica, behind a number of lines of the log.
fn started(limpet: &Limpet, after: usize, replica: i32) -> Pid {
    let is_it = |line: &str| {
        let found = line.contains("replica started") && number(line, "replica") == Some(replica);
        found.then(|| number(line, "pid")).flatten().and_then(Pid::from_raw)
    };
    limpet.process.wait_for_after(after, "the start of a replica", is_it).expect("it starts")
}

fn wait_for_end(pids: &[Pid]) {
    for pid in pids {
        wait::until("the end of a process", || test_kill_process(*pid).is_err());
    }
}

fn wait_for_line(limpet: &Limpet, after: usize, text: &str) {
    let is_it = |line: &str| line.contains(text).then_some(());
    limpet.process.wait_for_after(after, text, is_it).expect("it says so");
}

/// Opens sessions until told to stop, and returns how many; each must succeed.
fn open_sessions(limpet: &Limpet, stop: &AtomicBool) -> usize {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let response = RawClient::connect(limpet.address).expect("it accepts").get(HANDSHAKE).expect("an answer");
        assert_eq!(response.status, 200, "after {count} sessions: {}", response.text());
        count += 1;
        thread::sleep(Duration::from_millis(2));
    }
    count
}

#[test]
fn sessions_are_balanced_over_replicas_and_their_output_has_names() {
    let limpet = start(3, &[]);
    let client =
        peers::node_client(&limpet.url(), &["--count", "9", "--transports", "polling,websocket"]).expect("it starts");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    let mut nodes = verdict.nodes();
    nodes.sort();
    let expected = ["r1", "r2", "r3"].map(|name| (name.to_owned(), 3));
    assert_eq!(nodes, expected);
    for replica in 1..=3 {
        let line = format!("[default.{replica}] listening ");
        limpet.process.wait_for("its output", |printed| printed.starts_with(&line).then_some(())).expect("it prints");
    }
}

#[test]
fn a_killed_replica_comes_back_and_the_others_go_on() {
    let limpet = start(2, &[]);
    // Two tunnels: one on each.
    let mut tunnels: Vec<_> = (0..2)
        .map(|_| RawWebSocket::connect(limpet.address, WEBSOCKET).expect("an answer").expect("a tunnel"))
        .collect();
    let before = limpet.process.line_count();
    let first = started(&limpet, 0, 1);
    let second = started(&limpet, 0, 2);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sessions = scope.spawn(|| open_sessions(&limpet, &stop));
        kill_process(first, Signal::KILL).expect("it runs");
        let again = started(&limpet, before, 1);
        assert_ne!(again, first);
        wait_for_line(&limpet, before, "endpoint added");
        stop.store(true, Ordering::Relaxed);
        assert!(sessions.join().expect("every session opens") > 0);
    });
    assert!(test_kill_process(second).is_ok(), "the other one goes on");
    // One tunnel has ended with its server, the other has not.
    tunnels.iter_mut().for_each(|tunnel| tunnel.set_limit(Duration::from_millis(300)));
    let has_ended = |tunnel: &mut RawWebSocket| {
        loop {
            match tunnel.frame() {
                Ok(_) => {}
                Err(limpet_testkit::raw::RawError::TimedOut(_)) => return false,
                Err(_) => return true,
            }
        }
    };
    wait::until("one of both ends", || {
        tunnels.iter_mut().filter_map(|tunnel| has_ended(tunnel).then_some(())).count() == 1
    });
}

#[test]
fn a_roll_replaces_every_process_and_no_new_session_fails() {
    let limpet = start(2, &["--drain-timeout", "1s"]);
    let olds = [1, 2].map(|replica| started(&limpet, 0, replica));
    let before = limpet.process.line_count();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sessions = scope.spawn(|| open_sessions(&limpet, &stop));
        limpet.process.signal(Signal::HUP).expect("it runs");
        wait_for_line(&limpet, before, "all replicas are replaced");
        stop.store(true, Ordering::Relaxed);
        assert!(sessions.join().expect("every session opens") > 0);
    });
    wait_for_end(&olds);
    let news = [1, 2].map(|replica| started(&limpet, before, replica));
    assert!(news.iter().all(|new| test_kill_process(*new).is_ok() && !olds.contains(new)));
    // One after the other: the second is started only when the first has ended.
    let output = limpet.process.output();
    let replaced = output.find("replica is replaced").expect("it says so");
    assert!(output.rfind("replica started").expect("it says so") > replaced);
}

#[test]
fn a_session_goes_on_while_its_process_drains() {
    let limpet = start(1, &["--drain-timeout", "60s"]);
    let old = started(&limpet, 0, 1);
    let mut tunnel = RawWebSocket::connect(limpet.address, WEBSOCKET).expect("an answer").expect("a tunnel");
    assert!(tunnel.frame().is_ok());
    let before = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    let new = started(&limpet, before, 1);
    wait_for_line(&limpet, before, "endpoint added");
    // The server still pings it, over the connection that it had.
    assert!(tunnel.frame().is_ok());
    assert!(test_kill_process(old).is_ok() && test_kill_process(new).is_ok());
    // With its last session the process ends, long before the time is up.
    drop(tunnel);
    wait_for_line(&limpet, before, "no session is left");
    wait_for_end(&[old]);
    wait_for_line(&limpet, before, "all replicas are replaced");
    assert_eq!(RawClient::connect(limpet.address).expect("it accepts").get(HANDSHAKE).expect("an answer").status, 200);
}

#[test]
fn what_crashes_again_and_again_is_started_less_and_less_often() {
    let began = Instant::now();
    let limpet = launch(1, &[], "echo broken >&2; exit 3").start().expect("limpet starts");
    for pause in ["500ms", "1s", "2s"] {
        wait_for_line(&limpet, 0, &format!("pause={pause}"));
    }
    assert!(began.elapsed() >= Duration::from_millis(1200));
    wait_for_line(&limpet, 0, "[default.1] broken");
    let response = RawClient::connect(limpet.address).expect("it accepts").get("/").expect("an answer");
    assert_eq!(response.status, 503);
}

#[test]
fn a_roll_tries_at_once_what_had_to_pause() {
    let limpet = launch(1, &[], "echo broken >&2; exit 3").start().expect("limpet starts");
    wait_for_line(&limpet, 0, "pause=2s");
    let before = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    started(&limpet, before, 1);
    // Whoever rolls has perhaps repaired it: the pauses begin anew.
    let is_pause = |line: &str| line.split_once("pause=").map(|(_, pause)| pause.to_owned());
    let pause = limpet.process.wait_for_after(before, "the next pause", is_pause).expect("it says so");
    assert!(pause.starts_with("500ms"), "{pause}");
}

#[test]
fn websockets_come_back_after_a_roll() {
    let limpet = start(2, &["--drain-timeout", "300ms"]);
    let olds = [1, 2].map(|replica| started(&limpet, 0, replica));
    let arguments = ["--survive", "--hold", "--count", "8", "--transports", "websocket"];
    let mut client = peers::node_client(&limpet.url(), &arguments).expect("it starts");
    client.connected().expect("all sessions connect");
    let before = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    wait_for_line(&limpet, before, "all replicas are replaced");
    wait_for_end(&olds);
    client.finish().expect("the client still runs");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    // Each was cut once, or twice if it came back to a process whose turn was still to come.
    assert!((8..=16).contains(&verdict.number("disconnects")), "{verdict:?}");
    assert_eq!(verdict.number("nodes/r1") + verdict.number("nodes/r2"), 8, "all sessions live: {verdict:?}");
}

#[test]
fn what_does_not_end_is_killed() {
    // Node takes no heed of what it inherits, so the shell stays instead.
    let script = format!("trap '' TERM; {}; while true; do sleep 1; done", server());
    let configuration =
        file("", &format!("[\"sh\", \"-c\", \"{script}\"]"), 1) + "kill_after = \"300ms\"\ndrain_timeout = \"100ms\"\n";
    let mut limpet = Launch::run(BINARY, configuration).start().expect("it starts");
    let old = started(&limpet, 0, 1);
    let before = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    wait_for_line(&limpet, before, "it does not end within 300ms after SIGTERM and is killed");
    wait_for_end(&[old]);
    wait_for_line(&limpet, before, "all replicas are replaced");
    let new = started(&limpet, before, 1);
    let began = Instant::now();
    assert!(limpet.process.terminate().expect("it ends").success());
    assert!(began.elapsed() >= Duration::from_millis(300));
    wait_for_end(&[new]);
}

#[test]
fn the_log_says_what_a_sighup_has_read() {
    let limpet = start(1, &[]);
    let before = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    let is_it = |line: &str| line.contains("SIGHUP: keys and endpoints files were read anew").then(|| line.to_owned());
    let line = limpet.process.wait_for_after(before, "what it has read", is_it).expect("it says so");
    for part in ["The configuration was not", "until a restart", "endpoints_files=0", "being replaced"] {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn nothing_is_left_behind() {
    // What a replica starts by itself ends with it too, if the end is asked for.
    let mut limpet = launch(2, &[], &format!("{} & echo child $!; wait", server())).start().expect("it starts");
    let mut pids = vec![started(&limpet, 0, 1), started(&limpet, 0, 2)];
    for replica in 1..=2 {
        let prefix = format!("[default.{replica}] child ");
        let child = limpet.process.wait_for("its child", |line| line.strip_prefix(&prefix)?.parse().ok());
        pids.extend(Pid::from_raw(child.expect("it prints")));
    }
    assert!(limpet.process.terminate().expect("it ends").success());
    wait_for_end(&pids);

    let mut limpet = start(2, &[]);
    let pids = [1, 2].map(|replica| started(&limpet, 0, replica));
    limpet.process.kill().expect("it ends");
    wait_for_end(&pids);
}

#[test]
fn requests_in_progress_end_before_their_replica() {
    // One worker takes requests in the order in which they came.
    let configuration = format!("workers = 1\n{}", file("", &of_shell(&server()), 1));
    let limpet = with_all(1, &Launch::run(BINARY, configuration));
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let opened = client.get(HANDSHAKE).expect("an answer").text();
    let sid = opened.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a sid");
    let target = format!("{HANDSHAKE}&sid={sid}");
    client.send(format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n40").as_bytes()).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    assert_eq!(client.get(&target).expect("the namespace").status, 200);
    // A held poll: the server's ping answers it within a second. It is there when a later request has been answered.
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).expect("sent");
    assert_eq!(RawClient::connect(limpet.address).expect("it accepts").get(HANDSHAKE).expect("an answer").status, 200);
    limpet.process.signal(Signal::TERM).expect("it runs");
    assert_eq!(client.response().expect("an answer").text(), "2");
}

#[test]
fn a_file_has_replicas_too_and_a_wrong_command_stops_the_start() {
    let limpet = with_all(2, &Launch::run(BINARY, file("", &of_shell(&server()), 2)));
    assert_eq!(RawClient::connect(limpet.address).expect("it accepts").get(HANDSHAKE).expect("an answer").status, 200);
    wait_for_line(&limpet, 0, "[app.2] listening");
    let error = Launch::run(BINARY, file("", "[\"/no/such/program\"]", 1)).start().expect_err("no such program");
    let error = error.to_string();
    assert!(error.contains("replicas of upstream app: cannot start \"/no/such/program\""), "{error}");
}

fn file(listener: &str, command: &str, count: usize) -> String {
    format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n{listener}\n[upstream.app.replicas]\ncommand = {command}\n\
         count = {count}\n"
    )
}

fn of_shell(script: &str) -> String {
    format!("[\"sh\", \"-c\", \"exec {script}\"]")
}
