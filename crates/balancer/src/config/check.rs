//! Decides whether a draft makes sense as a whole: what refers to what, what is missing, what can never happen.

use super::affinity;
use super::draft::Draft;
use super::environment::{self, Lookup};
use super::error::ConfigErrors;
use super::journal::Journal;
use super::value::choices;
use super::{AcceptProxy, Condition, Config, KeySource, RouteConfig, repetitions};

/// Makes a configuration from a draft.
pub(super) fn check(draft: Draft, lookup: Lookup<'_>) -> Result<Config, ConfigErrors> {
    let Draft { mut config, keys, key_file, state_directory, mut journal, unreadable } = draft;
    config.key = keys.or_else(|| key_file.map(KeySource::File)).unwrap_or_else(|| {
        KeySource::StateDirectory(state_directory.unwrap_or_else(|| environment::state_directory(lookup)))
    });
    if !unreadable {
        listeners(&config, &mut journal);
        upstreams(&config, &mut journal);
        routes(&mut config, &mut journal);
    }
    match journal.into_errors() {
        None => Ok(config),
        Some(errors) => Err(errors),
    }
}

fn listeners(config: &Config, journal: &mut Journal) {
    if config.listeners.is_empty() && !journal.has_error("listener") {
        let message = if journal.has_file() {
            "no listener; add [listener.web] with bind = \":8000\", or set LIMPET_LISTEN"
        } else {
            "no listener; give an address to listen on, such as \":8000\", or set LIMPET_LISTEN"
        };
        journal.complain("", message);
    }
    for (n, listener) in config.listeners.iter().enumerate() {
        let key = format!("listener.{}.bind", listener.name);
        if !journal.knows(&key) {
            journal.complain(&key, "is missing; write for example bind = \":8000\"");
            continue;
        }
        for (given, key) in
            [(!listener.proxy_from.is_empty(), "proxy_from"), (listener.proxy_required, "proxy_required")]
        {
            let message = if listener.accept_proxy == AcceptProxy::Off {
                "has no effect while no PROXY header is accepted; add accept_proxy = \"any\""
            } else if key == "proxy_required" && listener.proxy_from.is_empty() {
                "has no effect, since every connection must begin with a PROXY header; add proxy_from"
            } else {
                continue;
            };
            if given {
                journal.complain(&format!("listener.{}.{key}", listener.name), message);
            }
        }
        // Port 0 asks the system for a free one.
        let same = config.listeners.iter().take(n).find(|other| {
            let (a, b) = (other.bind, listener.bind);
            a.port() != 0
                && a.port() == b.port()
                && (a.ip() == b.ip() || a.ip().is_unspecified() && b.ip().is_unspecified())
        });
        if let Some(other) = same {
            journal.complain(&key, format!("{} is already bound by listener {}", listener.bind, other.name));
        }
    }
}

fn upstreams(config: &Config, journal: &mut Journal) {
    let needed = config.routes.is_empty() || config.routes.iter().any(|route| route.action.upstream().is_some());
    if needed && config.upstreams.is_empty() && !journal.has_error("upstream") {
        let message = if journal.has_file() {
            "no upstream; add [upstream.app] with endpoints = [\"app01:3000\"], or set LIMPET_UPSTREAM"
        } else {
            "no endpoints; give at least one, such as \"app01:3000\", or set LIMPET_UPSTREAM"
        };
        journal.complain("", message);
    }
    for upstream in &config.upstreams {
        affinity::check(upstream, journal);
        let key = format!("upstream.{}.endpoints", upstream.name);
        // A list whose items are all wrong has been reported already.
        if upstream.endpoints.is_empty()
            && upstream.endpoints_file.is_none()
            && upstream.replicas.is_none()
            && !journal.has_error(&key)
        {
            journal.complain(&key, "no endpoints; write for example endpoints = [\"app01:3000\", \"app02:3000\"]");
        }
        if let Some(replicas) = &upstream.replicas {
            let key = format!("upstream.{}.replicas", upstream.name);
            if replicas.command.is_empty() && !journal.has_error(&key) {
                let example =
                    if journal.has_file() { "command = [\"node\", \"server.js\"]" } else { "-- node server.js" };
                journal.complain(&key, format!("no command to start; write for example {example}"));
            }
            if !replicas.has_ports() {
                let message =
                    "the ports end before twice the number of replicas; choose a lower one, or 0 for free ones";
                journal.complain(&format!("{key}.base_port"), message);
            }
        }
        for (n, message) in repetitions(&upstream.endpoints) {
            journal.complain(&format!("{key}[{n}]"), message);
        }
    }
}

