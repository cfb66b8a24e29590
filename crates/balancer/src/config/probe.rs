//! `[upstream.NAME.probe]`: active health evidence.

use std::time::Duration;

use toml::de::DeValue;

use super::part::{Part, default};
use super::reader::{Entry, Reader, unread};
use super::value;

/// A TCP probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Time between two probes of an endpoint.
    pub interval: Duration,
    /// Time for one probe.
    pub timeout: Duration,
    /// Successes in a row that bring an endpoint up.
    pub rise: u32,
    /// Failures in a row that take an endpoint down.
    pub fall: u32,
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(2), timeout: Duration::from_secs(1), rise: 2, fall: 3 }
    }
}

pub(super) const PART: Part = Part {
    title: "[upstream.NAME.probe]",
    header: "[upstream.app.probe]",
    doc: "Connects to each endpoint now and then. \"probe = false\" in [upstream.app] switches it off.",
    keys: &[
        default("interval", "\"2s\"", "Time between two probes of an endpoint."),
        default("timeout", "\"1s\"", "Time for one probe."),
        default("rise", "2", "Successes in a row that bring an endpoint up."),
        default("fall", "3", "Failures in a row that take an endpoint down."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<ProbeConfig> {
    let DeValue::Table(table) = entry.value else {
        let on = reader.value(entry, |text| {
            value::switch(text).map_err(|_| {
                format!("{text:?} is not a probe; write off, on or a table such as {{ interval = \"2s\" }}")
            })
        });
        return on.unwrap_or(true).then(ProbeConfig::default);
    };
    let mut probe = ProbeConfig::default();
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "interval" => reader.set(entry, value::duration, &mut probe.interval),
        "timeout" => reader.set(entry, value::duration, &mut probe.timeout),
        "rise" => reader.set(entry, value::at_least_once, &mut probe.rise),
        "fall" => reader.set(entry, value::at_least_once, &mut probe.fall),
        _ => unread(reader, entry),
    });
    Some(probe)
}
