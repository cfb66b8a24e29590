//! `request_headers` and `response_headers`: what a route changes in the heads that pass.

use toml::de::DeValue;

use super::part::{Part, table};
use super::reader::{Entry, Reader, unread};
use super::template::{Place, Template};
use super::value::Parsed;

/// The longest value of a header line that a route writes, in bytes before its places are filled.
const MAX_VALUE_BYTES: usize = 4096;

/// Names that belong to one connection or frame a message (RFC 9110 section 7.6.1, RFC 9112 section 6), or make a
/// WebSocket of one (RFC 6455 section 4).
const PROTECTED: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a route changes in a head: lines are removed first, then set, then added. Names are compared ignoring case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// These take the place of every line of their name.
    pub set: Vec<(String, Template)>,
    /// These come in addition.
    pub add: Vec<(String, Template)>,
    /// Every line of these names goes.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Makes changes of lines that are known to be right.
    #[cfg(test)]
    pub(crate) fn of(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> Self {
        let lines = |lines: &[(&str, &str)]| {
            lines.iter().map(|(name, text)| ((*name).to_owned(), value(text, Side::Response).unwrap())).collect()
        };
        Self { set: lines(set), add: lines(add), remove: remove.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// Returns whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Returns whether a line of this name does not stay.
    pub fn replaces(&self, name: &[u8]) -> bool {
        self.remove
            .iter()
            .chain(self.set.iter().map(|(name, _)| name))
            .any(|edited| edited.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Which heads are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Set,
    Add,
    Remove,
}

const PART: Part =
    Part { title: "a change of headers", header: "", doc: "", keys: &[table("set"), table("add"), table("remove")] };

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, side: Side, edits: &mut HeaderEdits) {
    let example = "{ set = { X-Served-By = \"limpet\" }, remove = [\"X-Powered-By\"] }";
    let Some(table) = reader.table(entry, example) else {
        return;
    };
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "set" => lines(reader, entry, side, Change::Set, &mut edits.set),
        "add" => lines(reader, entry, side, Change::Add, &mut edits.add),
        "remove" => reader.set_list(entry, |text| name(text, side, Change::Remove), &mut edits.remove),
        _ => unread(reader, entry),
    });
    for (n, (name, _)) in edits.set.iter().enumerate() {
        if edits.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)) {
            reader.complain(entry, format!("{name} is set and removed; to set it replaces every line of that name"));
        }
        if edits.set.iter().take(n).any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            reader.complain(entry, format!("{name} is set twice; names are the same in capitals and small letters"));
        }
    }
}

/// Reads a table of names with their values; `add` takes lists of values too.
fn lines(reader: &mut Reader<'_>, entry: Entry<'_>, side: Side, change: Change, lines: &mut Vec<(String, Template)>) {
    let Some(table) = reader.table(entry, "{ X-Name = \"value\" }") else {
        return;
    };
    reader.each(entry.path, table, |reader, entry| {
        let name = match name(entry.key, side, change) {
            Ok(name) => name,
            Err(message) => return reader.complain(entry, message),
        };
        let parse = |text: &str| value(text, side).and_then(|value| check_host(&name, text).map(|()| value));
        let mut add = |value| lines.push((name.clone(), value));
        match entry.value {
            DeValue::Array(items) if change == Change::Add => {
                reader.items(entry, items, |reader, item| reader.value(item, parse).into_iter().for_each(&mut add));
            }
            _ => reader.value(entry, parse).into_iter().for_each(add),
        }
    });
}

fn name(text: &str, side: Side, change: Change) -> Parsed<String> {
    if !is_token(text) || text.len() > 128 {
        return Err(format!("{text:?} is not the name of a header; write letters, digits and \"-\""));
    }
    let lower = text.to_ascii_lowercase();
    if PROTECTED.contains(&lower.as_str()) {
        return Err(format!("{text} belongs to the connection, and limpet writes it itself; leave it out"));
    }
    match (lower.as_str(), side, change) {
        ("host", Side::Request, Change::Set) => {}
        ("host", Side::Request, _) => return Err("every request has one Host; it can be set alone".to_owned()),
        ("host", Side::Response, _) => return Err("Host is a header of requests".to_owned()),
        ("accept-encoding", Side::Request, Change::Set | Change::Add) => {
            let why = "limpet must be able to read the responses that open sessions";
            return Err(format!("{text} can only be removed, since {why}"));
        }
        _ => {}
    }
    Ok(text.to_owned())
}

fn value(text: &str, side: Side) -> Parsed<Template> {
    if let Some(wrong) = text.chars().find(|char| !matches!(char, '\t' | ' '..='~')) {
        return Err(format!("{wrong:?} cannot stand in a header; write visible ASCII characters and spaces alone"));
    }
    if text.trim() != text {
        return Err(format!("{text:?} begins or ends with a space, which no receiver would see; leave it out"));
    }
    if text.len() > MAX_VALUE_BYTES {
        return Err(format!("is longer than {MAX_VALUE_BYTES} bytes"));
    }
    match side {
        Side::Request => Template::parse(text, &[Place::Client]),
        Side::Response => Template::parse(text, &[Place::Client, Place::Endpoint]),
    }
}

/// Checks the value of a Host header, which must be a host with or without port.
fn check_host(name: &str, value: &str) -> Parsed<()> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'[' | b']');
    if name.eq_ignore_ascii_case("host") && (value.is_empty() || !value.bytes().all(fine)) {
        return Err(format!("{value:?} is not a host; write for example \"app.internal\" or \"app.internal:8080\""));
    }
    Ok(())
}

/// Tells whether text is a token: a method or the name of a header (RFC 9110 section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
