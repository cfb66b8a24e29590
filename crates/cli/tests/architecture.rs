//! Holds the arrows of ARCHITECTURE.md: imports run one way through the crates, and the protocols know no sockets.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Which of our crates each crate may use, beside those that only tests use.
const ARROWS: [(&str, &[&str]); 9] = [
    ("limpet-proto", &[]),
    ("limpet-balancer", &["limpet-proto"]),
    ("limpet-bus", &["limpet-proto"]),
    ("limpet-server", &["limpet-bus", "limpet-proto"]),
    ("limpet-cli", &["limpet-balancer", "limpet-server", "limpet-bus"]),
    ("limpet-testkit", &[]),
    ("limpet-bench", &[]),
    ("limpet-bench-server", &["limpet-server", "limpet-bus"]),
    ("xtask", &[]),
];

/// What would let sockets, clocks or chance into the protocols.
const NOT_SANS_IO: [&str; 7] = ["tokio", "mio", "socket2", "rustix", "libc", "rand", "getrandom"];

#[test]
fn imports_run_one_way() {
    let packages = packages();
    for (name, allowed) in ARROWS {
        let used = packages.get(name).unwrap_or_else(|| panic!("{name} is not in the workspace"));
        let ours: BTreeSet<&str> =
            used.iter().map(String::as_str).filter(|used| packages.contains_key(*used)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(ours.is_subset(&allowed), "{name} uses {ours:?}, but only {allowed:?} are allowed");
    }
    let known: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    for name in packages.keys() {
        assert!(known.contains(name.as_str()), "{name} has no arrows yet: add it here and to ARCHITECTURE.md");
    }
}

#[test]
fn the_protocols_know_no_sockets() {
    let used = &packages()["limpet-proto"];
    for name in NOT_SANS_IO {
        assert!(!used.contains(name), "limpet-proto uses {name}");
    }
}

/// The packages of the workspace and what each uses outside tests.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages").iter().map(|package| {
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let used =
            dependencies.filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"]));
        (text(&package["name"]), used.collect())
    });
    packages.collect()
}
