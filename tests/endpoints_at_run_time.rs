//! Endpoints come, go and change while the balancer runs: through the handle in this process, and through a watched file.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

use limpet_balancer::balancer::{self, Running};
use limpet_balancer::config::{AdminState, Draft, EndpointConfig, Origin, Setting};
use limpet_balancer::discovery::{Endpoints, Refusal};
use limpet_testkit::http;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::peers;
use limpet_testkit::process::PATIENCE;
use limpet_testkit::raw::RawClient;
use rustix::process::Signal;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn answering(body: &'static str) -> Endpoint {
    Endpoint::start(Conduct::Answers(body)).expect("a port")
}

fn config_of(endpoint: &Endpoint) -> EndpointConfig {
    EndpointConfig::new("127.0.0.1", endpoint.address().port())
}

/// Runs a part of the handle's life; it needs no runtime of any kind but something that polls it.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

/// A balancer within this process, in front of one endpoint.
struct InProcess {
    running: Running,
    address: SocketAddr,
    _state: tempfile::TempDir,
}

impl InProcess {
    fn start(endpoint: &Endpoint) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let mut draft = Draft::default();
        for (setting, text) in [
            (Setting::Listen, "127.0.0.1:0".to_owned()),
            (Setting::Endpoints, endpoint.address().to_string()),
            (Setting::StateDirectory, state.path().display().to_string()),
            (Setting::Workers, "1".to_owned()),
            (Setting::Balance, "round_robin".to_owned()),
        ] {
            draft.set(Origin::Unknown, setting, &text);
        }
        let config = draft.check(&|_| None).expect("it is right");
        let running = balancer::start(config).expect("it starts");
        let address = running.addresses()[0].1;
        Self { running, address, _state: state }
    }

    fn endpoints(&self) -> &Endpoints {
        self.running.endpoints()
    }

    /// What answers to so many requests, in alphabetical order, each once.
    fn answers(&self, requests: usize) -> Vec<String> {
        answers(self.address, requests)
    }
}

fn answers(address: SocketAddr, requests: usize) -> Vec<String> {
    let mut answers: Vec<String> =
        (0..requests).map(|_| http::get(address, "/", &[]).expect("an answer").body.trim().to_owned()).collect();
    answers.sort();
    answers.dedup();
    answers
}

#[test]
fn a_handle_in_the_process_adds_removes_and_drains() {
    let (a, b, c) = (answering("a"), answering("b"), answering("c"));
    let limpet = InProcess::start(&a);
    assert_eq!(limpet.answers(4), ["a"]);
    let endpoints = limpet.endpoints();

    now(endpoints.set("default", "test", vec![config_of(&b), config_of(&c)])).expect("both are new");
    assert_eq!(limpet.answers(6), ["a", "b", "c"]);
    let kept = limpet.running.upstreams()[0].endpoints();

    now(endpoints.set("default", "test", vec![config_of(&c)])).expect("one has gone");
    assert_eq!(limpet.answers(6), ["a", "c"]);
    let after = limpet.running.upstreams()[0].endpoints();
    assert_eq!(
        (after[0].serial(), after[1].serial()),
        (kept[0].serial(), kept[2].serial()),
        "the others were not touched"
    );

    let refused = now(endpoints.set("default", "test", vec![config_of(&a)])).expect_err("the configuration has it");
    assert!(refused.to_string().contains("is that of endpoint 1 already"), "{refused}");
    assert_eq!(now(endpoints.set("other", "test", vec![])), Err(Refusal::UnknownUpstream("other".into())));
    assert_eq!(now(endpoints.set("default", "file", vec![])), Err(Refusal::ReservedSource("file".into())));
    let state = endpoints.set_state("default", "no-such", AdminState::Drain);
    assert_eq!(now(state), Err(Refusal::UnknownEndpoint("no-such".into())));
    assert_eq!(limpet.answers(6), ["a", "c"]);

    let handle = endpoints.clone();
    limpet.running.stop().expect("it stops");
    assert_eq!(now(handle.set("default", "test", vec![])), Err(Refusal::Ended));
}

#[test]
fn a_balancer_in_the_process_says_why_it_cannot_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut draft = Draft::default();
    draft.set(Origin::Unknown, Setting::Listen, &taken.local_addr().expect("an address").to_string());
    draft.set(Origin::Unknown, Setting::Endpoints, "127.0.0.1:1");
    draft.set(Origin::Unknown, Setting::Key, "1:bGltcGV0LXRlc3Qta2V5LTAxMjM0NTY3ODlhYmNkZWY=");
    let error = balancer::start(draft.check(&|_| None).expect("it is right")).expect_err("the port is taken");
    assert!(error.to_string().contains("cannot listen on"), "{error}");
}

