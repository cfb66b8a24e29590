//! Keys are changed while sessions live: the first line signs, all verify, and SIGHUP reads the file anew.

use limpet_testkit::limpet::{KeyFile, Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::raw::RawClient;
use rustix::process::Signal;

const OLD: &str = "1:bGltcGV0LXRlc3Qta2V5LTAxMjM0NTY3ODlhYmNkZWY=";
const NEW: &str = "2:MDEyMzQ1Njc4OWFiY2RlZi1saW1wZXQtdGVzdC1rZXk=";

fn open(limpet: &Limpet) -> String {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let response = client.get("/socket.io/?EIO=4&transport=polling").expect("a handshake");
    let packet: serde_json::Value = serde_json::from_str(&response.text()[1..]).expect("an open packet");
    packet["sid"].as_str().expect("a sid").to_owned()
}

fn poll(limpet: &Limpet, sid: &str) -> u16 {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    client.get(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}")).expect("an answer").status
}

fn reload(limpet: &Limpet, key: &KeyFile, lines: &str) {
    key.write(lines).expect("written");
    let seen = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    let says = |line: &str| line.contains("keys read anew").then_some(());
    limpet.process.wait_for_after(seen, "the keys", says).expect("it reads them");
}

#[test]
fn sessions_outlive_a_change_of_keys_until_the_old_one_is_removed() {
    let endpoint = Endpoint::start(Conduct::Handshakes).expect("a port");
    let key = KeyFile::create().expect("a file");
    let launch = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [endpoint.address()]);
    let limpet = launch.arg("--no-probe").key(&key).start().expect("it starts");
    let before = open(&limpet);
    assert_eq!(poll(&limpet, &before), 200);
    reload(&limpet, &key, &format!("{NEW}\n{OLD}\n"));
    let after = open(&limpet);
    assert_eq!((poll(&limpet, &before), poll(&limpet, &after)), (200, 200));
    reload(&limpet, &key, &format!("{NEW}\n"));
    assert_eq!((poll(&limpet, &before), poll(&limpet, &after)), (400, 200));
}

#[test]
fn keys_that_cannot_be_read_change_nothing() {
    let endpoint = Endpoint::start(Conduct::Handshakes).expect("a port");
    let key = KeyFile::create().expect("a file");
    let launch = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [endpoint.address()]);
    let limpet = launch.arg("--no-probe").key(&key).start().expect("it starts");
    let sid = open(&limpet);
    key.write("1:nonsense\n").expect("written");
    let seen = limpet.process.line_count();
    limpet.process.signal(Signal::HUP).expect("it runs");
    let says = |line: &str| line.contains("the ones before stay in use").then_some(());
    limpet.process.wait_for_after(seen, "the complaint", says).expect("it complains");
    assert_eq!(poll(&limpet, &sid), 200);
}
