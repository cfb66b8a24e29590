//! Holds the documentation to the binary: every configuration in it passes `limpet check`, and every link leads somewhere.
//!
//! A block that begins with ```` ```toml ```` is a configuration, or the part of one that a page is about: a listener and
//! an upstream `app` are added where it has none. Its names need not resolve.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a part lacks.
const LISTENER: &str = "[listener.web]\nbind = \"127.0.0.1:8000\"\n";
const UPSTREAM: &str = "[upstream.app]\nendpoints = [\"10.0.0.11:3000\", \"10.0.0.12:3000\"]\n";

/// A server that refuses at once, so that no test waits for the names of the documentation.
const DNS: &str = "[dns]\nservers = [\"127.0.0.1:9\"]\ntimeout = \"100ms\"\n";

/// Returns the pages of the repository: those of its root, of docs/ and of the examples.
fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut pages = Vec::new();
    let mut folders = vec![root.clone(), root.join("docs"), root.join("deploy/examples")];
    let examples = fs::read_dir(root.join("deploy/examples")).unwrap().map(|entry| entry.unwrap().path());
    folders.extend(examples.filter(|path| path.is_dir()));
    for folder in folders {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "md") {
                let text = fs::read_to_string(&path).unwrap();
                pages.push((path, text));
            }
        }
    }
    assert!(pages.len() > 10, "the pages were not found: {pages:?}");
    pages
}

/// Returns the lines within the fences of a language, each block with the number of its first line.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<(usize, Vec<&'a str>)> {
    let (mut blocks, mut inside) = (Vec::new(), None);
    for (n, line) in (1..).zip(text.lines()) {
        match (line.strip_prefix("```"), inside) {
            (Some(word), None) => {
                inside = Some(word == language);
                if word == language {
                    blocks.push((n + 1, Vec::new()));
                }
            }
            (Some(_), Some(_)) => inside = None,
            (None, Some(true)) => blocks.last_mut().unwrap().1.push(line),
            (None, _) => {}
        }
    }
    assert_eq!(inside, None, "a fence is not closed");
    blocks
}

#[test]
fn every_configuration_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("limpet.toml");
    let mut seen = 0;
    for (page, text) in pages() {
        for (line, block) in blocks(&text, "toml") {
            let mut config = block.join("\n") + "\n";
            for (table, lacking) in [("[listener.", LISTENER), ("[upstream.", UPSTREAM), ("[dns]", DNS)] {
                if !block.iter().any(|line| line.starts_with(table)) {
                    config += lacking;
                }
            }
            fs::write(&file, &config).unwrap();
            let mut check = Command::new(env!("CARGO_BIN_EXE_limpet"));
            check.arg("check").arg("-c").arg(&file).env_clear().env("STATS_PASSWORD", "of the page about statistics");
            let output = check.output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            // 1 is what cannot be resolved or read here.
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{}:{line}: the configuration there is wrong:\n{errors}",
                page.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} configurations were found");
}

#[test]
fn every_link_leads_somewhere() {
    for (page, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let place = link.split('#').next().unwrap_or_default();
            if place.is_empty() || link.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(place);
            assert!(path.exists(), "{}: there is nothing at {link}", page.display());
        }
    }
}
