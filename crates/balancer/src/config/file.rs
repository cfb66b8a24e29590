//! Reads the text of a configuration file into a draft. Which keys exist is decided by [`defaults`].

use toml::de::{DeTable, DeValue};

use super::defaults;
use super::draft::{Draft, UNBOUND};
use super::environment::Lookup;
use super::reader::{Entry, Reader, kind};
use super::value::{self, HeaderFamily};
use super::{EndpointConfig, Forwarded, ListenerConfig, OutlierConfig, ProbeConfig, RouteConfig, UpstreamConfig};

/// Reads a file into the draft. With errors of the syntax nothing else is looked at.
pub(super) fn read(draft: &mut Draft, name: &str, text: &str, lookup: Lookup<'_>) {
    draft.journal.begin_file(name);
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(text, lookup, &mut draft.journal);
    if !errors.is_empty() {
        reader.complain_about_syntax(&errors);
        draft.unreadable = true;
        return;
    }
    let config = &mut draft.config;
    reader.part(&defaults::TOP, "", table.get_ref(), |reader, entry| match entry.key {
        "workers" => reader.set(entry, value::workers, &mut config.workers),
        "max_connections" => reader.set(entry, value::count, &mut config.max_connections),
        "shutdown_timeout" => reader.set(entry, value::duration, &mut config.shutdown_timeout),
        "access_log" => reader.set(entry, value::access_log, &mut config.access_log),
        "state_directory" => draft.state_directory = reader.value(entry, value::path),
        "cluster" => {
            let Some(table) = reader.table(entry, "[cluster]") else {
                return;
            };
            reader.part(&defaults::CLUSTER, entry.path, table, |reader, entry| match entry.key {
                "key_file" => draft.key_file = reader.value(entry, value::path),
                _ => unread(reader, entry),
            });
        }
        "listener" => named(reader, entry, "[listener.NAME]", |reader, entry, table| {
            config.listeners.push(listener(reader, entry, table));
        }),
        "upstream" => named(reader, entry, "[upstream.NAME]", |reader, entry, table| {
            config.upstreams.push(upstream(reader, entry, table));
        }),
        "route" => {
            let DeValue::Array(routes) = entry.value else {
                return reader.complain(
                    entry,
                    format!("expected a list of tables, found {}; write [[route]]", kind(entry.value)),
                );
            };
            reader.items(entry, routes, |reader, entry| config.routes.extend(route(reader, entry)));
        }
        _ => unread(reader, entry),
    });
}

