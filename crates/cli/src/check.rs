//! `limpet check`: what the balancer would do, without doing it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use limpet_balancer::affinity::key::KeyRing;
use limpet_balancer::config::{
    AcceptProxy, Config, EndpointConfig, KeySource, Lint, ListenerConfig, ProbeConfig, RouteConfig, SendProxy,
    UpstreamConfig, process_environment, read_endpoints, repetitions,
};
use limpet_balancer::discovery::dns::Dns;
use limpet_balancer::discovery::name::{Place, Target};

use crate::failure::{Failure, print};
use crate::load::load_and_lint;

/// Checks a configuration, resolves its names and says what it would do.
#[derive(Args)]
#[command(after_help = "Example:\n  limpet check -c limpet.toml\n\n\
    Without a file, checks what the environment gives to \"limpet proxy\".\n\
    Exit codes: 0 fine, 1 a name cannot be resolved or a file or key cannot be read, 2 the configuration is wrong.")]
pub(crate) struct Check {
    /// The configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    /// Prints what the configuration would do.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let (config, mut lint) = load_and_lint(self.config.as_deref())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot look names up")?;
        let (mut text, failed) = runtime.block_on(describe(&config, &mut lint));
        for remark in lint.into_remarks() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "remark: {remark}");
        }
        print(&text)?;
        match failed {
            0 => Ok(()),
            1 => Err(anyhow!("1 thing above cannot work as it is").into()),
            several => Err(anyhow!("{several} things above cannot work as they are").into()),
        }
    }
}

/// Returns the description and the number of things that cannot work, and lets the lint see what was looked up.
async fn describe(config: &Config, lint: &mut Lint) -> (String, usize) {
    let dns = Dns::new(config.dns.clone());
    let mut lines = Vec::new();
    let mut failed = 0;
    lines.extend(config.listeners.iter().map(listener));
    lines.extend(config.routes.iter().map(route));
    for upstream in &config.upstreams {
        lines.push(describe_upstream(upstream));
        lines.extend(upstream.replicas.iter().map(|replicas| format!("  replicas {replicas}")));
        let mut endpoints = upstream.endpoints.clone();
        if let Some(path) = &upstream.endpoints_file {
            match endpoints_file(path) {
                Ok(more) => {
                    lines.push(format!("  file {}: {}", path.display(), count(more.len(), "endpoint")));
                    let known = endpoints.len();
                    endpoints.extend(more);
                    let both = repetitions(&endpoints).into_iter().filter(|(n, _)| *n > known);
                    for (_, message) in both {
                        failed += 1;
                        lines.push(format!("  file {}: FAILED: {message}", path.display()));
                    }
                }
                Err(reason) => {
                    failed += 1;
                    lines.extend(reason.lines().map(|line| format!("  file FAILED: {line}")));
                }
            }
        }
        for (n, config) in (1..).zip(&endpoints) {
            match endpoint(config, &dns).await {
                Ok((line, addresses)) => {
                    lint.note_addresses(upstream, n, addresses);
                    lines.push(line);
                }
                Err(line) => {
                    failed += 1;
                    lines.push(line);
                }
            }
        }
    }
    match key(&config.key) {
        Ok(text) => lines.push(format!("key: {text}")),
        Err(reason) => {
            failed += 1;
            lines.push(format!("key: FAILED: {reason}"));
        }
    }
    lines.push(format!("{}, access log {}", count(config.workers, "worker"), config.access_log.as_str()));
    let mut text = lines.join("\n");
    text.push('\n');
    (text, failed)
}

fn listener(listener: &ListenerConfig) -> String {
    let mut text = format!("listener {}: {}", listener.name, listener.bind);
    let trusted: Vec<String> = listener.trusted.iter().map(ToString::to_string).collect();
    if !trusted.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, ", trusts {}", trusted.join(", "));
    }
    if listener.accept_proxy != AcceptProxy::Off {
        let from: Vec<String> = listener.proxy_from.iter().map(ToString::to_string).collect();
        let from = if from.is_empty() { "everybody".to_owned() } else { from.join(", ") };
        let _ = write!(text, ", PROXY {} from {from}", listener.accept_proxy.as_str());
        if listener.proxy_required {
            text.push_str(" alone");
        }
    }
    text
}

fn route(route: &RouteConfig) -> String {
    let listener = route.listener.as_ref().map(|name| format!("listener {name}, ")).unwrap_or_default();
    let limits: String = route.rate_limits.iter().map(|limit| format!(", at most {limit}")).collect();
    format!("route: {listener}{} -> {}{limits}", route.when, route.action)
}

fn describe_upstream(upstream: &UpstreamConfig) -> String {
    let affinity = match upstream.affinity.as_slice() {
        [] => "no affinity".to_owned(),
        modes => format!("affinity by {}", modes.iter().map(|mode| mode.as_str()).collect::<Vec<_>>().join(", ")),
    };
    let sids = if upstream.sid_tag { "tagged" } else { "learned" };
    let probe = match &upstream.probe {
        Some(ProbeConfig { http: Some(http), interval, .. }) => {
            format!("probed by {} {} every {interval:?}", http.method.as_str(), http.path)
        }
        Some(probe) => format!("probed every {:?}", probe.interval),
        None => "not probed".to_owned(),
    };
    let proxy = match upstream.send_proxy {
        SendProxy::Off => String::new(),
        version => format!(", sends PROXY {}", version.as_str()),
    };
    format!("upstream {}: {}, {affinity}, sids {sids}, {probe}{proxy}", upstream.name, upstream.balance.as_str())
}

/// Describes an endpoint and counts its addresses, or says what is wrong with it.
async fn endpoint(endpoint: &EndpointConfig, dns: &Dns) -> Result<(String, usize), String> {
    let id = endpoint.id.as_ref().map(|id| format!(" (id {id})")).unwrap_or_default();
    let line = format!("  endpoint {endpoint}{id}");
    // An address stands for itself.
    let Some(target) = Target::of(endpoint) else {
        return Ok((line, 1));
    };
    let place = |place: &Place| match (place.weight, place.backup) {
        (None, _) => place.address.to_string(),
        (Some(weight), backup) => {
            format!("{} (weight {weight}{})", place.address, if backup { ", backup" } else { "" })
        }
    };
    match dns.places(&target).await {
        Ok(places) => {
            let text = places.iter().map(place).collect::<Vec<_>>().join(", ");
            Ok((format!("{line} -> {text}"), places.len()))
        }
        Err(reason) => Err(format!("{line} -> FAILED: {reason}")),
    }
}

/// Reads the file of an upstream, or says what is wrong with it.
fn endpoints_file(path: &Path) -> Result<Vec<EndpointConfig>, String> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    read_endpoints(&name, &text, &process_environment).map_err(|errors| errors.to_string())
}

fn key(source: &KeySource) -> Result<String, String> {
    match source {
        // Looking would make one.
        KeySource::StateDirectory(directory) => {
            Ok(format!("kept in {}, made if there is none; a second balancer needs the same", directory.display()))
        }
        source => KeyRing::load(source).map_err(|error| error.to_string()).map(|(_, origin)| match origin.warning() {
            Some(warning) => format!("{origin}; {warning}"),
            None => origin.to_string(),
        }),
    }
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
