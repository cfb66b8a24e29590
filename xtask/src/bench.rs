//! `cargo xtask bench`: builds what is measured as it is shipped and hands over to the bench program.

use anyhow::Result;

use crate::install;
use crate::run::{cargo, check};

/// Compares the proxy with HAProxy, nginx and Caddy.
pub(crate) fn proxy(arguments: &[String]) -> Result<()> {
    install::tools(&install::BENCH_TOOLS)?;
    check(cargo().args(["build", "--release", "--package", "limpet-cli"]))?;
    check(cargo().args(["run", "--release", "--package", "limpet-bench", "--", "proxy"]).args(arguments))
}

/// Compares the server library with Node's socket.io and socketioxide.
pub(crate) fn server(arguments: &[String]) -> Result<()> {
    install::tools(&install::SERVER_BENCH_TOOLS)?;
    install::node_peers()?;
    socketioxide()?;
    check(cargo().args(["build", "--release", "--package", "limpet-bench-server"]))?;
    check(cargo().args(["run", "--release", "--package", "limpet-bench", "--", "server"]).args(arguments))
}

/// Compares what joins nodes: Limpet's buses with Node's adapters and socketioxide's.
pub(crate) fn bus(arguments: &[String]) -> Result<()> {
    install::tools(&install::BUS_BENCH_TOOLS)?;
    install::node_peers()?;
    socketioxide()?;
    check(cargo().args(["build", "--release", "--package", "limpet-bench-server", "--package", "limpet-cli"]))?;
    check(cargo().args(["run", "--release", "--package", "limpet-bench", "--", "bus"]).args(arguments))
}

/// Measures what it costs to choose an endpoint.
pub(crate) fn choose() -> Result<()> {
    check(cargo().args(["bench", "--package", "limpet-balancer", "--bench", "choose"]))
}

/// Builds the applications on socketioxide: a workspace of its own; its artefacts lie in ours.
fn socketioxide() -> Result<()> {
    let peer = ["build", "--release", "--locked", "--manifest-path", "bench/peers/socketioxide/Cargo.toml"];
    check(cargo().args(peer).args(["--target-dir", "target/peers"]))
}
