//! `[admin]`: where metrics and the state of the balancer are read.

use std::net::SocketAddr;

use super::part::{Part, example};
use super::reader::{Entry, Reader, unread};
use super::value;

pub(super) const PART: Part = Part {
    title: "[admin]",
    header: "[admin]",
    doc: "Where programs read /metrics (for Prometheus), /health and /ready. There is no such listener by default.",
    keys: &[example(
        "bind",
        "\"127.0.0.1:9000\"",
        "\"IP:PORT\". Whoever reaches it can read it, so it should be no public address. Also LIMPET_ADMIN.",
    )],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, admin: &mut Option<SocketAddr>) {
    let Some(table) = reader.table(entry, "[admin]") else {
        return;
    };
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "bind" => *admin = reader.value(entry, value::bind),
        _ => unread(reader, entry),
    });
}