/// Asks until exactly these answer.
fn wait_for(limpet: &Limpet, expected: &[&str]) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answers = answers(limpet.address, 6);
        if answers == expected {
            return;
        }
        assert!(Instant::now() < end, "{answers:?}, not {expected:?}\n{}", limpet.process.tail());
    }
}

fn says(limpet: &Limpet, after: usize, text: &str) -> String {
    let has = |line: &str| line.contains(text).then(|| line.to_owned());
    limpet.process.wait_for_after(after, text, has).expect("it says so")
}

/// A file of endpoints that is replaced as careful programs do it, and a balancer that watches it.
struct Watched {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Watched {
    fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        Self { folder, path }
    }

    fn replace(&self, text: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, text).expect("a file");
        fs::rename(new, &self.path).expect("it is renamed");
    }

    fn start(&self) -> Limpet {
        let configuration = format!(
            "[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nbalance = \"round_robin\"\nendpoints_file = {:?}\n",
            self.path
        );
        Launch::run(BINARY, configuration).start().expect("it starts")
    }
}

#[test]
fn a_file_adds_removes_and_sets_states() {
    let (a, b, c) = (answering("a"), answering("b"), answering("c"));
    let [a, b, c] = [&a, &b, &c].map(|endpoint| endpoint.address().to_string());
    let file = Watched::new("app.toml", &format!("endpoints = [\"{a}\", \"{b}\"]\n"));
    let limpet = file.start();
    assert_eq!(answers(limpet.address, 6), ["a", "b"]);

    let seen = limpet.process.line_count();
    file.replace(&format!("endpoints = [\"{b}\", \"{c}\"]\n"));
    wait_for(&limpet, &["b", "c"]);
    says(&limpet, seen, "endpoint added");
    says(&limpet, seen, "endpoint gone");

    for (state, who) in [("drain", &["c"][..]), ("ready", &["b", "c"]), ("maintenance", &["c"])] {
        file.replace(&format!("endpoints = [{{ address = \"{b}\", state = \"{state}\" }}, \"{c}\"]\n"));
        wait_for(&limpet, who);
    }
    assert_eq!(limpet.process.output().matches("endpoint gone").count(), 1, "a state is no other endpoint");
}

#[test]
fn a_file_that_is_wrong_or_gone_changes_nothing() {
    let (a, b) = (answering("a"), answering("b"));
    let [a, b] = [&a, &b].map(|endpoint| endpoint.address().to_string());
    let file = Watched::new("app.toml", &format!("endpoints = [\n\"{a}\",\n\"{b}\" ]\n"));
    let limpet = file.start();
    let name = file.path.display().to_string();
    for (text, line, wrong) in [
        (format!("endpoints = [\n\"{a}\",\n\"{b}\""), 3, "unclosed array"),
        (format!("endpoints = [\n\"{a}\",\n{{ address = \"{b}\", wieght = 2 }} ]\n"), 3, "did you mean \"weight\"?"),
        (format!("endpoints = [\n\"{a}\",\n\n\"{a}\" ]\n"), 4, "is that of endpoint 1 already"),
    ] {
        let seen = limpet.process.line_count();
        file.replace(&text);
        let said = says(&limpet, seen, &format!("{name}:{line}:"));
        assert!(said.contains(wrong) && said.contains("the endpoints before stay in use"), "{said}");
        assert_eq!(answers(limpet.address, 4), ["a", "b"]);
    }
    let seen = limpet.process.line_count();
    fs::write(&file.path, "").expect("it is cut");
    says(&limpet, seen, "lacks its list");
    let seen = limpet.process.line_count();
    fs::remove_file(&file.path).expect("it is removed");
    says(&limpet, seen, "cannot be read");
    assert_eq!(answers(limpet.address, 4), ["a", "b"]);
    file.replace(&format!("endpoints = [\"{b}\"]\n"));
    wait_for(&limpet, &["b"]);
    file.replace("endpoints = []\n");
    wait_for(&limpet, &["no endpoint is available"]);
}

