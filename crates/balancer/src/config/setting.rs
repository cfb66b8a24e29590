//! What environment variables and flags can set.

use super::draft::{DEFAULT_NAME, Draft, UNBOUND};
use super::error::Origin;
use super::value::{self, Parsed};
use super::{Config, KeySource, ListenerConfig, ReplicasConfig, UpstreamConfig, proxy, replicas};

/// A value that an environment variable or a flag can set. Later ones count before earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The address of the only listener, which is made if there is none.
    Listen,
    /// The endpoints of the only upstream, which is made if there is none; separated by commas or spaces.
    Endpoints,
    /// `count` of the replicas of the only upstream, which is made if there is none.
    Replicas,
    /// `base_port` of the replicas of the only upstream.
    BasePort,
    /// `drain_timeout` of the replicas of the only upstream.
    DrainTimeout,
    /// The keys themselves.
    Key,
    /// `cluster.key_file`.
    KeyFile,
    /// `state_directory`.
    StateDirectory,
    /// `workers`.
    Workers,
    /// `max_connections`.
    MaxConnections,
    /// `access_log`.
    AccessLog,
    /// `admin.bind`.
    Admin,
    /// `trusted` of every listener; separated by commas or spaces.
    Trusted,
    /// `accept_proxy` of every listener.
    AcceptProxy,
    /// `proxy_from` of every listener; separated by commas or spaces.
    ProxyFrom,
    /// `send_proxy` of every upstream.
    SendProxy,
    /// `balance` of every upstream.
    Balance,
    /// `sid_tag` of every upstream.
    SidTag,
    /// `probe` of every upstream: on or off.
    Probe,
    /// `response_timeout` of every upstream.
    ResponseTimeout,
    /// `tunnel_timeout` of every upstream.
    TunnelTimeout,
}

/// Puts the text of a setting into the draft, or returns the key and what is wrong with the text.
pub(super) fn apply(draft: &mut Draft, setting: Setting, text: &str, origin: &Origin) -> Parsed<()> {
    let config = &mut draft.config;
    match setting {
        Setting::Listen => {
            let listener = only(&mut config.listeners, "listeners", || ListenerConfig::new(DEFAULT_NAME, UNBOUND))?;
            // A wrong address is not a missing one.
            draft.journal.note(&format!("listener.{}.bind", listener.name), origin.clone());
            listener.bind = value::bind(text)?;
        }
        Setting::Endpoints => {
            let upstream = only(&mut config.upstreams, "upstreams", || UpstreamConfig::new(DEFAULT_NAME, Vec::new()))?;
            let key = format!("upstream.{}.endpoints", upstream.name);
            draft.journal.note(&key, origin.clone());
            upstream.endpoints.clear();
            for (n, text) in (1..).zip(value::split(text)) {
                let item = format!("{key}[{n}]");
                draft.journal.note(&item, origin.clone());
                upstream.endpoints.push(value::endpoint(text).unwrap_or_else(|message| {
                    draft.journal.complain(&item, message);
                    Draft::wrong_endpoint()
                }));
            }
        }
        Setting::Replicas => replicas_of(config)?.count = replicas::count(text)?,
        Setting::BasePort => replicas_of(config)?.base_port = replicas::port(text)?,
        Setting::DrainTimeout => replicas_of(config)?.drain_timeout = value::duration(text)?,
        Setting::Key => draft.keys = Some(KeySource::Inline(text.to_owned())),
        Setting::KeyFile => draft.keys = Some(KeySource::File(value::path(text)?)),
        Setting::StateDirectory => draft.state_directory = Some(value::path(text)?),
        Setting::Workers => config.workers = value::workers(text)?,
        Setting::MaxConnections => config.max_connections = value::count(text)?,
        Setting::AccessLog => config.access_log = value::access_log(text)?,
        Setting::Admin => config.admin = Some(value::bind(text)?),
        Setting::Trusted => {
            let trusted = value::split(text).map(value::network).collect::<Parsed<Vec<_>>>()?;
            config.listeners.iter_mut().for_each(|listener| listener.trusted.clone_from(&trusted));
        }
        Setting::AcceptProxy => {
            let accept_proxy = proxy::accept(text)?;
            config.listeners.iter_mut().for_each(|listener| listener.accept_proxy = accept_proxy);
        }
        Setting::ProxyFrom => {
            let from = value::split(text).map(value::network).collect::<Parsed<Vec<_>>>()?;
            config.listeners.iter_mut().for_each(|listener| listener.proxy_from.clone_from(&from));
        }
        Setting::SendProxy => {
            each_upstream(config, proxy::send(text)?, |upstream, value| upstream.send_proxy = value);
        }
        Setting::Balance => each_upstream(config, value::balance(text)?, |upstream, value| upstream.balance = value),
        Setting::SidTag => each_upstream(config, value::switch(text)?, |upstream, value| upstream.sid_tag = value),
        Setting::Probe => each_upstream(config, value::switch(text)?, |upstream, on| {
            upstream.probe = if on { Some(upstream.probe.take().unwrap_or_default()) } else { None };
        }),
        Setting::ResponseTimeout => {
            each_upstream(config, value::duration(text)?, |upstream, value| upstream.response_timeout = value);
        }
        Setting::TunnelTimeout => {
            each_upstream(config, value::duration(text)?, |upstream, value| upstream.tunnel_timeout = value);
        }
    }
    Ok(())
}

/// Returns the replicas of the only upstream; both are made if there are none.
pub(super) fn replicas_of(config: &mut Config) -> Parsed<&mut ReplicasConfig> {
    let upstream = only(&mut config.upstreams, "upstreams", || UpstreamConfig::new(DEFAULT_NAME, Vec::new()))?;
    Ok(upstream.replicas.get_or_insert_with(|| ReplicasConfig::new(Vec::new())))
}

fn each_upstream<T: Copy>(config: &mut Config, value: T, set: impl Fn(&mut UpstreamConfig, T)) {
    config.upstreams.iter_mut().for_each(|upstream| set(upstream, value));
}

fn only<'a, T>(all: &'a mut Vec<T>, what: &str, make: impl FnOnce() -> T) -> Parsed<&'a mut T> {
    if all.len() > 1 {
        return Err(format!("cannot tell which of the {} {what} of the file is meant; set it there", all.len()));
    }
    if all.is_empty() {
        all.push(make());
    }
    all.first_mut().ok_or_else(String::new)
}
