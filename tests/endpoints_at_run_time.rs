//! Endpoints come, go and change while the balancer runs: through the handle in this process, and through a watched file.

use std::net::SocketAddr;

use limpet_balancer::balancer::{self, Running};
use limpet_balancer::config::{AdminState, Draft, EndpointConfig, Origin, Setting};
use limpet_balancer::discovery::{Endpoints, Refusal};
use limpet_testkit::http;
use limpet_testkit::misbehave::{Conduct, Endpoint};

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