/// Offers each table of a group of named ones.
fn named(
    reader: &mut Reader<'_>,
    entry: Entry<'_>,
    example: &str,
    mut take: impl FnMut(&mut Reader<'_>, Entry<'_>, &DeTable<'_>),
) {
    let Some(group) = reader.table(entry, example) else {
        return;
    };
    reader.each(entry.path, group, |reader, entry| {
        if let Err(message) = value::name(entry.key) {
            return reader.complain(entry, message);
        }
        if let Some(table) = reader.table(entry, example) {
            take(reader, entry, table);
        }
    });
}

fn listener(reader: &mut Reader<'_>, entry: Entry<'_>, table: &DeTable<'_>) -> ListenerConfig {
    let mut listener = ListenerConfig::new(entry.key, UNBOUND);
    let it = &mut listener;
    reader.part(&defaults::LISTENER, entry.path, table, |reader, entry| match entry.key {
        "bind" => reader.set(entry, value::bind, &mut it.bind),
        "trusted" => reader.set_list(entry, value::network, &mut it.trusted),
        "max_connections" => reader.set(entry, value::count, &mut it.max_connections),
        "max_connections_per_client" => reader.set(entry, value::count, &mut it.max_connections_per_client),
        "max_head" => reader.set(entry, value::head_bytes, &mut it.max_head_bytes),
        "head_timeout" => reader.set(entry, value::duration, &mut it.head_timeout),
        "body_timeout" => reader.set(entry, value::duration, &mut it.body_timeout),
        "idle_timeout" => reader.set(entry, value::duration, &mut it.idle_timeout),
        _ => unread(reader, entry),
    });
    listener
}

fn route(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<RouteConfig> {
    let table = reader.table(entry, "[[route]]")?;
    let mut route = RouteConfig { listener: None, host: None, path_prefix: None, upstream: String::new() };
    let it = &mut route;
    reader.part(&defaults::ROUTE, entry.path, table, |reader, entry| match entry.key {
        "listener" => it.listener = reader.value(entry, value::name),
        "host" => it.host = reader.value(entry, value::route_host),
        "path_prefix" => it.path_prefix = reader.value(entry, value::path_prefix),
        "upstream" => reader.set(entry, value::name, &mut it.upstream),
        _ => unread(reader, entry),
    });
    Some(route)
}

fn upstream(reader: &mut Reader<'_>, entry: Entry<'_>, table: &DeTable<'_>) -> UpstreamConfig {
    let mut upstream = UpstreamConfig::new(entry.key, Vec::new());
    let it = &mut upstream;
    reader.part(&defaults::UPSTREAM, entry.path, table, |reader, entry| match entry.key {
        "balance" => reader.set(entry, value::balance, &mut it.balance),
        "affinity" => affinity(reader, entry, it),
        "sid_tag" => reader.set(entry, value::switch, &mut it.sid_tag),
        "endpoints" => endpoints(reader, entry, &mut it.endpoints),
        "probe" => it.probe = probe(reader, entry),
        "outlier" => outlier(reader, entry, &mut it.outlier),
        "connect_timeout" => reader.set(entry, value::duration, &mut it.connect_timeout),
        "response_timeout" => reader.set(entry, value::duration, &mut it.response_timeout),
        "tunnel_timeout" => reader.set(entry, value::duration, &mut it.tunnel_timeout),
        "max_held_body" => reader.set(entry, value::held_body_bytes, &mut it.max_held_body_bytes),
        "forwarded" => {
            let mut families = Vec::new();
            reader.set_list(entry, value::header_family, &mut families);
            it.forwarded = Forwarded {
                x_forwarded: families.contains(&HeaderFamily::XForwarded),
                x_real_ip: families.contains(&HeaderFamily::XRealIp),
                rfc7239: families.contains(&HeaderFamily::Rfc7239),
            };
        }
        _ => unread(reader, entry),
    });
    upstream
}

fn affinity(reader: &mut Reader<'_>, entry: Entry<'_>, upstream: &mut UpstreamConfig) {
    let DeValue::Array(modes) = entry.value else {
        let found = kind(entry.value);
        return reader.complain(entry, format!("expected a list of tables, found {found}; write [{{ by = \"sid\" }}]"));
    };
    upstream.affinity.clear();
    reader.items(entry, modes, |reader, item| {
        let Some(table) = reader.table(item, "{ by = \"sid\" }") else {
            return;
        };
        let mut mode = None;
        reader.part(&defaults::AFFINITY, item.path, table, |reader, entry| match entry.key {
            "by" => mode = Some(reader.value(entry, value::affinity)),
            _ => unread(reader, entry),
        });
        match mode {
            None => reader.complain(item, "lacks its mode; write { by = \"sid\" }"),
            Some(Some(mode)) if upstream.affinity.contains(&mode) => reader.complain(item, "is listed twice"),
            Some(mode) => upstream.affinity.extend(mode),
        }
    });
}

fn endpoints(reader: &mut Reader<'_>, entry: Entry<'_>, endpoints: &mut Vec<EndpointConfig>) {
    let DeValue::Array(items) = entry.value else {
        return reader.set_list(entry, value::endpoint, endpoints);
    };
    reader.items(entry, items, |reader, item| {
        let DeValue::Table(table) = item.value else {
            return endpoints.push(reader.value(item, value::endpoint).unwrap_or_else(Draft::wrong_endpoint));
        };
        let (mut address, mut id) = (None, None);
        reader.part(&defaults::ENDPOINT, item.path, table, |reader, entry| match entry.key {
            "address" => address = Some(reader.value(entry, value::endpoint)),
            "id" => id = reader.value(entry, value::id),
            _ => unread(reader, entry),
        });
        if address.is_none() {
            reader.complain(item, "lacks its address; write { address = \"app01:3000\" }");
        }
        let endpoint = address.flatten().unwrap_or_else(Draft::wrong_endpoint);
        endpoints.push(EndpointConfig { id, ..endpoint });
    });
}

fn probe(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<ProbeConfig> {
    let DeValue::Table(table) = entry.value else {
        let on = reader.value(entry, |text| {
            value::switch(text).map_err(|_| {
                format!("{text:?} is not a probe; write off, on or a table such as {{ interval = \"2s\" }}")
            })
        });
        return on.unwrap_or(true).then(ProbeConfig::default);
    };
    let mut probe = ProbeConfig::default();
    reader.part(&defaults::PROBE, entry.path, table, |reader, entry| match entry.key {
        "interval" => reader.set(entry, value::duration, &mut probe.interval),
        "timeout" => reader.set(entry, value::duration, &mut probe.timeout),
        "rise" => reader.set(entry, value::at_least_once, &mut probe.rise),
        "fall" => reader.set(entry, value::at_least_once, &mut probe.fall),
        _ => unread(reader, entry),
    });
    Some(probe)
}

fn outlier(reader: &mut Reader<'_>, entry: Entry<'_>, outlier: &mut OutlierConfig) {
    let Some(table) = reader.table(entry, "{ failures = 5, ejection = \"10s\" }") else {
        return;
    };
    reader.part(&defaults::OUTLIER, entry.path, table, |reader, entry| match entry.key {
        "failures" => reader.set(entry, value::times, &mut outlier.failures),
        "ejection" => reader.set(entry, value::duration, &mut outlier.ejection),
        _ => unread(reader, entry),
    });
}

/// Reports a key that the documentation promises and nothing here reads; the test of the defaults finds these.
fn unread(reader: &mut Reader<'_>, entry: Entry<'_>) {
    reader.complain(entry, "is documented but not read");
}
