//! A real DNS server on loopback: dnsmasq, with records that change while it runs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::Process;

/// A dnsmasq that knows nothing but its records. Names below `.test` without one do not exist; all others are refused.
#[derive(Debug)]
pub struct Dnsmasq {
    address: SocketAddr,
    process: Option<Process>,
    folder: TempDir,
    ttl: u32,
    services: Vec<String>,
}

impl Dnsmasq {
    /// Starts a server without records, whose answers carry this TTL in seconds.
    ///
    /// # Errors
    /// When dnsmasq is not installed or does not start.
    pub fn start(ttl: u32) -> Result<Self> {
        let mut server = Self::stopped(ttl)?;
        server.start_again()?;
        Ok(server)
    }

    /// Takes an address for a server that does not run yet.
    ///
    /// # Errors
    /// When there is no free address.
    pub fn stopped(ttl: u32) -> Result<Self> {
        let server =
            Self { address: free_address()?, process: None, folder: tempfile::tempdir()?, ttl, services: vec![] };
        fs::write(server.hosts(), "")?;
        Ok(server)
    }

    /// Where it answers, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the addresses of all names: pairs of a name and an address. Counts from the next query.
    ///
    /// # Errors
    /// When the server does not read them.
    pub fn set_hosts(&mut self, records: &[(&str, &str)]) -> Result<()> {
        let lines: String = records.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        fs::write(self.hosts(), lines)?;
        if let Some(process) = &self.process {
            let seen = process.line_count();
            process.signal(Signal::HUP)?;
            process.wait_for_after(seen, "that it has read the hosts", has_read)?;
        }
        Ok(())
    }

    /// Replaces the SRV records, each as dnsmasq writes it: `name,target,port,priority,weight`. Counts from the next start.
    pub fn set_services(&mut self, records: &[&str]) {
        self.services = records.iter().map(|record| format!("--srv-host={record}")).collect();
    }

    /// Ends the server; nobody answers any more.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// Starts the server, again on its own address.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.stop()?;
        let mut command = Command::new("dnsmasq");
        command
            // In the foreground, as whoever runs the test.
            .args([
                "--no-daemon",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--log-queries",
                "--local=/test/",
            ])
            .args(["--bind-interfaces", "--cache-size=0"])
            .arg(format!("--listen-address={}", self.address.ip()))
            .arg(format!("--port={}", self.address.port()))
            .arg(format!("--local-ttl={}", self.ttl))
            .arg(format!("--addn-hosts={}", self.hosts().display()))
            .args(&self.services)
            // It is in sbin on Debian, which not everybody has in PATH.
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
        let process = Process::spawn("dnsmasq", &mut command)?;
        process.wait_for("that it has read the hosts", has_read)?;
        self.process = Some(process);
        Ok(())
    }

    /// How often a name was asked for since the last start; `kind` is `A`, `AAAA` or `SRV`.
    #[must_use]
    pub fn queries(&self, kind: &str, name: &str) -> usize {
        let asked = format!("query[{kind}] {name} from");
        self.process.as_ref().map_or(0, |process| process.output().lines().filter(|line| line.contains(&asked)).count())
    }

    /// Waits until a name was asked for so many times since the last start.
    ///
    /// # Errors
    /// When it takes too long.
    pub fn wait_for_queries(&self, kind: &str, name: &str, count: usize) -> Result<()> {
        let Some(process) = &self.process else { bail!("the DNS server does not run") };
        let asked = format!("query[{kind}] {name} from");
        let seen = std::cell::Cell::new(0);
        process.wait_for("the queries", |line| {
            seen.set(seen.get() + usize::from(line.contains(&asked)));
            (seen.get() >= count).then_some(())
        })
    }

    fn hosts(&self) -> PathBuf {
        self.folder.path().join("hosts")
    }
}

fn has_read(line: &str) -> Option<()> {
    (line.contains("read ") && line.contains("names")).then_some(())
}

/// Finds an address of this process alone, and a port that is free there for UDP and TCP. dnsmasq takes over no sockets, so
/// the port is free for a moment; but nobody else uses the address.
fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    for _ in 0..100 {
        let [.., high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, high | 128, low, NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, 254));
        let tcp = TcpListener::bind((ip, 0))?;
        let address = tcp.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free for UDP and TCP")
}
