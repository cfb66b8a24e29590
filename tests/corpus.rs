//! Sends every request of `tests/corpus` through the balancer and holds it to the outcome that the entry demands.
//!
//! Each entry runs before two endpoints, Node's HTTP server and nginx, which must understand the same requests. After
//! an entry that leaves the connection open, a request on it must get its own answer; after every entry another
//! connection's request must, too. So bytes that are still under way to an endpoint show up as a difference.

#[path = "corpus/stack.rs"]
mod stack;

use std::path::Path;
use std::thread;

use limpet_testkit::corpus::{self, End, Ended, Entry, Observed, SeenRequest, Step};
use limpet_testkit::raw::{Answers, RawClient, RawError, Response};
use stack::{EndpointKind, Stack};

/// Runs only the entries whose name contains the value of this variable.
const ONLY: &str = "LIMPET_CORPUS_ONLY";

#[test]
fn every_entry_has_its_outcome_before_both_endpoints() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus");
    let mut entries = corpus::load(&directory).expect("the corpus is well formed");
    assert!(entries.len() >= 150, "only {} entries", entries.len());
    if let Ok(part) = std::env::var(ONLY) {
        entries.retain(|entry| entry.name.contains(&part));
    }
    let (node, nginx) = thread::scope(|scope| {
        let node = scope.spawn(|| run(&entries, EndpointKind::Node));
        let nginx = scope.spawn(|| run(&entries, EndpointKind::Nginx));
        (node.join().expect("the run with Node ends"), nginx.join().expect("the run with nginx ends"))
    });
    let mut failures = Vec::new();
    for ((entry, node), nginx) in entries.iter().zip(&node).zip(&nginx) {
        for (kind, observed) in [("Node", node), ("nginx", nginx)] {
            if let Err(why) = observed.as_ref().map_err(Clone::clone).and_then(|observed| judge(entry, observed)) {
                failures.push(format!("{} ({kind}): {why}", entry.name));
            }
        }
        if let (Ok(node), Ok(nginx)) = (node, nginx) {
            let agreed = node.statuses == nginx.statuses && complete(node) == complete(nginx);
            if !agreed && entry.differs.is_empty() {
                failures.push(format!("{}: endpoints differ: {} and {}", entry.name, summary(node), summary(nginx)));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures in {} entries:\n{}", failures.len(), entries.len(), failures.join("\n"));
}

fn run(entries: &[Entry], kind: EndpointKind) -> Vec<Result<Observed, String>> {
    let mut stack = Stack::start(kind);
    (0..entries.len()).map(|index| observe(&mut stack, entries, index)).collect()
}

/// What the client of one entry got.
struct Conversation {
    statuses: Vec<u16>,
    /// The requests that the answers say they belong to, as `METHOD TARGET LENGTH`.
    answered: Vec<String>,
    ended: Ended,
}

fn observe(stack: &mut Stack, entries: &[Entry], index: usize) -> Result<Observed, String> {
    let entry = &entries[index];
    let follow_up = format!("/after/{index}");
    let conversation = converse(stack, entry, &follow_up);
    let barrier = format!("/barrier/{index}");
    let fresh = RawClient::connect(stack.address()).map_err(RawError::Io).and_then(|mut other| other.get(&barrier));
    let seen = match fresh {
        Ok(response) if saw(&response) == Some(&format!("GET {barrier} 0")) => stack.seen_until(&barrier),
        Ok(response) => Err(format!("another connection got {} {:?}", response.status, response.text())),
        Err(error) => Err(format!("another connection: {error}")),
    };
    let conversation = conversation.map_err(|why| format!("{why}; the endpoint saw {seen:?}"))?;
    let mut seen = seen?;
    // A request that this or an earlier entry breaks off may be told of late, and as a refusal.
    let so_far = entries[..=index].iter().flat_map(|entry| &entry.outcomes).flat_map(|outcome| &outcome.sees);
    let broken_off: Vec<_> = so_far.filter(|expected| expected.body_bytes.is_none()).collect();
    let may_break_off = |method: &str, target: &str| {
        broken_off.iter().any(|expected| (expected.method.as_str(), expected.target.as_str()) == (method, target))
    };
    seen.requests.retain(|request| request.body_bytes.is_some() || !may_break_off(&request.method, &request.target));
    seen.not_handed_on.retain(|(method, target)| !may_break_off(method, target));
    let refused = !seen.not_handed_on.is_empty() || (!seen.refusals.is_empty() && broken_off.is_empty());
    if refused && entry.differs.is_empty() {
        return Err(format!(
            "the endpoint refused what it got: {:?} {:?}; answers {:?}",
            seen.not_handed_on, seen.refusals, conversation.statuses
        ));
    }
    let follow_ups = seen.requests.iter().filter(|request| request.target == follow_up).count();
    if follow_ups > 1 || (follow_ups == 0 && conversation.ended == Ended::Open) {
        return Err(format!("the endpoint saw the following request {follow_ups} times"));
    }
    seen.requests.retain(|request| request.target != follow_up);
    let mut requests = seen.requests.iter().map(label);
    if let Some(foreign) = conversation.answered.iter().find(|answered| !requests.any(|request| request == **answered))
    {
        return Err(format!("the answer to {foreign:?} is out of place among {:?}", seen.requests));
    }
    Ok(Observed { statuses: conversation.statuses, ended: conversation.ended, requests: seen.requests })
}

fn converse(stack: &Stack, entry: &Entry, follow_up: &str) -> Result<Conversation, String> {
    let mut client = RawClient::connect(stack.address()).map_err(|error| error.to_string())?;
    let mut got = Conversation { statuses: Vec::new(), answered: Vec::new(), ended: Ended::Closed };
    let mut finished = false;
    for step in &entry.steps {
        match step {
            // The balancer may have refused already; then the answer counts, not the rest of the bytes.
            Step::Send(bytes) => drop(client.send(bytes)),
            Step::Finish => {
                finished = true;
                drop(client.finish());
            }
            Step::Await(status) => match next_answer(&mut client, entry, &mut got)? {
                Some(response) if response.status == *status => {}
                Some(_) => break,
                None => return Ok(got),
            },
        }
    }
    let least = entry.outcomes.iter().map(corpus::Outcome::least_answers).min().unwrap_or(0);
    let always_closes = entry.outcomes.iter().all(|outcome| outcome.end == End::Closed);
    while always_closes || finished || finals(&got.statuses) < least {
        match next_answer(&mut client, entry, &mut got)? {
            Some(response) if response.status == 101 => return tunnel(client, got),
            Some(_) => {}
            None => return Ok(got),
        }
    }
    drop(client.send(format!("GET {follow_up} HTTP/1.1\r\nHost: limpet.test\r\n\r\n").as_bytes()));
    let own = format!("GET {follow_up} 0");
    while let Some(response) = next_answer(&mut client, entry, &mut got)? {
        if saw(&response) == Some(&own) {
            got.statuses.pop();
            got.answered.pop();
            got.ended = Ended::Open;
            return Ok(got);
        }
    }
    Ok(got)
}

/// Sends bytes through a tunnel and takes them back.
fn tunnel(mut client: RawClient, mut got: Conversation) -> Result<Conversation, String> {
    const MARK: &[u8] = b"\x82\x84\x01\x02\x03\x04mark";
    client.send(MARK).map_err(|error| error.to_string())?;
    let mut echo = Vec::new();
    while !echo.ends_with(MARK) {
        echo.extend(client.read_exact(1).map_err(|error| format!("in the tunnel: {error}"))?);
    }
    got.ended = Ended::Tunnel;
    Ok(got)
}

/// Reads one answer and notes it; `None` when the connection has ended.
fn next_answer(client: &mut RawClient, entry: &Entry, got: &mut Conversation) -> Result<Option<Response>, String> {
    let to_head = entry.outcomes.iter().any(|outcome| outcome.is_to_head(finals(&got.statuses)));
    match client.response_to(if to_head { Answers::Head } else { Answers::Other }) {
        Ok(response) => {
            got.statuses.push(response.status);
            got.answered.extend(saw(&response).map(str::to_owned));
            Ok(Some(response))
        }
        Err(RawError::Closed) => Ok(None),
        Err(error) => Err(format!("after the answers {:?}: {error}", got.statuses)),
    }
}

/// The count of answers that are not interim ones.
fn finals(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| !corpus::is_interim(**status)).count()
}

fn saw(response: &Response) -> Option<&str> {
    response.header("x-saw")
}

fn label(request: &SeenRequest) -> String {
    let length = request.body_bytes.map_or_else(|| "cut".to_owned(), |bytes| bytes.to_string());
    format!("{} {} {length}", request.method, request.target)
}

fn complete(observed: &Observed) -> Vec<String> {
    observed.requests.iter().filter(|request| request.body_bytes.is_some()).map(label).collect()
}

fn judge(entry: &Entry, observed: &Observed) -> Result<(), String> {
    let mut reasons = Vec::new();
    for outcome in &entry.outcomes {
        match outcome.check(observed) {
            Ok(()) => return Ok(()),
            Err(why) => reasons.push(why),
        }
    }
    Err(format!("{}; in all {}", reasons.join(" or "), summary(observed)))
}

fn summary(observed: &Observed) -> String {
    let saw: Vec<_> = observed.requests.iter().map(label).collect();
    format!("answers {:?}, {:?}, saw {saw:?}", observed.statuses, observed.ended)
}
