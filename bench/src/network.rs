//! Where servers and their clients are: on one loopback, or in two network namespaces that a cable joins.
//!
//! On loopback a `send` runs the whole receive path of the other side before it returns: a server pays for the kernel of
//! its clients, and they for that of the server. A cable is a pair of virtual Ethernet devices. What arrives at an end is
//! received by threads of the kernel that belong to that end, each on the core of its end. The server's side pays for all
//! that it receives, acknowledgements too, up to its sockets, and for all that it sends, down to the device; the time of
//! those threads is part of its cost. What a network card would add, its driver's work for each packet, is missing for
//! every candidate. Where as much is sent as received the costs are those of loopback, which scatter less.
//!
//! Everything lies in namespaces of this run and goes with it. The devices of the machine are not touched.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::process::{LOAD_CORE, PROXY_CORES, run};

/// Tells this program that it is in the namespaces of the clients.
const INSIDE: &str = "LIMPET_BENCH_INSIDE";
const UNSHARE: [&str; 3] = ["--net", "--mount", "--"];
const SERVER_SPACE: &str = "/run/netns/server";
/// From the block that RFC 2544 sets aside for measurements.
const SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// How many queues a device has. Each holds 256 packets, all together two for each of the most clients.
const QUEUES: u32 = 128;
/// As many clients do not fill one queue.
const CLIENTS_OF_ONE_QUEUE: usize = 256;
/// How many addresses clients come from.
const SOURCES: u8 = 8;

/// What is between a server and its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Network {
    /// A pair of virtual Ethernet devices: each side pays for its own receiving.
    Cable,
    /// The loopback device: who sends pays for the receiving of the other side too.
    Loopback,
}

impl Network {
    /// Brings this program to the clients' end, for which it starts anew; so nothing may have happened yet. Gives what
    /// there is between servers and clients from then on: loopback, and a word on standard error, where there can be no
    /// cable.
    ///
    /// # Errors
    ///
    /// Fails when a cable could be laid and then cannot.
    pub(crate) fn enter(self) -> anyhow::Result<Self> {
        if self == Self::Loopback {
            return Ok(self);
        }
        if std::env::var_os(INSIDE).is_some() {
            lay_cable(QUEUES)?;
            return Ok(self);
        }
        let program = std::env::current_exe()?;
        let trial = Command::new("unshare").args(UNSHARE).arg(&program).arg("cable").output();
        let problem = match trial {
            Ok(output) if output.status.success() => {
                let mut again = Command::new("unshare");
                again.args(UNSHARE).arg(program).args(std::env::args_os().skip(1)).env(INSIDE, "1");
                return Err(again.exec()).context("unshare");
            }
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => format!("unshare: {error}"),
        };
        eprintln!("No cable can be laid between servers and clients, so they share the loopback device: {problem}");
        Ok(Self::Loopback)
    }

    /// The address that servers listen on.
    pub(crate) fn server(self) -> Ipv4Addr {
        match self {
            Self::Cable => SERVER_ADDRESS,
            Self::Loopback => Ipv4Addr::LOCALHOST,
        }
    }

    /// The address that listens on the clients' side.
    pub(crate) fn client(self) -> Ipv4Addr {
        match self {
            Self::Cable => source(SERVER_ADDRESS, 0),
            Self::Loopback => Ipv4Addr::LOCALHOST,
        }
    }

    /// What starts a program at the servers' end.
    pub(crate) fn at_server(self, program: &Path, arguments: &[String]) -> (PathBuf, Vec<String>) {
        match self {
            Self::Cable => {
                let space = format!("--net={SERVER_SPACE}");
                let mut all = ["--other", "0", "nsenter", &space, "--"].map(str::to_owned).to_vec();
                all.push(program.display().to_string());
                all.extend_from_slice(arguments);
                ("chrt".into(), all)
            }
            Self::Loopback => (program.to_owned(), arguments.to_owned()),
        }
    }

    /// Prepares for so many clients: what is sent to all of them at once must find room, and few of them should share
    /// one queue, which takes more at a time.
    ///
    /// # Errors
    ///
    /// Fails when `ethtool` does.
    pub(crate) fn expect(self, clients: usize) -> anyhow::Result<()> {
        if self == Self::Cable {
            let queues = if clients <= CLIENTS_OF_ONE_QUEUE { 1 } else { QUEUES }.to_string();
            let [clients, server] = ends();
            run("ethtool", &["-L", &clients, "tx", &queues])?;
            run("ip", &["netns", "exec", "server", "ethtool", "-L", &server, "tx", &queues])?;
        }
        Ok(())
    }

    /// The threads of the kernel that do the receiving of servers, where that is not done by the sender.
    ///
    /// # Errors
    ///
    /// Fails when they cannot be seen.
    pub(crate) fn receiving_threads(self) -> anyhow::Result<Vec<u32>> {
        match self {
            Self::Cable => receiving_threads(&ends()[1]),
            Self::Loopback => Ok(Vec::new()),
        }
    }

    /// What a report says about the time of threads.
    pub(crate) fn describe_cost(self) -> &'static str {
        match self {
            Self::Cable => " and of the kernel's threads that receive for it",
            Self::Loopback => "",
        }
    }

    /// What a report says about it.
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Cable => {
                "two network namespaces joined by a pair of virtual Ethernet devices, each of which receives on the core \
                 of its side"
            }
            Self::Loopback => "loopback, where the sender also pays for the receiving of the other side",
        }
    }
}

