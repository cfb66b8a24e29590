//! `limpet chat`: one node of the chat that shows what a balancer and a bus do.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use limpet_bus::{BusError, Redis, Streams, StreamsOptions};

use crate::chat::name::Name;
use crate::chat::node::{Bus, Node};
use crate::failure::{Failure, print};
use crate::stop;

mod conversation;
mod guest;
mod history;
pub(crate) mod name;
pub(crate) mod node;
mod pace;
mod page;
mod people;

/// Runs one node of the chat, a small application on Limpet's Socket.IO server.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    limpet chat --listen :3000 --name anemone --bus redis://127.0.0.1:6379\n\n\
    Pages: /sticky (who and where), /sticky/chat, /sticky/mypage; /health for probes; /headers shows what arrived.\n\
    \"limpet demo\" shows several nodes that are joined; with --bus, nodes of several processes are.")]
pub(crate) struct Chat {
    /// Address to listen on: IP:PORT, or :PORT for all addresses, IPv4 and IPv6
    #[arg(long, value_name = "ADDR", env = "LIMPET_LISTEN", hide_env_values = true, default_value = "127.0.0.1:3000")]
    #[arg(value_parser = address)]
    listen: SocketAddr,
    /// Name of this node on the pages [default: the name of the machine]
    #[arg(long, value_name = "NAME", env = "LIMPET_NAME", hide_env_values = true, value_parser = node_name)]
    name: Option<String>,
    /// Redis that joins this node to others: redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss:// for TLS,
    /// redis+sentinel://HOST,…/MASTER or redis+cluster://HOST,… [default: it is alone]
    #[arg(long, value_name = "URL", env = "LIMPET_BUS", hide_env_values = true)]
    bus: Option<String>,
    /// Join by Redis Streams, of this name: pages that lose their node then go on elsewhere and miss nothing
    #[arg(
        long, value_name = "NAME", env = "LIMPET_STREAMS", hide_env_values = true, num_args = 0..=1,
        default_missing_value = "socket.io", require_equals = true, requires = "bus"
    )]
    streams: Option<String>,
    /// Lets /health fail while the bus does not work [default: it answers 200 and says so]
    #[arg(long, env = "LIMPET_STRICT_HEALTH", hide_env_values = true)]
    strict_health: bool,
}

impl Chat {
    /// Serves until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let name = self.name.unwrap_or_else(machine);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
        runtime.block_on(async {
            let bus = join(self.bus.as_deref(), self.streams).await.context("--bus")?;
            let node = Node::start(&name, self.listen, Bus { is_strict: self.strict_health, ..bus })
                .await
                .with_context(|| format!("cannot listen on {}", self.listen))?;
            let told = stop::listen().context("cannot listen to signals")?;
            print(&format!("chat {name} http://{}\nready\n", node.address()))?;
            told.await;
            node.stop().await;
            Ok(())
        })
    }
}

/// Joins the nodes that share a Redis and, if given, the streams of a name.
async fn join(url: Option<&str>, streams: Option<String>) -> Result<Bus, BusError> {
    Ok(match (url, streams) {
        (Some(url), Some(stream)) => {
            let mut options = StreamsOptions::default();
            options.stream = stream;
            let adapter = Arc::new(Streams::connect_with(url, options).await?);
            Bus { adapter, keeps_log: true, is_strict: false }
        }
        (Some(url), None) => Bus { adapter: Arc::new(Redis::connect(url).await?), keeps_log: false, is_strict: false },
        (None, _) => Bus::local(),
    })
}

/// Reads an address to listen on.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
    match port {
        Some(port) => Ok(SocketAddr::from((IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))),
        None => {
            text.parse().map_err(|_| "write IP:PORT, such as 127.0.0.1:8000, or :PORT for all addresses".to_owned())
        }
    }
}

/// Reads the name of a node.
fn node_name(text: &str) -> Result<String, String> {
    Name::new(text).map(|name| name.as_str().to_owned()).map_err(|wrong| wrong.to_string())
}

/// Returns the name of the machine, as far as it can be the name of a node.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let short: String = name.trim().chars().take(24).collect();
    node_name(&short).unwrap_or_else(|_| "node".to_owned())
}
