//! What a fresh Debian machine with Rust and Node lacks: packages of the system, the Node peers, the Python peers.
//!
//! Nothing is installed twice, and nothing is asked of the network when all is there.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{check, is_installed, root, succeeds};

/// A program, or a file that one loads, and the Debian package that brings it.
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

/// What the tests need.
pub(crate) const TEST_TOOLS: [Tool; 8] = [
    Tool { program: "c++", package: "g++" },
    Tool { program: "dnsmasq", package: "dnsmasq-base" },
    Tool { program: "haproxy", package: "haproxy" },
    Tool { program: "nginx", package: "nginx" },
    Tool { program: "/usr/lib/nginx/modules/ngx_stream_module.so", package: "libnginx-mod-stream" },
    Tool { program: "apache2", package: "apache2-bin" },
    Tool { program: "redis-server", package: "redis-server" },
    Tool { program: "chromium", package: "chromium" },
];

/// What the benchmark of the server library counts system calls with, and lays a cable with.
pub(crate) const SERVER_BENCH_TOOLS: [Tool; 3] = [
    Tool { program: "strace", package: "strace" },
    Tool { program: "ip", package: "iproute2" },
    Tool { program: "ethtool", package: "ethtool" },
];

/// What the benchmark of buses needs.
pub(crate) const BUS_BENCH_TOOLS: [Tool; 1] = [Tool { program: "redis-server", package: "redis-server" }];

/// What the benchmark of the balancer compares with.
pub(crate) const BENCH_TOOLS: [Tool; 3] = [
    Tool { program: "haproxy", package: "haproxy" },
    Tool { program: "nginx", package: "nginx" },
    Tool { program: "caddy", package: "caddy" },
];

/// Installs the packages of those tools that are missing; says how to do it by hand when it may not.
pub(crate) fn tools(wanted: &[Tool]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|tool| !is_installed(tool.program)).map(|tool| tool.package).collect();
    packages(&missing)
}

/// Installs the Node peers when they are missing or older than their lock file.
pub(crate) fn node_peers() -> Result<()> {
    ensure!(is_installed("node") && is_installed("npm"), "Node.js 20 or newer with npm is needed: https://nodejs.org");
    let folder = root().join("tests/peers/node");
    // npm writes this file at the end of an installation.
    if is_newer(&folder.join("node_modules/.package-lock.json"), &folder.join("package-lock.json")) {
        return Ok(());
    }
    check(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder))
}

/// Makes the virtual environment of the Python peers when it is missing or older than its list.
pub(crate) fn python_peers() -> Result<()> {
    let folder = root().join("tests/peers/python");
    let requirements = folder.join("requirements.txt");
    let done = folder.join(".venv/.installed");
    if is_newer(&done, &requirements) {
        return Ok(());
    }
    if !succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        packages(&["python3-venv"])?;
    }
    let environment = folder.join(".venv");
    check(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    check(Command::new(environment.join("bin/python")).args(pip).arg(&requirements))?;
    fs::write(&done, "").context("cannot note that the Python peers are installed")
}

fn packages(missing: &[&str]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_installed("apt-get") {
        bail!("these are missing and have to be installed by hand: {list}");
    }
    if !rustix::process::geteuid().is_root() {
        bail!("these are missing; run: sudo apt-get update && sudo apt-get install --no-install-recommends {list}");
    }
    check(Command::new("apt-get").arg("update"))?;
    let install = ["install", "--yes", "--no-install-recommends"];
    check(Command::new("apt-get").args(install).args(missing).env("DEBIAN_FRONTEND", "noninteractive"))
        .with_context(|| format!("could not install: {list}"))
}

/// Whether `built` exists and is not older than `source`.
fn is_newer(built: &Path, source: &Path) -> bool {
    let time = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    match (time(built), time(source)) {
        (Some(built), Some(source)) => built >= source,
        _ => false,
    }
}
