//! `[upstream.NAME.outlier]`: passive health evidence.

use std::time::Duration;

use super::part::{Part, default};
use super::reader::{Entry, Reader, unread};
use super::value;

/// When an endpoint is ejected because of what its real traffic shows. At most half of an upstream is ejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierConfig {
    /// Failures in a row (refused connections, timeouts, connections closed without a response); 0 switches ejection off.
    pub failures: u32,
    /// First ejection; each further one in a row is longer by this much, up to ten times.
    pub ejection: Duration,
}

impl Default for OutlierConfig {
    fn default() -> Self {
        Self { failures: 5, ejection: Duration::from_secs(10) }
    }
}

pub(super) const PART: Part = Part {
    title: "[upstream.NAME.outlier]",
    header: "[upstream.app.outlier]",
    doc: "Ejects endpoints whose real traffic fails; at most half of an upstream at a time.",
    keys: &[
        default(
            "failures",
            "5",
            "Failures in a row: refused connections, timeouts, connections closed without a response. 0 for never.",
        ),
        default("ejection", "\"10s\"", "First ejection; each further one in a row is longer by this, up to ten times."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, outlier: &mut OutlierConfig) {
    let Some(table) = reader.table(entry, "{ failures = 5, ejection = \"10s\" }") else {
        return;
    };
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "failures" => reader.set(entry, value::times, &mut outlier.failures),
        "ejection" => reader.set(entry, value::duration, &mut outlier.ejection),
        _ => unread(reader, entry),
    });
}
