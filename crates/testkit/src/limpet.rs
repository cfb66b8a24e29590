//! The `limpet` binary as a black box: started with `limpet proxy`, read through its output, stopped by signals.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;

/// The environment variable that names another program with the same command line, to debug a suite against it.
pub const PROXY_VARIABLE: &str = "LIMPET_TEST_PROXY";

/// How to start a balancer.
#[derive(Debug)]
pub struct Launch {
    program: OsString,
    what: What,
    arguments: Vec<OsString>,
}

#[derive(Debug)]
enum What {
    /// `limpet proxy` on a free port in front of these endpoints.
    Proxy(Vec<SocketAddr>),
    /// `limpet run` with a file of this text.
    Run(String),
}

impl Launch {
    /// A balancer from this binary (`env!("CARGO_BIN_EXE_limpet")`) in front of these endpoints, on a free port.
    #[must_use]
    pub fn proxy(binary: &str, endpoints: impl IntoIterator<Item = SocketAddr>) -> Self {
        let program = env::var_os(PROXY_VARIABLE).unwrap_or_else(|| binary.into());
        Self { program, what: What::Proxy(endpoints.into_iter().collect()), arguments: Vec::new() }
    }

    /// A balancer from this binary with a configuration file of this text.
    #[must_use]
    pub fn run(binary: &str, configuration: impl Into<String>) -> Self {
        Self { program: binary.into(), what: What::Run(configuration.into()), arguments: Vec::new() }
    }

    /// Adds an argument, for example `--workers`.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Shares the key of another balancer, so that either can route the other's sessions.
    #[must_use]
    pub fn key(self, key: &KeyFile) -> Self {
        self.arg("--key-file").arg(&key.path)
    }

    /// Starts the balancer and waits until it is ready.
    ///
    /// # Errors
    /// When it ends before, or its first listener is not on loopback.
    pub fn start(&self) -> Result<Limpet> {
        let state = tempfile::tempdir()?;
        let mut command = Command::new(&self.program);
        match &self.what {
            What::Proxy(endpoints) => {
                command.args(["proxy", "127.0.0.1:0"]).args(endpoints.iter().map(SocketAddr::to_string));
            }
            What::Run(configuration) => {
                let file = state.path().join("limpet.toml");
                fs::write(&file, configuration)?;
                command.args(["run", "-c"]).arg(file);
            }
        }
        command.arg("--state-directory").arg(state.path()).args(&self.arguments);
        let process = Process::spawn("limpet", &mut command)?;
        let address = process.wait_for("its listener", listener_address)?;
        process.wait_for("`ready`", |line| line.starts_with("ready").then_some(()))?;
        Ok(Limpet { address, process, state })
    }
}

/// A running balancer. It is killed on drop.
#[derive(Debug)]
pub struct Limpet {
    /// Where its first listener accepts clients.
    pub address: SocketAddr,
    /// The process, for signals and its log.
    pub process: Process,
    state: TempDir,
}

impl Limpet {
    /// The base URL for HTTP clients, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The base URL for WebSocket clients, with the path `/`.
    #[must_use]
    pub fn ws_url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// Its state directory, which ends with it.
    #[must_use]
    pub fn state_directory(&self) -> &Path {
        self.state.path()
    }

    /// Stops it with SIGTERM and waits for its end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.process.terminate()
    }
}

/// A running `limpet demo`. It is killed on drop.
#[derive(Debug)]
pub struct Demo {
    /// Where its balancer accepts clients.
    pub address: SocketAddr,
    /// The process, for commands, signals and what it says.
    pub process: Process,
}

impl Demo {
    /// Starts the demonstration on free ports and waits until it is ready.
    ///
    /// # Errors
    /// When it ends before.
    pub fn start(binary: &str) -> Result<Self> {
        let mut command = Command::new(binary);
        command.args(["demo", "--listen", "127.0.0.1:0"]);
        let process = Process::spawn("limpet demo", &mut command)?;
        let address = process.wait_for("its listener", listener_address)?;
        process.wait_for("`ready`", |line| line.starts_with("ready").then_some(()))?;
        Ok(Self { address, process })
    }

    /// The base URL for HTTP clients, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A file with one cluster key, shared by several balancers.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    _folder: TempDir,
}

impl KeyFile {
    /// Writes a key for tests.
    ///
    /// # Errors
    /// When there is no place for temporary files.
    pub fn create() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("keys");
        // "limpet-test-key-0123456789abcdef"
        fs::write(&path, "1:bGltcGV0LXRlc3Qta2V5LTAxMjM0NTY3ODlhYmNkZWY=\n")?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Self { path, _folder: folder })
    }

    /// Replaces the keys by these lines.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, lines: &str) -> Result<()> {
        Ok(fs::write(&self.path, lines)?)
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the address of a line like `listener web http://127.0.0.1:40123`, wherever it stands in the line.
fn listener_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listener ")?;
    let (_, address) = rest.split_once("http://")?;
    let end = address.find(|c: char| !(c.is_ascii_digit() || ".:[]abcdef".contains(c))).unwrap_or(address.len());
    address.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_listener_line() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 40123)));
        assert_eq!(listener_address("listener web http://127.0.0.1:40123"), address);
        assert_eq!(listener_address("  listener web http://127.0.0.1:40123/ (2 workers)"), address);
        assert_eq!(listener_address("endpoint http://127.0.0.1:40123"), None);
    }
}
