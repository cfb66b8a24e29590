//! The documentation of a configuration file: every part with its keys, their defaults and what they mean.
//!
//! The reader refuses keys that are not here, and a test reads [`text`] back, so a key cannot exist on one side only.

use std::fmt::Write as _;

use super::part::{Kind, Part, default, example, table};
use super::{admin, affinity, dns, endpoint, listener, outlier, probe, rate_limit, replicas, route, upstream};

/// Every part, in the order of the printed file.
pub(super) const PARTS: &[&Part] = &[
    &TOP,
    &CLUSTER,
    &admin::PART,
    &dns::PART,
    &listener::PART,
    &route::PART,
    &rate_limit::PART,
    &route::REDIRECT_PART,
    &route::RESPOND_PART,
    &route::STATS_PART,
    &upstream::PART,
    &probe::PART,
    &outlier::PART,
    &replicas::PART,
    &affinity::PART,
    &affinity::PATH_PART,
    affinity::PARTS[0],
    affinity::PARTS[1],
    affinity::PARTS[2],
    affinity::PARTS[3],
    affinity::PARTS[4],
    &endpoint::PART,
];

pub(super) const TOP: Part = Part {
    title: "the top of the file",
    header: "",
    doc: "The configuration of limpet, with every key at its default.\n\n\
        Lines that begin with \"#\" and no space are keys at their default: remove the \"#\" to change one.\n\
        In strings, ${VAR} and ${VAR:-default} stand for environment variables, $${ for a literal ${.\n\
        Durations look like \"500ms\", \"30s\", \"1h 30m\"; sizes like \"16KiB\", \"1MiB\".\n\
        Flags count before environment variables (LIMPET_...), those before this file.",
    keys: &[
        default("workers", "0", "Worker threads; 0 for one per core. Also LIMPET_WORKERS."),
        default(
            "max_connections",
            "0",
            "Client connections in all; 0 for as many as the limit of open files allows (two per connection).\n\
             Also LIMPET_MAX_CONNECTIONS.",
        ),
        default(
            "shutdown_timeout",
            "\"8s\"",
            "How long requests in progress may take to end after SIGTERM. Container engines kill after 10 s.",
        ),
        default("access_log", "\"off\"", "\"off\", \"text\" or \"json\", to standard output. Also LIMPET_ACCESS_LOG."),
        example(
            "state_directory",
            "\"/var/lib/limpet\"",
            "Where limpet keeps the key that it makes when none is given. By default $STATE_DIRECTORY (systemd),\n\
             $XDG_STATE_HOME/limpet, ~/.local/state/limpet or /var/lib/limpet. Also LIMPET_STATE_DIRECTORY.",
        ),
        table("cluster"),
        table("admin"),
        table("dns"),
        table("listener"),
        table("route"),
        table("upstream"),
    ],
};

pub(super) const CLUSTER: Part = Part {
    title: "[cluster]",
    header: "[cluster]",
    doc: "What several balancers in front of the same endpoints share.",
    keys: &[example(
        "key_file",
        "\"/run/secrets/limpet.key\"",
        "The keys that sign sids; \"limpet key new\" makes one. Also LIMPET_KEY_FILE, or LIMPET_KEY for the keys\n\
         themselves. Without one, a key is made and kept in the state directory.",
    )],
};

/// Returns a configuration file with every key, its default and its meaning.
///
/// It lacks endpoints alone. Explanations begin with `# `, keys that are switched off with `#`.
pub fn text() -> String {
    let mut out = String::new();
    for part in PARTS.iter().filter(|part| !part.doc.is_empty()) {
        if !out.is_empty() {
            out.push('\n');
        }
        comment(&mut out, part.doc);
        if !part.header.is_empty() {
            out.push_str(part.header);
            out.push('\n');
        }
        for key in part.keys {
            let (mark, value) = match key.kind {
                Kind::Default(value) | Kind::Example(value) => ("#", value),
                Kind::Required(value) => ("", value),
                Kind::Table => continue,
            };
            out.push('\n');
            comment(&mut out, key.doc);
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{mark}{} = {value}", key.name);
        }
    }
    out
}

fn comment(out: &mut String, doc: &str) {
    for line in doc.lines() {
        let _ = writeln!(out, "{}", format!("# {line}").trim_end());
    }
}
