//! `cargo xtask bench`: builds the balancer as it is shipped and hands over to the bench program.

use anyhow::Result;

use crate::install;
use crate::run::{cargo, check};

/// Compares the proxy with HAProxy, nginx and Caddy.
pub(crate) fn proxy(arguments: &[String]) -> Result<()> {
    install::tools(&install::BENCH_TOOLS)?;
    check(cargo().args(["build", "--release", "--package", "limpet-cli"]))?;
    check(cargo().args(["run", "--release", "--package", "limpet-bench", "--", "proxy"]).args(arguments))
}

/// Measures what it costs to choose an endpoint.
pub(crate) fn choose() -> Result<()> {
    check(cargo().args(["bench", "--package", "limpet-balancer", "--bench", "choose"]))
}