/// The address that a client of this server comes from. They differ in the first three octets, which is what nginx's
/// `ip_hash` looks at.
pub(crate) fn source(server: Ipv4Addr, index: usize) -> Ipv4Addr {
    let third = 1 + (index % usize::from(SOURCES)) as u8;
    let [first, second, ..] = server.octets();
    Ipv4Addr::new(first, second, third, 1)
}

/// Lays the cable, with devices of so many queues, in the namespaces that this process is in.
///
/// # Errors
///
/// Fails without the rights or the tools for it, or when the kernel's threads cannot be seen.
pub(crate) fn lay_cable(queues: u32) -> anyhow::Result<()> {
    // In a namespace of mounts of our own: the devices of this network namespace, and a place for the name of the other.
    run("mount", &["-t", "sysfs", "sysfs", "/sys"])?;
    run("mount", &["-t", "tmpfs", "tmpfs", "/run"])?;
    run("ip", &["netns", "add", "server"])?;
    let [clients, server] = ends();
    let queues = queues.to_string();
    let queues = ["numtxqueues", &queues, "numrxqueues", &queues];
    let pair = [
        &["link", "add", &clients][..],
        &queues,
        &["type", "veth", "peer", "name", &server, "netns", "server"],
        &queues,
    ];
    run("ip", &pair.concat())?;
    let sources: Vec<Ipv4Addr> = (0..SOURCES).map(|index| source(SERVER_ADDRESS, index.into())).collect();
    // Nobody is waked up on the clients' core, for which the waker would pay: the load never sleeps, and it and the threads
    // that receive for it give the core to each other in turn.
    let in_turn = ["--fifo", "--pid", "1"];
    equip(&[], &clients, &sources, LOAD_CORE, in_turn)?;
    run("chrt", &[&in_turn[..], &[&std::process::id().to_string()]].concat())?;
    // Nor does what arrives interrupt a server: it is taken in when the server waits for it, as network cards hold back
    // interrupts under load.
    equip(&["ip", "netns", "exec", "server"], &server, &[SERVER_ADDRESS], PROXY_CORES, ["--batch", "--pid", "0"])
}

/// Names of the devices at both ends. The kernel names its threads after them, so they differ from those of other runs.
fn ends() -> [String; 2] {
    ["c", "s"].map(|end| format!("{end}{}", std::process::id()))
}

/// Gives a device its addresses, and threads of the kernel on this core that do its receiving.
fn equip(inside: &[&str], device: &str, addresses: &[Ipv4Addr], core: &str, policy: [&str; 3]) -> anyhow::Result<()> {
    let run = |words: &[&str]| {
        let words = [inside, words].concat();
        words.split_first().map_or(Ok(()), |(program, arguments)| run(program, arguments))
    };
    for address in addresses {
        run(&["ip", "address", "add", &format!("{address}/15"), "dev", device])?;
    }
    // A device that merges what arrives, from one that does not send more than a packet at a time, has threads for it.
    // Otherwise the sender's core does the receiving. With packets as large as those of loopback nothing is lost.
    run(&["ethtool", "-K", device, "gro", "on", "tso", "off"])?;
    run(&["ip", "link", "set", device, "mtu", "65535"])?;
    run(&["ip", "link", "set", "lo", "up"])?;
    run(&["ip", "link", "set", device, "up"])?;
    run(&["sh", "-c", &format!("echo 1 > /sys/class/net/{device}/threaded")])?;
    let threads = receiving_threads(device)?;
    anyhow::ensure!(!threads.is_empty(), "the threads of the kernel cannot be seen");
    for thread in threads.iter().map(u32::to_string) {
        run(&["taskset", "--cpu-list", "--pid", core, &thread])?;
        run(&["renice", "-n", "-20", "-p", &thread])?;
        run(&[&["chrt"], &policy[..], &[&thread]].concat())?;
    }
    Ok(())
}

/// The threads of the kernel that receive for a device.
fn receiving_threads(device: &str) -> anyhow::Result<Vec<u32>> {
    let prefix = format!("napi/{device}-");
    let pids = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // A process may end between the listing and the reading.
    let receives =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(&prefix));
    Ok(pids.filter(receives).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_come_from_eight_networks_beside_the_server() {
        let all: std::collections::BTreeSet<_> = (0..100).map(|index| source(SERVER_ADDRESS, index)).collect();
        assert_eq!(all.len(), 8);
        assert!(!all.contains(&SERVER_ADDRESS));
        assert!(all.contains(&Network::Cable.client()));
        assert_eq!(source(Ipv4Addr::LOCALHOST, 9), Ipv4Addr::new(127, 0, 2, 1));
    }

    #[test]
    fn programs_at_the_servers_end_keep_their_arguments() {
        let (program, arguments) =
            Network::Cable.at_server(Path::new("/bin/x"), &["--port".to_owned(), "1".to_owned()]);
        assert_eq!(program, Path::new("chrt"));
        let expected = ["--other", "0", "nsenter", "--net=/run/netns/server", "--", "/bin/x", "--port", "1"];
        assert_eq!(arguments, expected);
        assert_eq!(Network::Loopback.at_server(Path::new("/bin/x"), &[]), ("/bin/x".into(), Vec::new()));
    }
}
