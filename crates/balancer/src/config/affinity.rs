//! `affinity`: what binds a session to its endpoint, as an ordered list of modes.
//!
//! The first mode that names an endpoint wins. Combinations in which a mode could never count are errors.

use toml::de::{DeTable, DeValue};

mod check;
mod client;
mod cookie;
mod gone;
mod key;
mod sticky_session;

pub(super) use self::check::check;
pub use self::client::ClientAffinity;
pub use self::cookie::{CookieAffinity, CookieMode, CookieValue, SameSite};
pub use self::gone::WhenGone;
pub(super) use self::gone::{after_wait, when_gone};
pub use self::key::{HeaderAffinity, QueryAffinity};
pub use self::sticky_session::StickySessionAffinity;

use super::hash::Hash;
use super::part::{Part, table};
use super::reader::{Entry, Reader, kind, unread};
use super::value::{self, Parsed};

/// One thing that binds a session to its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The Engine.IO sid.
    Sid,
    /// A cookie.
    Cookie(CookieAffinity),
    /// Apache's route, in the path, the query or a cookie.
    StickySession(StickySessionAffinity),
    /// The address of the client.
    Client(ClientAffinity),
    /// The value of a header, hashed.
    Header(HeaderAffinity),
    /// The value of a query parameter, hashed.
    Query(QueryAffinity),
    /// The path without the query, hashed.
    Path(Hash),
}

/// The word of a mode.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Sid,
    Cookie,
    StickySession,
    Client,
    Header,
    Query,
    Path,
}

/// Every word, in the order of the documentation.
const WORDS: [(&str, By); 7] = [
    ("sid", By::Sid),
    ("cookie", By::Cookie),
    ("stickysession", By::StickySession),
    ("client", By::Client),
    ("header", By::Header),
    ("query", By::Query),
    ("path", By::Path),
];

impl Affinity {
    /// Returns the word for it in the configuration, logs and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Sid => "sid",
            Self::Cookie(_) => "cookie",
            Self::StickySession(_) => "stickysession",
            Self::Client(_) => "client",
            Self::Header(_) => "header",
            Self::Query(_) => "query",
            Self::Path(_) => "path",
        }
    }

    /// Returns whether it names an endpoint for every request, so that nothing after it counts.
    pub(super) fn always_names(&self) -> bool {
        match self {
            Self::Path(_) => true,
            Self::Client(client) => client.remember.is_none(),
            _ => false,
        }
    }
}

pub(super) const PART: Part = Part { title: "affinity", header: "", doc: "", keys: &[table("by")] };
pub(super) const PATH_PART: Part =
    Part { title: "affinity by path", header: "", doc: "", keys: &[table("by"), table("hash")] };
/// The tables of the other modes.
pub(super) const PARTS: [&Part; 5] =
    [&cookie::PART, &sticky_session::PART, &client::PART, &key::HEADER_PART, &key::QUERY_PART];

/// What stands in the printed file for `affinity`.
pub(super) const DOC: &str = "\
What binds a session to its endpoint: a list, of which the first that names one wins. [] for nothing.\n\
{ by = \"sid\" } is Engine.IO's own session id; it comes first. A request without one follows the others:\n\
{ by = \"cookie\", name = \"SERVERID\", mode = \"insert\" } is a cookie that limpet sets.\n\
  mode: \"insert\", \"rewrite\" and \"prefix\" as HAProxy has them; \"learn\" remembers the application's own.\n\
  value = \"signed\" is opaque and cannot be forged; \"plain\" is the endpoint's cookie = \"...\", or its id.\n\
  insert takes indirect, nocache, preserve, postonly (false), max_idle, max_life and max_age (none), path = \"/\",\n\
  domain, same_site = \"lax\", \"strict\" or \"none\", secure, http_only (false). rewrite and prefix take indirect\n\
  and nocache, learn takes max_idle = \"30m\" and capacity = 100000 (40 bytes each).\n\
{ by = \"stickysession\", name = \"SERVERID\", separator = \".\", set_cookie = false } is Apache's route: what stands\n\
  after the separator in a path or query parameter, or else in a cookie, is the endpoint's cookie = \"...\".\n\
{ by = \"client\" } is the client's address: hashed, with hash = \"rendezvous\", or remembered with remember = \"3h\"\n\
  and capacity = 100000 (60 bytes each). prefix_v4 = 24 and prefix_v6 = 64 take networks in place of addresses.\n\
{ by = \"header\", name = \"X-User\" }, { by = \"query\", name = \"room\" } and { by = \"path\" } hash such a value.";

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, modes: &mut Vec<Affinity>) {
    let DeValue::Array(items) = entry.value else {
        let found = kind(entry.value);
        return reader.complain(entry, format!("expected a list of tables, found {found}; write [{{ by = \"sid\" }}]"));
    };
    modes.clear();
    reader.items(entry, items, |reader, item| {
        let Some(table) = reader.table(item, "{ by = \"sid\" }") else {
            return;
        };
        let Some((_, by)) = table.iter().find(|(key, _)| key.get_ref() == "by") else {
            return reader.complain(item, "lacks its mode; write { by = \"sid\" }");
        };
        let path = format!("{}.by", item.path);
        let by = reader
            .value(Entry { path: &path, key: "by", value: by.get_ref() }, |text| value::word("affinity", text, &WORDS));
        if let Some(by) = by {
            modes.extend(read_mode(reader, item, table, by));
        }
    });
}

/// Reads the rest of a mode; `None` if it lacks something.
fn read_mode(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>, by: By) -> Option<Affinity> {
    match by {
        By::Sid => {
            reader.part(&PART, item.path, table, |_, _| {});
            Some(Affinity::Sid)
        }
        By::Cookie => cookie::read(reader, item, table).map(Affinity::Cookie),
        By::StickySession => sticky_session::read(reader, item, table).map(Affinity::StickySession),
        By::Client => client::read(reader, item, table).map(Affinity::Client),
        By::Header => key::read_header(reader, item, table).map(Affinity::Header),
        By::Query => key::read_query(reader, item, table).map(Affinity::Query),
        By::Path => {
            let mut hash = Hash::default();
            reader.part(&PATH_PART, item.path, table, |reader, entry| match entry.key {
                "by" => {}
                "hash" => reader.set(entry, read_hash, &mut hash),
                _ => unread(reader, entry),
            });
            Some(Affinity::Path(hash))
        }
    }
}

/// Reads how a key becomes an endpoint.
fn read_hash(text: &str) -> Parsed<Hash> {
    value::word("hash", text, &Hash::ALL.map(|hash| (hash.as_str(), hash)))
}

/// Reads the name of a cookie.
fn read_cookie_name(text: &str) -> Parsed<String> {
    if text.len() <= 128 && limpet_proto::http1::cookie::is_name(text.as_bytes()) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not the name of a cookie; write letters, digits, \"-\" and \"_\", such as \"SERVERID\""
        ))
    }
}

/// Reads how many entries a memory may have.
fn read_capacity(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(number @ 1..=10_000_000) => Ok(number),
        _ => Err(format!("{text:?} is not a capacity; write a whole number from 1 to 10000000")),
    }
}
