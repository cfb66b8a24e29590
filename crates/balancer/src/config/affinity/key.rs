//! `{ by = "header" }` and `{ by = "query" }`: a value of the request is hashed.

use toml::de::DeTable;

use super::super::hash::Hash;
use super::super::part::{Part, table};
use super::super::reader::{Entry, Reader, unread};
use super::super::value::Parsed;
use super::read_hash;

/// The first value of a header that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderAffinity {
    /// The name, compared ignoring case.
    pub name: String,
    /// How the value becomes an endpoint.
    pub hash: Hash,
}

/// The first value of a query parameter that is not empty, as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryAffinity {
    /// The name, compared exactly and not decoded.
    pub name: String,
    /// How the value becomes an endpoint.
    pub hash: Hash,
}

pub(super) const HEADER_PART: Part =
    Part { title: "affinity by header", header: "", doc: "", keys: &[table("by"), table("name"), table("hash")] };
pub(super) const QUERY_PART: Part =
    Part { title: "affinity by query", header: "", doc: "", keys: &[table("by"), table("name"), table("hash")] };

pub(super) fn read_header(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>) -> Option<HeaderAffinity> {
    let example = "{ by = \"header\", name = \"X-User\" }";
    read(reader, item, table, &HEADER_PART, header_name, example).map(|(name, hash)| HeaderAffinity { name, hash })
}

pub(super) fn read_query(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>) -> Option<QueryAffinity> {
    let example = "{ by = \"query\", name = \"room\" }";
    read(reader, item, table, &QUERY_PART, query_name, example).map(|(name, hash)| QueryAffinity { name, hash })
}

fn read(
    reader: &mut Reader<'_>,
    item: Entry<'_>,
    table: &DeTable<'_>,
    part: &Part,
    read_name: fn(&str) -> Parsed<String>,
    example: &str,
) -> Option<(String, Hash)> {
    let (mut name, mut hash) = (None, Hash::default());
    reader.part(part, item.path, table, |reader, entry| match entry.key {
        "by" => {}
        "name" => name = Some(reader.value(entry, read_name)),
        "hash" => reader.set(entry, read_hash, &mut hash),
        _ => unread(reader, entry),
    });
    if name.is_none() {
        reader.complain(item, format!("lacks its name; write {example}"));
    }
    Some((name??, hash))
}

fn header_name(text: &str) -> Parsed<String> {
    // Both are tokens.
    if limpet_proto::http1::cookie::is_name(text.as_bytes()) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not the name of a header; write for example \"X-User\""))
    }
}

fn query_name(text: &str) -> Parsed<String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"&=#?".contains(&byte)) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not the name of a query parameter; write for example \"room\""))
    }
}
