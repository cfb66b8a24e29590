//! Reads conditions out of the tables of a file.

use toml::de::DeValue;

use super::{Condition, HeaderRule, HostRule, ValueRule};
use crate::config::header_edits;
use crate::config::part::{Part, table};
use crate::config::reader::{Entry, Reader, kind, unread};
use crate::config::value::{self, Parsed};
use crate::route;

/// How deep conditions may lie in each other. Nobody reads more, and matching goes as deep.
const MAX_DEPTH: usize = 8;

/// A table within `any`, `all` or `not`.
const PART: Part = Part {
    title: "a condition",
    header: "",
    doc: "",
    keys: &[
        table("host"),
        table("path"),
        table("path_prefix"),
        table("header"),
        table("method"),
        table("query"),
        table("source"),
        table("all"),
        table("any"),
        table("not"),
    ],
};

/// Reads one key of a table of conditions into those that must all hold.
pub(in crate::config) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, all: &mut Vec<Condition>) {
    read_at(reader, entry, 1, all);
}

fn read_at(reader: &mut Reader<'_>, entry: Entry<'_>, depth: usize, all: &mut Vec<Condition>) {
    match entry.key {
        "host" => one_of(reader, entry, |text| value::route_host(text).map(|text| host(&text)), all),
        "path" => one_of(reader, entry, |text| path(text).map(Condition::Path), all),
        "path_prefix" => one_of(reader, entry, path_prefix, all),
        "header" => one_of(reader, entry, header, all),
        "method" => one_of(reader, entry, method, all),
        "query" => one_of(reader, entry, query, all),
        "source" => {
            let mut networks = Vec::new();
            reader.set_list(entry, value::network, &mut networks);
            if !networks.is_empty() {
                all.push(Condition::Source(networks));
            }
        }
        "all" => all.extend(tables(reader, entry, depth).map(Condition::all)),
        "any" => all.extend(tables(reader, entry, depth).map(Condition::any)),
        "not" => all.extend(nested(reader, entry, depth).map(|condition| Condition::Not(Box::new(condition)))),
        _ => unread(reader, entry),
    }
}

/// Reads a value, or a list of values of which one must hold.
fn one_of(
    reader: &mut Reader<'_>,
    entry: Entry<'_>,
    parse: impl Fn(&str) -> Parsed<Condition>,
    all: &mut Vec<Condition>,
) {
    let DeValue::Array(items) = entry.value else {
        return all.extend(reader.value(entry, parse));
    };
    let mut any = Vec::new();
    reader.items(entry, items, |reader, item| any.extend(reader.value(item, &parse)));
    if items.is_empty() {
        reader.complain(entry, "is empty and holds for no request; leave it out");
    } else if !any.is_empty() {
        all.push(Condition::any(any));
    }
}

/// Reads a list of tables of conditions.
fn tables(reader: &mut Reader<'_>, entry: Entry<'_>, depth: usize) -> Option<Vec<Condition>> {
    let DeValue::Array(items) = entry.value else {
        let found = kind(entry.value);
        let example = "[{ path_prefix = \"/socket.io\" }, { header = \"Upgrade: websocket\" }]";
        reader.complain(entry, format!("expected a list of tables, found {found}; write {example}"));
        return None;
    };
    if items.is_empty() {
        reader.complain(entry, "is empty; name at least one condition");
        return None;
    }
    let mut conditions = Vec::new();
    reader.items(entry, items, |reader, item| conditions.extend(nested(reader, item, depth)));
    (!conditions.is_empty()).then_some(conditions)
}

/// Reads a table of conditions that must all hold.
fn nested(reader: &mut Reader<'_>, entry: Entry<'_>, depth: usize) -> Option<Condition> {
    let table = reader.table(entry, "{ path_prefix = \"/socket.io\" }")?;
    if depth >= MAX_DEPTH {
        reader.complain(entry, format!("lies deeper than {MAX_DEPTH} conditions in each other"));
        return None;
    }
    if table.is_empty() {
        reader.complain(entry, "is empty; name at least one condition");
    }
    let mut all = Vec::new();
    reader.part(&PART, entry.path, table, |reader, entry| read_at(reader, entry, depth + 1, &mut all));
    (!all.is_empty()).then(|| Condition::all(all))
}

fn host(text: &str) -> Condition {
    Condition::Host(HostRule::new(text))
}

/// Reads a path as requests are compared with it.
fn path(text: &str) -> Parsed<String> {
    let path = value::path_prefix(text)?;
    let plain = route::normalized(&path);
    if plain != path {
        return Err(format!("{text:?} is never met, since paths are compared in their plain form; write {plain:?}"));
    }
    Ok(path)
}

/// Reads the beginning of a path, or a path and the beginning of its query.
fn path_prefix(text: &str) -> Parsed<Condition> {
    let Some((before, query)) = text.split_once('?') else {
        return path(text).map(Condition::PathPrefix);
    };
    let path = path(before)?;
    if !query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return Err(format!("{text:?} is no path and query; write them as clients send them, percent-encoded"));
    }
    Ok(Condition::All(vec![Condition::Path(path), Condition::QueryPrefix(query.to_owned())]))
}

fn header(text: &str) -> Parsed<Condition> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim())),
        None => (text, None),
    };
    if !header_edits::is_token(name) {
        return Err(format!("{text:?} is not a header; write \"Name\", \"Name: value\" or \"Name: beginning*\""));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("{text:?} holds a control character, which no header can have"));
    }
    let value = match (value, value.and_then(|value| value.strip_suffix('*'))) {
        (None, _) => ValueRule::Present,
        (Some(_), Some(prefix)) => ValueRule::Prefix(prefix.to_owned()),
        (Some(value), None) => ValueRule::Equal(value.to_owned()),
    };
    Ok(Condition::Header(HeaderRule { name: name.to_owned(), value }))
}

fn method(text: &str) -> Parsed<Condition> {
    if !header_edits::is_token(text) {
        return Err(format!("{text:?} is not a method; write for example \"GET\""));
    }
    let upper = text.to_ascii_uppercase();
    if upper != text {
        return Err(format!("{text:?} is never met, since methods are in capitals; write {upper:?}"));
    }
    Ok(Condition::Method(upper))
}

fn query(text: &str) -> Parsed<Condition> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() || text.starts_with('?') || name.contains('&') {
        return Err(format!("{text:?} is not a query parameter; write \"name\" or \"name=value\""));
    }
    Ok(Condition::Query { name: name.to_owned(), value })
}
