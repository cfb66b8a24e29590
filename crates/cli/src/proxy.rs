//! `limpet proxy`: one listener, one upstream, no file.

use clap::Args;
use limpet_balancer::config::{Origin, Setting};

use crate::failure::Failure;
use crate::load::{Flags, load, set};
use crate::run::balance;

/// Balances one address over endpoints, without a configuration file.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    limpet proxy :8000 app01:3000 app02:3000\n  \
    limpet proxy :8000 --replicas 4 -- node server.js\n  \
    limpet proxy 127.0.0.1:8000 '[::1]:3000' --trusted 10.0.0.0/8 --access-log text\n  \
    LIMPET_LISTEN=:8000 LIMPET_UPSTREAM=app01:3000,app02:3000 limpet proxy")]
pub(crate) struct Proxy {
    /// Address to listen on: IP:PORT, or :PORT for all addresses, IPv4 and IPv6 [env: LIMPET_LISTEN]
    listen: Option<String>,
    /// Endpoints: HOST:PORT each, or srv:NAME for SRV records [env: LIMPET_UPSTREAM, separated by commas or spaces]
    #[arg(value_name = "ENDPOINT")]
    endpoints: Vec<String>,
    /// How a new session is placed: least_conn, round_robin, random2, source, hash or first [default: least_conn]
    #[arg(long, value_name = "ALGORITHM")]
    balance: Option<String>,
    /// Network of front proxies whose X-Forwarded-* and Forwarded headers are believed; can be repeated
    #[arg(long, value_name = "CIDR")]
    trusted: Vec<String>,
    /// Accept PROXY headers: v1, v2 or any [default: off] [env: LIMPET_ACCEPT_PROXY]
    #[arg(long, value_name = "VERSION")]
    accept_proxy: Option<String>,
    /// Network of front proxies that send PROXY headers; others are clients themselves; can be repeated [default: all]
    #[arg(long, value_name = "CIDR")]
    proxy_from: Vec<String>,
    /// Begin connections to endpoints with a PROXY header: v1 or v2 [default: off]
    #[arg(long, value_name = "VERSION")]
    send_proxy: Option<String>,
    /// Learn sids from responses instead of tagging them
    #[arg(long)]
    no_sid_tag: bool,
    /// Do not probe endpoints
    #[arg(long)]
    no_probe: bool,
    /// Time until an endpoint begins its response, and longest silence within it [default: 60s]
    #[arg(long, value_name = "DURATION")]
    response_timeout: Option<String>,
    /// Longest silence of a tunnel, both directions together [default: 1h]
    #[arg(long, value_name = "DURATION")]
    tunnel_timeout: Option<String>,
    /// How many times COMMAND is started, each with its own PORT; 0 for once per core
    #[arg(long, value_name = "N")]
    replicas: Option<String>,
    /// First port of the replicas; twice as many are used [default: free ones]
    #[arg(long, value_name = "PORT")]
    base_port: Option<String>,
    /// How long sessions of a replica may go on when SIGHUP replaces it [default: 30s]
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Server to start on this machine; it listens on the port in PORT
    #[arg(last = true)]
    command: Vec<String>,
    #[command(flatten)]
    flags: Flags,
}

impl Proxy {
    /// Balances until told to stop.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let config = load(None, |draft| {
            let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
            set(draft, "LISTEN", Setting::Listen, self.listen.as_deref());
            set(draft, "ENDPOINT", Setting::Endpoints, list(&self.endpoints).as_deref());
            if !self.command.is_empty() {
                draft.set_command(Origin::Flag("COMMAND"), self.command.clone());
            }
            set(draft, "--replicas", Setting::Replicas, self.replicas.as_deref());
            set(draft, "--base-port", Setting::BasePort, self.base_port.as_deref());
            set(draft, "--drain-timeout", Setting::DrainTimeout, self.drain_timeout.as_deref());
            set(draft, "--balance", Setting::Balance, self.balance.as_deref());
            set(draft, "--trusted", Setting::Trusted, list(&self.trusted).as_deref());
            set(draft, "--accept-proxy", Setting::AcceptProxy, self.accept_proxy.as_deref());
            set(draft, "--proxy-from", Setting::ProxyFrom, list(&self.proxy_from).as_deref());
            set(draft, "--send-proxy", Setting::SendProxy, self.send_proxy.as_deref());
            set(draft, "--no-sid-tag", Setting::SidTag, self.no_sid_tag.then_some("false"));
            set(draft, "--no-probe", Setting::Probe, self.no_probe.then_some("off"));
            set(draft, "--response-timeout", Setting::ResponseTimeout, self.response_timeout.as_deref());
            set(draft, "--tunnel-timeout", Setting::TunnelTimeout, self.tunnel_timeout.as_deref());
            self.flags.apply(draft);
        })?;
        balance(config)
    }
}
