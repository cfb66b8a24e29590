//! The binary as a black box: what it prints and its exit codes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// What a call printed and its exit code.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the binary with these arguments and nothing but these variables.
fn limpet_with(variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    Command::new(env!("CARGO_BIN_EXE_limpet"))
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .unwrap()
        .into()
}

fn limpet(arguments: &[&str]) -> Outcome {
    limpet_with(&[], arguments)
}

/// Writes a configuration file and returns its path, and the directory that goes when dropped.
fn file(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("limpet.toml");
    fs::write(&path, text).unwrap();
    (directory, path)
}

fn check(path: &Path) -> Outcome {
    limpet(&["check", "-c", path.to_str().unwrap()])
}

const SMALL: &str = "[listener.web]\nbind = \"127.0.0.1:0\"\n[upstream.app]\nendpoints = [\"127.0.0.1:3000\"]\n";

#[test]
fn help_of_every_command_has_an_example() {
    let commands: [&[&str]; 7] = [&[], &["proxy"], &["run"], &["check"], &["config"], &["key"], &["key", "new"]];
    for command in commands {
        let outcome = limpet(&[command, &["--help"]].concat());
        assert_eq!(outcome.code, Some(0), "{command:?}");
        assert!(outcome.out.contains("Example"), "{command:?}: {}", outcome.out);
        let path = [&["limpet"], command].concat().join(" ");
        assert!(outcome.out.contains(&path), "{command:?}: {}", outcome.out);
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let commands: [&[&str]; 6] =
        [&[], &["fly"], &["run"], &["config"], &["key", "new", "--slot", "256"], &["--log", "loud", "key", "new"]];
    for command in commands {
        let outcome = limpet(command);
        assert_eq!(outcome.code, Some(2), "{command:?}: {outcome:?}");
        assert_eq!(outcome.out, "", "{command:?}");
        assert!(outcome.err.contains("Usage") || outcome.err.contains("error:"), "{command:?}: {}", outcome.err);
    }
}

#[test]
fn the_defaults_pass_the_check_once_there_are_endpoints() {
    let defaults = limpet(&["config", "--defaults"]);
    assert_eq!(defaults.code, Some(0));

    let (_directory, path) = file(&defaults.out);
    let outcome = check(&path);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.err.contains("upstream.app.endpoints: no endpoints"), "{}", outcome.err);

    let (_directory, path) = file(&defaults.out.replace("endpoints = []", "endpoints = [\"127.0.0.1:3000\"]"));
    let outcome = check(&path);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{outcome:?}");
}

#[test]
fn check_says_what_would_happen() {
    let text = format!(
        "workers = 2\nstate_directory = \"/srv/limpet\"\n{SMALL}probe = {{ interval = \"3s\" }}\n[[route]]\npath_prefix = \"/chat\"\nupstream = \"app\"\n[upstream.old]\nendpoints = [{{ address = \"[::1]:1\", id = \"x\" }}]\nprobe = false\nsid_tag = false\n"
    );
    let (_directory, path) = file(&text);
    let outcome = check(&path);
    let expected = "listener web: 127.0.0.1:0\n\
        route: path /chat* -> upstream app\n\
        upstream app: least_conn, affinity by sid, sids tagged, probed every 3s\n\
        \x20 endpoint 127.0.0.1:3000\n\
        upstream old: least_conn, affinity by sid, sids learned, not probed\n\
        \x20 endpoint [::1]:1 (id x)\n\
        key: kept in /srv/limpet, made if there is none; a second balancer needs the same\n\
        2 workers, access log off\n\
        remark: FILE:11: upstream.old: no route leads here; add [[route]] with upstream = \"old\", or drop it\n";
    let out = outcome.out.replace(path.to_str().unwrap(), "FILE");
    assert_eq!((outcome.code, out.as_str(), outcome.err.as_str()), (Some(0), expected, ""));
}

#[test]
fn errors_of_the_file_are_exit_code_2() {
    let (_directory, path) =
        file("[listener.web]\nbnd = 1\n[upstream.app]\nbalance = \"leastconn\"\nendpoints = [\"a:1\"]\n");
    let name = path.display();
    let expected = format!(
        "{name}:1: listener.web.bind: is missing; write for example bind = \":8000\"\n\
         {name}:2: listener.web.bnd: unknown key; did you mean \"bind\"?\n\
         {name}:4: upstream.app.balance: unknown algorithm \"leastconn\"; use one of least_conn, round_robin, random2, source, hash, first\n"
    );
    for command in ["check", "run"] {
        let outcome = limpet(&[command, "-c", path.to_str().unwrap()]);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{command}");
        assert_eq!(outcome.err, expected, "{command}");
    }
}

