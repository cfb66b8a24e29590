//! Two users of `limpet demo` in Chromium, on different nodes: they talk, one's node ends, the other's drains, and
//! both move. And one who reads while others talk.
//!
//! `LIMPET_SHOTS=docs/images cargo xtask test -p limpet-cli --test chat_browser` makes the pictures of docs/chat.md anew.

use std::env;
use std::fs;
use std::path::Path;

use limpet_testkit::limpet::Demo;
use limpet_testkit::peers::{self, Verdict};

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

fn two_users(arguments: &[&str]) -> Verdict {
    let mut demo = Demo::start(BINARY).expect("the demonstration starts");
    let client = peers::chat_browser(&demo.url(), arguments).expect("Chromium starts");
    for word in ["stop ", "drain "] {
        let command = client.process.wait_for(word, |line| line.starts_with(word).then(|| line.to_owned()));
        demo.process.send_line(&command.expect("they talk")).expect("it reads");
    }
    let verdict = client.verdict().expect("a verdict");
    verdict.assert_good();
    assert!(demo.process.terminate().expect("it ends").success());
    verdict
}

#[test]
fn a_reader_of_a_busy_room_is_not_moved() {
    let demo = Demo::start(BINARY).expect("the demonstration starts");
    peers::chat_reader(&demo.url()).expect("Chromium starts").verdict().expect("a verdict").assert_good();
}

#[test]
fn polling() {
    two_users(&["--transport", "polling"]);
}

#[test]
fn polling_then_upgrade() {
    let shots = env::var("LIMPET_SHOTS").ok().map(|folder| {
        // The tests run within their crate.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        fs::create_dir_all(&folder).expect("a folder for pictures");
        folder.display().to_string()
    });
    match &shots {
        Some(folder) => two_users(&["--shots", folder]),
        None => two_users(&[]),
    };
}
