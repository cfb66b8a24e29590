//! `affinity`: what binds a session to its endpoint.

use toml::de::DeValue;

use super::part::{Part, table};
use super::reader::{Entry, Reader, kind, unread};
use super::value;

/// What binds a session to its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The Engine.IO sid.
    Sid,
}

impl Affinity {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 1] = [Self::Sid];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sid => "sid",
        }
    }
}

pub(super) const PART: Part = Part { title: "affinity", header: "", doc: "", keys: &[table("by")] };

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
        let mut mode = None;
        reader.part(&PART, item.path, table, |reader, entry| match entry.key {
            "by" => mode = Some(reader.value(entry, value::affinity)),
            _ => unread(reader, entry),
        });
        match mode {
            None => reader.complain(item, "lacks its mode; write { by = \"sid\" }"),
            Some(Some(mode)) if modes.contains(&mode) => reader.complain(item, "is listed twice"),
            Some(mode) => modes.extend(mode),
        }
    });
}
