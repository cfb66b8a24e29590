//! `{ by = "stickysession" }`: Apache's route in the path, the query or a cookie.

use toml::de::DeTable;

use super::super::part::{Part, table};
use super::super::reader::{Entry, Reader, unread};
use super::super::value::{self, Parsed};
use super::read_cookie_name;

/// Apache's `stickysession`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickySessionAffinity {
    /// The name of the path or query parameter, and of the cookie.
    pub name: String,
    /// What stands before the route in the value; its first occurrence counts.
    pub separator: u8,
    /// Whether the cookie `NAME=sticky.ROUTE; path=/` is set when the request's route is absent or not the one chosen.
    pub set_cookie: bool,
}

pub(super) const PART: Part = Part {
    title: "affinity by stickysession",
    header: "",
    doc: "",
    keys: &[table("by"), table("name"), table("separator"), table("set_cookie")],
};

pub(super) fn read(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>) -> Option<StickySessionAffinity> {
    let mut name = None;
    let mut sticky = StickySessionAffinity { name: String::new(), separator: b'.', set_cookie: false };
    let it = &mut sticky;
    reader.part(&PART, item.path, table, |reader, entry| match entry.key {
        "by" => {}
        "name" => name = Some(reader.value(entry, read_cookie_name)),
        "separator" => reader.set(entry, read_separator, &mut it.separator),
        "set_cookie" => reader.set(entry, value::switch, &mut it.set_cookie),
        _ => unread(reader, entry),
    });
    if name.is_none() {
        reader.complain(item, "lacks its name; write { by = \"stickysession\", name = \"SERVERID\" }");
    }
    sticky.name = name??;
    Some(sticky)
}

/// Reads the one character before a route.
fn read_separator(text: &str) -> Parsed<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() && !b";,\"\\&?#".contains(byte) => Ok(*byte),
        _ => Err(format!("{text:?} is not a separator; write one character, such as \".\" or \"!\"")),
    }
}