#[test]
fn json_behind_a_link_that_is_swapped_is_seen() {
    // As Kubernetes mounts a ConfigMap: the file is a link into a folder that is itself a link.
    let (a, b) = (answering("a"), answering("b"));
    let file = Watched::new("unused", "");
    let at = |name: &str| file.folder.path().join(name);
    for (version, endpoint) in [("v1", &a), ("v2", &b)] {
        fs::create_dir(at(version)).expect("a folder");
        let text = format!("[{{ \"address\": \"{}\", \"weight\": 2 }}]", endpoint.address());
        fs::write(at(version).join("app.json"), text).expect("a file");
    }
    symlink("v1", at("..data")).expect("a link");
    symlink("..data/app.json", at("app.json")).expect("a link");
    let file = Watched { path: at("app.json"), ..file };
    let limpet = file.start();
    assert_eq!(answers(limpet.address, 4), ["a"]);
    let at = |name: &str| file.folder.path().join(name);
    symlink("v2", at("..new")).expect("a link");
    fs::rename(at("..new"), at("..data")).expect("it is renamed");
    wait_for(&limpet, &["b"]);
}

#[test]
fn a_file_may_come_after_the_start_and_sighup_reads_it() {
    let a = answering("a");
    let file = Watched::new("app.toml", "");
    fs::remove_file(&file.path).expect("it is removed");
    let limpet = file.start();
    says(&limpet, 0, "cannot be read");
    assert_eq!(answers(limpet.address, 1), ["no endpoint is available"]);
    file.replace(&format!("endpoints = [\"{}\"]\n", a.address()));
    wait_for(&limpet, &["a"]);
    let seen = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    says(&limpet, seen, "app.toml read: 1 endpoints");
}

#[test]
fn bound_sessions_stay_while_their_endpoint_drains_and_are_unknown_when_it_has_gone() {
    let [a, b] = [(); 2].map(|()| Endpoint::start(Conduct::Handshakes).expect("a port"));
    let limpet = InProcess::start(&a);
    let endpoints = limpet.endpoints();
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let mut handshake = || {
        let answer = client.get("/socket.io/?EIO=4&transport=polling").expect("an answer").text();
        let sid = answer.split('"').nth(3).expect("a sid").to_owned();
        assert!(answer.starts_with("0{\"sid\":"), "{answer}");
        sid
    };
    let of_a = handshake();
    now(endpoints.set("default", "test", vec![config_of(&b)])).expect("it is new");
    assert_eq!(now(endpoints.set_state("default", &a.address().to_string(), AdminState::Drain)), Ok(1));
    let before = a.requests().len();
    let of_b: Vec<String> = (0..3).map(|_| handshake()).collect();
    assert_eq!(a.requests().len(), before, "no new session while it drains");

    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let mut poll = |sid: &str| {
        let answer = client.get(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}")).expect("an answer");
        (answer.status, answer.text())
    };
    assert_eq!(poll(&of_a), (200, "ok".to_owned()), "its own session goes on");
    assert_eq!(a.requests().len(), before + 1);

    assert_eq!(poll(&of_b[0]), (200, "ok".to_owned()));
    now(endpoints.set("default", "test", vec![])).expect("it has gone");
    let (status, text) = poll(&of_b[0]);
    assert_eq!((status, text.contains("Session ID unknown")), (400, true), "{text}");
    now(endpoints.set("default", "test", vec![config_of(&b)])).expect("it is back");
    assert_eq!(poll(&of_b[1]), (200, "ok".to_owned()), "with its sessions");
}

#[test]
fn a_tunnel_outlives_its_endpoint() {
    let mut servers = peers::node_servers(&["a"], &[]).expect("the replica starts");
    let spare = answering("spare");
    let limpet = InProcess::start(&spare);
    let endpoints = limpet.endpoints();
    let server = EndpointConfig::new("127.0.0.1", servers[0].address.port());
    now(endpoints.set("default", "test", vec![server])).expect("it is new");
    assert_eq!(now(endpoints.set_state("default", &spare.address().to_string(), AdminState::Drain)), Ok(1));
    let url = format!("http://{}", limpet.address);
    let arguments = ["--hold", "--count", "3", "--heartbeats", "0", "--transports", "websocket"];
    let mut client = peers::node_client(&url, &arguments).expect("the client starts");
    client.connected().expect("all sessions connect");
    now(endpoints.set("default", "test", vec![])).expect("it has gone");
    assert_eq!(servers[0].sessions().expect("it answers"), 3, "nothing is cut");
    client.finish().expect("the client still runs");
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert_eq!(verdict.number("disconnects"), 0, "{verdict:?}");
    servers.clear();
}