fn routes(config: &mut Config, journal: &mut Journal) {
    if config.routes.is_empty() && !journal.has_error("route") {
        match config.upstreams.as_slice() {
            [] => {}
            [only] => {
                let upstream = only.name.clone();
                config.routes.push(RouteConfig::to(upstream));
            }
            [first, ..] => {
                let message = format!(
                    "{} upstreams and no route; add [[route]] with upstream = {:?}",
                    config.upstreams.len(),
                    first.name
                );
                journal.complain("upstream", message);
            }
        }
        return;
    }
    let listeners: Vec<&str> = config.listeners.iter().map(|listener| listener.name.as_str()).collect();
    let upstreams: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    for (n, route) in config.routes.iter().enumerate() {
        let key = format!("route[{}]", n + 1);
        let to = format!("{key}.upstream");
        if let Some(upstream) = route.action.upstream() {
            if !journal.knows(&to) {
                journal.complain(&to, "is missing; name the upstream of the route, or what it serves");
            } else if !journal.has_error(&to) && !upstreams.contains(&upstream) {
                journal.complain(&to, unknown("upstream", upstream, &upstreams));
            }
        }
        if let Some(listener) = &route.listener
            && !listeners.contains(&listener.as_str())
        {
            journal.complain(&format!("{key}.listener"), unknown("listener", listener, &listeners));
        }
        if let Condition::All(all) = &route.when {
            for (path, prefix) in contradictions(all) {
                let message = format!("holds for no request; path {path} does not begin with path_prefix {prefix}");
                journal.complain(&format!("{key}.path"), message);
            }
        }
        // A condition that could not be read looks like none.
        let sound = |n: usize| !journal.has_error(&format!("route[{}]", n + 1));
        let earlier = config.routes.iter().take(n).enumerate().find(|(n, earlier)| sound(*n) && covers(earlier, route));
        if let Some((earlier, _)) = earlier.filter(|_| sound(n)) {
            let place = journal.line(&format!("route[{}]", earlier + 1)).map(|line| format!(" (line {line})"));
            let place = place.unwrap_or_default();
            let message =
                format!("is never reached; route {}{place} takes all its requests. Put it before that", earlier + 1);
            journal.complain(&key, message);
        }
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("unknown {what} {name:?}; there is none");
    }
    format!("unknown {what} {name:?}; {}", choices(name, known))
}

/// Finds paths that do not begin as they also must.
fn contradictions(all: &[Condition]) -> Vec<(&str, &str)> {
    let paths = all.iter().filter_map(|condition| match condition {
        Condition::Path(path) => Some(path.as_str()),
        _ => None,
    });
    let prefixes = || {
        all.iter().filter_map(|condition| match condition {
            Condition::PathPrefix(prefix) => Some(prefix.as_str()),
            _ => None,
        })
    };
    let pairs = paths.flat_map(|path| prefixes().map(move |prefix| (path, prefix)));
    pairs.filter(|(path, prefix)| !path.starts_with(prefix)).collect()
}

/// Tells whether every request of the later route matches the earlier one too.
fn covers(earlier: &RouteConfig, later: &RouteConfig) -> bool {
    let listener = earlier.listener.is_none() || earlier.listener == later.listener;
    listener && later.when.implies(&earlier.when)
}