#[test]
fn a_file_that_is_not_there_is_exit_code_2() {
    for command in ["check", "run"] {
        let outcome = limpet(&[command, "-c", "/nowhere/limpet.toml"]);
        assert_eq!(outcome.code, Some(2), "{command}");
        assert!(outcome.err.starts_with("/nowhere/limpet.toml: cannot be read: "), "{}", outcome.err);
    }
}

#[test]
fn what_cannot_be_resolved_or_read_is_exit_code_1() {
    // A label of 64 characters is refused before any name server is asked.
    let host = format!("{}.example", "a".repeat(64));
    let (_directory, path) = file(&SMALL.replace("127.0.0.1:3000", &format!("{host}:3000")));
    let outcome = check(&path);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains(&format!("endpoint {host}:3000 -> FAILED: ")), "{}", outcome.out);

    let (_directory, path) = file(&format!("{SMALL}[cluster]\nkey_file = \"/nowhere/limpet.key\"\n"));
    let outcome = check(&path);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("key: FAILED: /nowhere/limpet.key: "), "{}", outcome.out);
}

#[test]
fn check_reads_the_files_of_endpoints() {
    let folder = tempfile::tempdir().unwrap();
    let more = folder.path().join("app.json");
    let (_directory, path) = file(&format!("{SMALL}endpoints_file = {more:?}\n"));
    for (text, code, expected) in [
        (
            "[{ \"address\": \"127.0.0.1:2\", \"id\": \"b\" }]",
            0,
            "app.json: 1 endpoint\n  endpoint 127.0.0.1:3000\n  endpoint 127.0.0.1:2 (id b)\n",
        ),
        (
            "[\n\"127.0.0.1\"]",
            1,
            "app.json:2: endpoints[1]: \"127.0.0.1\" is not the address of an endpoint; add a port",
        ),
        ("[\"127.0.0.1:3000\"]", 1, "app.json: FAILED: the address 127.0.0.1:3000 is that of endpoint 1 already\n"),
    ] {
        fs::write(&more, text).unwrap();
        let outcome = check(&path);
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert!(outcome.out.contains(expected), "{}", outcome.out);
    }
    fs::remove_file(&more).unwrap();
    let outcome = check(&path);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.out.contains("app.json: cannot be read: "), "{}", outcome.out);
}

#[test]
fn check_without_a_file_looks_at_the_environment() {
    let outcome =
        limpet_with(&[("LIMPET_LISTEN", ":8000"), ("LIMPET_UPSTREAM", "127.0.0.1:1 127.0.0.1:2")], &["check"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.out.contains("listener default: [::]:8000\n"), "{}", outcome.out);
    assert!(outcome.out.contains("  endpoint 127.0.0.1:2\n"), "{}", outcome.out);
}

#[test]
fn a_proxy_names_what_is_missing_or_wrong() {
    let outcome = limpet(&["proxy"]);
    let expected = "no listener; give an address to listen on, such as \":8000\", or set LIMPET_LISTEN\n\
        no endpoints; give at least one, such as \"app01:3000\", or set LIMPET_UPSTREAM\n";
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(2), expected));

    let arguments =
        ["proxy", "x", "a:1", "b", "--balance", "best", "--trusted", "::/0", "--trusted", "x", "--workers", "x"];
    let outcome = limpet_with(&[("LIMPET_ACCESS_LOG", "yes")], &arguments);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{outcome:?}");
    let places: Vec<&str> = outcome.err.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(places, ["LIMPET_ACCESS_LOG", "LISTEN", "ENDPOINT", "--balance", "--trusted", "--workers"]);
}

#[test]
fn replicas_need_a_command() {
    let outcome = limpet(&["proxy", ":0", "--replicas", "2"]);
    assert_eq!(outcome.code, Some(2));
    let expected = "upstream.default.replicas: no command to start; write for example -- node server.js";
    assert!(outcome.err.contains(expected), "{}", outcome.err);
}

#[test]
fn new_keys_are_lines_of_slot_and_32_bytes() {
    let lines: Vec<String> = [&["key", "new"][..], &["key", "new", "--slot", "255"]]
        .into_iter()
        .map(|command| {
            let outcome = limpet(command);
            assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
            outcome.out
        })
        .collect();
    for (line, slot) in lines.iter().zip(["0:", "255:"]) {
        let key = line.strip_prefix(slot).and_then(|line| line.strip_suffix('\n')).expect(line);
        // 32 bytes are 43 digits of base64 and one of padding.
        assert!(key.len() == 44 && key.ends_with('='), "{line}");
    }
    assert_ne!(lines[0].split(':').next_back(), lines[1].split(':').next_back());
}

#[test]
fn an_empty_level_is_the_default() {
    assert_eq!(limpet_with(&[("LIMPET_LOG", "")], &["key", "new"]).code, Some(0));
    assert_eq!(limpet_with(&[("LIMPET_LOG", "loud")], &["key", "new"]).code, Some(2));
}
