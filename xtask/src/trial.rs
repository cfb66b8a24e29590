//! `cargo xtask try`: three chat replicas behind the balancer, for a look with a browser.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::install;
use crate::run::{cargo, check, root};

/// Runs until the balancer ends, which Ctrl-C does; the replicas end with their standard input.
pub(crate) fn run(port: u16) -> Result<()> {
    install::node_peers()?;
    check(cargo().args(["build", "--package", "limpet-cli"]))?;
    let mut replicas = Vec::new();
    let mut endpoints = Vec::new();
    for name in ["anna", "bert", "cleo"] {
        let (replica, address) = start_replica(name)?;
        eprintln!("xtask: replica {name} listens on {address}");
        replicas.push(replica);
        endpoints.push(address);
    }
    eprintln!();
    eprintln!("  Open http://127.0.0.1:{port}/ in a few tabs: each shows its node, transport and session.");
    eprintln!("  Polling only: http://127.0.0.1:{port}/?transport=polling");
    eprintln!("  Without a bus each replica has a room of its own. Ctrl-C ends everything.");
    eprintln!();

    let mut limpet = cargo();
    limpet.args(["run", "--quiet", "--package", "limpet-cli", "--", "proxy"]);
    let state = root().join("target/try");
    fs::create_dir_all(&state)?;
    limpet.arg(format!("127.0.0.1:{port}")).args(&endpoints).arg("--state-directory").arg(state);
    let status = limpet.status().context("cannot start the balancer")?;
    for mut replica in replicas {
        drop(replica.stdin.take());
        replica.wait()?;
    }
    ensure!(status.success() || status.code().is_none(), "the balancer ended: {status}");
    Ok(())
}

/// Starts a chat replica on a free port; it ends when its standard input closes.
fn start_replica(name: &str) -> Result<(Child, String)> {
    let mut child = Command::new("node")
        .arg(root().join("tests/peers/chat/server.js"))
        .args(["--end-with-stdin", "--name", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start node")?;
    let output = child.stdout.take().context("the replica has no output")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let port = line.trim().strip_prefix("listening ").with_context(|| format!("replica {name} did not start"))?;
    Ok((child, format!("127.0.0.1:{port}")))
}
