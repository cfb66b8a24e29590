//! The balancer of the demonstration: one listener, the chat, and the page of statistics.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, anyhow};
use limpet_balancer::Error;
use limpet_balancer::affinity::key;
use limpet_balancer::balancer::{Running, start};
use limpet_balancer::config::{Config, Draft, Origin, Setting};

/// The name of the upstream.
pub(super) const UPSTREAM: &str = "chat";

/// What would be in the file. The endpoint stands for those that are delivered later.
const CONFIGURATION: &str = r#"
shutdown_timeout = "1s"
workers = 1

[listener.demo]
bind = "127.0.0.1:0"

[[route]]
path_prefix = "/stats"
serve = "stats"
stats = { refresh = "2s" }

[[route]]
upstream = "chat"

[upstream.chat]
endpoints = ["127.0.0.1:1"]

[upstream.chat.probe]
http = "GET /health"
interval = "1s"
fall = 2
rise = 1
"#;

/// Starts the balancer, without endpoints yet.
pub(super) fn begin(listen: SocketAddr) -> Result<Running> {
    start(configuration(listen)?).map_err(|error| match error {
        Error::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => anyhow!(
            "{listen} is taken by another program; choose another port: limpet demo --listen {}:{}",
            listen.ip(),
            if listen.port() == 8080 { 8090 } else { 8080 }
        ),
        error => anyhow::Error::new(error).context(format!("cannot listen on {listen}")),
    })
}

fn configuration(listen: SocketAddr) -> Result<Config> {
    let mut draft = Draft::from_file("demo", CONFIGURATION, &|_| None);
    // It lives no longer than this process, so nothing is written to the disk.
    draft.set(Origin::Unknown, Setting::Key, &key::generate_line(0));
    let mut config = draft.check(&|_| None).context("the configuration of the demonstration")?;
    for listener in &mut config.listeners {
        listener.bind = listen;
    }
    for upstream in &mut config.upstreams {
        upstream.endpoints.clear();
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_right() {
        let config = configuration(SocketAddr::from(([127, 0, 0, 1], 8000))).unwrap();
        assert_eq!(config.upstreams[0].name, UPSTREAM);
        assert_eq!(config.listeners[0].bind.port(), 8000);
    }
}
