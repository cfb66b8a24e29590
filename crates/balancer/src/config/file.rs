//! Reads the text of a configuration file into a draft. Which keys exist is decided by [`defaults`].

use toml::de::{DeTable, DeValue};

use super::defaults;
use super::draft::Draft;
use super::environment::Lookup;
use super::reader::{Entry, Reader, kind, unread};
use super::{admin, dns, listener, route, upstream, value};

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
        "admin" => admin::read(reader, entry, &mut config.admin),
        "dns" => dns::read(reader, entry, &mut config.dns),
        "listener" => named(reader, entry, "[listener.NAME]", |reader, entry, table| {
            config.listeners.push(listener::read(reader, entry, table));
        }),
        "upstream" => named(reader, entry, "[upstream.NAME]", |reader, entry, table| {
            config.upstreams.push(upstream::read(reader, entry, table));
        }),
        "route" => {
            let DeValue::Array(routes) = entry.value else {
                return reader.complain(
                    entry,
                    format!("expected a list of tables, found {}; write [[route]]", kind(entry.value)),
                );
            };
            reader.items(entry, routes, |reader, entry| config.routes.extend(route::read(reader, entry)));
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
