//! The one table of the keys of a configuration file, with their defaults and what they mean.
//!
//! The reader refuses keys that are not here, and a test reads [`text`] back, so a key cannot exist on one side only.

use std::fmt::Write as _;

/// A table of the file: where it stands and which keys it has.
pub(super) struct Part {
    /// How errors name it.
    pub(super) title: &'static str,
    /// The line that begins it in the printed file; empty if it has none.
    header: &'static str,
    doc: &'static str,
    keys: &'static [Key],
}

impl Part {
    /// Tells whether the table may have this key.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// Returns the names of the keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

struct Key {
    name: &'static str,
    kind: Kind,
    doc: &'static str,
}

#[derive(Clone, Copy)]
enum Kind {
    /// The value that counts when the key is left out.
    Default(&'static str),
    /// The key has no default; this is how one could look.
    Example(&'static str),
    /// The key must be given.
    Required(&'static str),
    /// A table that is printed as a part of its own, or with its list.
    Table,
}

const fn default(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Default(value), doc }
}

const fn example(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Example(value), doc }
}

const fn required(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Required(value), doc }
}

const fn table(name: &'static str) -> Key {
    Key { name, kind: Kind::Table, doc: "" }
}

/// Every part, in the order of the printed file.
pub(super) const PARTS: [&Part; 9] =
    [&TOP, &CLUSTER, &LISTENER, &ROUTE, &UPSTREAM, &PROBE, &OUTLIER, &AFFINITY, &ENDPOINT];

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

pub(super) const LISTENER: Part = Part {
    title: "[listener.NAME]",
    header: "[listener.web]",
    doc: "A bound address. The name is yours; there can be several.",
    keys: &[
        required(
            "bind",
            "\":8000\"",
            "\"IP:PORT\", or \":PORT\" for all addresses, IPv4 and IPv6. Also LIMPET_LISTEN. Required.",
        ),
        default(
            "trusted",
            "[]",
            "Networks of front proxies, such as \"10.0.0.0/8\": their X-Forwarded-* and Forwarded headers are believed\n\
             and extended. Those of others are replaced.",
        ),
        default("max_connections", "0", "Client connections of this listener; 0 for no limit of its own."),
        default("max_connections_per_client", "0", "Client connections of one client address; 0 for no limit."),
        default(
            "max_head",
            "\"16KiB\"",
            "Largest request head, 1KiB to 32KiB. Costs this much memory per connection that is sending one.",
        ),
        default(
            "head_timeout",
            "\"10s\"",
            "Time to send a whole request head, from its first byte. It bounds how long slow clients hold memory.",
        ),
        default(
            "body_timeout",
            "\"30s\"",
            "Longest silence within a request body. Phones lose the network for seconds.",
        ),
        default(
            "idle_timeout",
            "\"75s\"",
            "How long a connection may wait for its next request. Keep it longer than front proxies keep theirs\n\
             (nginx and AWS load balancers 60 s, Google Cloud 600 s), else a request can cross with our close.",
        ),
    ],
};

pub(super) const ROUTE: Part = Part {
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

pub(super) const UPSTREAM: Part = Part {
    title: "[upstream.NAME]",
    header: "[upstream.app]",
    doc: "A named group of endpoints: servers that can do the same.",
    keys: &[
        required(
            "endpoints",
            "[]",
            "\"HOST:PORT\" or { address = \"HOST:PORT\", id = \"ID\" }. A name with several addresses gives one endpoint\n\
             each. The id keeps sessions across a change of address. Also LIMPET_UPSTREAM. Required.",
        ),
        default(
            "balance",
            "\"least_conn\"",
            "How a new session is placed: \"least_conn\" (fewest sessions, tunnels and requests) or \"round_robin\".",
        ),
        default(
            "affinity",
            "[{ by = \"sid\" }]",
            "What binds a session to its endpoint: the sid of Engine.IO; [] for nothing.",
        ),
        default(
            "sid_tag",
            "true",
            "Adds a sealed tag to the sids of new sessions, so that any balancer with the key can route them.\n\
             With false, sids are learned from responses only.",
        ),
        default("connect_timeout", "\"2s\"", "Time for a TCP connection to an endpoint: one lost packet is forgiven."),
        default(
            "response_timeout",
            "\"60s\"",
            "Time until an endpoint begins its response, and longest silence within it. A long poll is never cut\n\
             before the pingInterval + pingTimeout of its server.",
        ),
        default("tunnel_timeout", "\"1h\"", "Longest silence of a tunnel (a WebSocket), both directions together."),
        default(
            "max_held_body",
            "\"1MiB\"",
            "Largest request body that is held to find the endpoint of an unknown version 3 session, up to 64MiB.\n\
             Costs this much memory per such request.",
        ),
        default(
            "forwarded",
            "[\"x-forwarded\", \"x-real-ip\"]",
            "Headers that tell endpoints about the client: \"x-forwarded\", \"x-real-ip\", \"rfc7239\".",
        ),
        table("probe"),
        table("outlier"),
    ],
};

pub(super) const PROBE: Part = Part {
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

pub(super) const OUTLIER: Part = Part {
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

pub(super) const AFFINITY: Part = Part { title: "affinity", header: "", doc: "", keys: &[table("by")] };

pub(super) const ENDPOINT: Part =
    Part { title: "an endpoint", header: "", doc: "", keys: &[table("address"), table("id")] };

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
