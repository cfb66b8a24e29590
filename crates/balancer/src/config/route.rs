//! `[[route]]`: which requests go to which upstream.

use super::part::{Part, example};
use super::reader::{Entry, Reader, unread};
use super::value;

/// Which requests go to which upstream: all given conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Only requests of this listener.
    pub listener: Option<String>,
    /// Only this host (without port, ignoring case); `*.example.com` matches every name below.
    pub host: Option<String>,
    /// Only paths that begin with this.
    pub path_prefix: Option<String>,
    /// The name of the upstream.
    pub upstream: String,
}

pub(super) const PART: Part = Part {
    title: "[[route]]",
    header: "#[[route]]",
    doc: "Which requests go to which upstream. Routes are tried in order; all conditions of one must hold.\n\
        Without routes, everything goes to the only upstream.",
    keys: &[
        example("listener", "\"web\"", "Only requests of this listener."),
        example("host", "\"*.example.com\"", "Only this host; \"*.example.com\" matches every name below example.com."),
        example("path_prefix", "\"/socket.io\"", "Only paths that begin with this."),
        example("upstream", "\"app\"", "The name of the upstream. Required."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<RouteConfig> {
    let table = reader.table(entry, "[[route]]")?;
    let mut route = RouteConfig { listener: None, host: None, path_prefix: None, upstream: String::new() };
    let it = &mut route;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "listener" => it.listener = reader.value(entry, value::name),
        "host" => it.host = reader.value(entry, value::route_host),
        "path_prefix" => it.path_prefix = reader.value(entry, value::path_prefix),
        "upstream" => reader.set(entry, value::name, &mut it.upstream),
        _ => unread(reader, entry),
    });
    Some(route)
}
