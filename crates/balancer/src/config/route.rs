//! `[[route]]`: which requests it takes, and what becomes of them.

use super::action::{self, ActionConfig};
use super::condition::{self, Condition};
use super::header_edits::{self, HeaderEdits, Side};
use super::part::{Part, default, example, table};
use super::rate_limit::{self, RateLimitConfig};
use super::reader::{Entry, Reader};
use super::stats;
use super::template::Place;
use super::value;

/// Which requests a route takes, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Only requests of this listener.
    pub listener: Option<String>,
    /// Only requests that are like this.
    pub when: Condition,
    /// What becomes of them.
    pub action: ActionConfig,
    /// How many of them may come in a time; at most 8 limits, all of which apply.
    pub rate_limits: Vec<RateLimitConfig>,
    /// What changes in the heads of the requests.
    pub request_headers: HeaderEdits,
    /// What changes in the heads of the responses.
    pub response_headers: HeaderEdits,
    /// Largest request body, 0 for no limit; `None` for what the upstream says.
    pub max_body_bytes: Option<u64>,
}

impl RouteConfig {
    /// Makes a route for every request.
    pub fn new(action: ActionConfig) -> Self {
        Self {
            listener: None,
            when: Condition::All(Vec::new()),
            action,
            rate_limits: Vec::new(),
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            max_body_bytes: None,
        }
    }

    /// Makes a route for every request to the upstream of this name.
    pub fn to(upstream: impl Into<String>) -> Self {
        Self::new(ActionConfig::Upstream(upstream.into()))
    }
}

pub(super) const PART: Part = Part {
    title: "[[route]]",
    header: "#[[route]]",
    doc: "Which requests go where. Routes are tried in order; the first whose conditions all hold decides. A condition\n\
        with a list holds when one of the list does. A route without conditions takes everything that is left.\n\
        Without routes, everything goes to the only upstream; with routes, what none of them takes gets 404.",
    keys: &[
        example("listener", "\"web\"", "Only requests of this listener."),
        example(
            "host",
            "\"*.example.com\"",
            "Only this host, without port: \"example.com\", \"*.example.com\" for every name below it, or \"ws*\" for every\n\
             name that begins so.",
        ),
        example(
            "path",
            "\"/socket.io/\"",
            "Only this path. Paths are compared in their plain form: \"/%73ocket.io//a/..\" is \"/socket.io/\".",
        ),
        example(
            "path_prefix",
            "\"/socket.io\"",
            "Only paths that begin with this; \"/haproxy?stats\" is a path and the beginning of its query.",
        ),
        example(
            "header",
            "\"Upgrade: websocket\"",
            "Only requests with this header: \"Name\" for any value, \"Name: value\" for a line or a comma-separated member\n\
             of it that is equal ignoring case, \"Name: beginning*\" for one that begins so.",
        ),
        example("method", "[\"GET\", \"POST\"]", "Only this method."),
        example(
            "query",
            "\"transport=websocket\"",
            "Only requests with this query parameter: \"name\" for any value, or \"name=value\"; percent-decoded.",
        ),
        example(
            "source",
            "[\"10.0.0.0/8\"]",
            "Only clients of these networks: the address behind \"trusted\" proxies, if there are any.",
        ),
        example(
            "all",
            "[{ header = \"Origin\" }, { header = \"Upgrade\" }]",
            "Conditions that all hold, where one key is needed twice.",
        ),
        example(
            "any",
            "[{ path_prefix = \"/socket.io\" }, { header = \"Upgrade: websocket\" }]",
            "Conditions of which one holds. Within one of them, all keys must hold.",
        ),
        example("not", "{ source = \"10.9.0.0/16\" }", "Conditions that do not all hold."),
        example("upstream", "\"app\"", "The name of the upstream that the requests go to."),
        example(
            "request_headers",
            "{ set = { X-Forwarded-Proto = \"https\" }, add = { Via = \"limpet\" }, remove = [\"X-Debug\"] }",
            "What changes in requests: \"set\" replaces every line of a name, \"add\" adds one, \"remove\" takes all away.\n\
             In values, %{client} is the client's address, %%{ a literal %{.",
        ),
        example(
            "response_headers",
            "{ set = { X-Served-By = \"%{endpoint}\" }, remove = [\"X-Powered-By\"] }",
            "What changes in responses of endpoints, 101 too, and in those that the route serves; not in limpet's errors.\n\
             Here there is %{endpoint} too: the endpoint that answered.",
        ),
        example(
            "max_body",
            "\"20MiB\"",
            "Largest request body; larger ones get 413. \"0\" for no limit. By default what the upstream says.",
        ),
        table("rate_limit"),
        table("serve"),
        table("to"),
        table("status"),
        table("body"),
        table("content_type"),
        table("stats"),
    ],
};

/// A route that redirects, for the printed file.
pub(super) const REDIRECT_PART: Part = Part {
    title: "[[route]]",
    header: "#[[route]]",
    doc: "A route can send clients elsewhere instead.",
    keys: &[
        example("serve", "\"redirect\"", "Send clients elsewhere."),
        example(
            "to",
            "\"https://%{host}%{path}%{query}\"",
            "Where: a URL or a path. %{host} is the host that was asked for without port, %{authority} the same with port,\n\
             %{path} and %{query} are what was sent (the query with its \"?\"), %{client} is the client's address.",
        ),
        default("status", "302", "301, 302, 303, 307 or 308. Browsers remember 301 and 308."),
        example("path_prefix", "\"/old\"", "A condition, as above."),
    ],
};

/// A route that answers, for the printed file.
pub(super) const RESPOND_PART: Part = Part {
    title: "[[route]]",
    header: "#[[route]]",
    doc: "A route can answer by itself too.",
    keys: &[
        example("serve", "\"respond\"", "Answer by itself."),
        default("status", "200", "200 to 599."),
        example("body", "\"down for an hour\"", "The body, at most 64KiB; empty by default."),
        default("content_type", "\"text/plain; charset=utf-8\"", "The type of the body."),
        example("path", "\"/maintenance\"", "A condition, as above."),
    ],
};

/// A route that shows statistics, for the printed file.
pub(super) const STATS_PART: Part = Part {
    title: "[[route]]",
    header: "#[[route]]",
    doc: "A route can show statistics: with HAProxy's columns, and behind \";csv\" and \";json\" for programs.",
    keys: &[
        example("serve", "\"stats\"", "Show statistics."),
        example(
            "stats",
            stats::DEFAULTS,
            "What the page is like; these are the defaults. \"auth\" has \"user:password\" of each who may see it, everybody\n\
             if there are none; \"refresh\" is the time after which browsers load it anew.",
        ),
        example("path_prefix", "\"/haproxy?stats\"", "A condition, as above."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<RouteConfig> {
    let table = reader.table(entry, "[[route]]")?;
    let mut route = RouteConfig::to("");
    let mut action = action::Draft::default();
    let mut all = Vec::new();
    let it = &mut route;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "listener" => it.listener = reader.value(entry, value::name),
        "rate_limit" => rate_limit::read(reader, entry, &mut it.rate_limits),
        "request_headers" => header_edits::read(reader, entry, Side::Request, &mut it.request_headers),
        "response_headers" => header_edits::read(reader, entry, Side::Response, &mut it.response_headers),
        "max_body" => it.max_body_bytes = reader.value(entry, value::body_bytes),
        _ if action.read(reader, entry) => {}
        _ => condition::read(reader, entry, &mut all),
    });
    route.when = Condition::All(all);
    route.action = action.finish(reader, entry);
    if route.action.upstream().is_none() {
        check_served(reader, entry, &route);
    }
    Some(route)
}

/// Finds what has no meaning where no endpoint is asked.
fn check_served(reader: &mut Reader<'_>, entry: Entry<'_>, route: &RouteConfig) {
    if !route.request_headers.is_empty() {
        let path = format!("{}.request_headers", entry.path);
        reader.complain(Entry { path: &path, ..entry }, "changes requests that no endpoint sees; leave it out");
    }
    let edits = &route.response_headers;
    if edits.set.iter().chain(&edits.add).any(|(_, value)| value.has(Place::Endpoint)) {
        let path = format!("{}.response_headers", entry.path);
        reader.complain(Entry { path: &path, ..entry }, "names %{endpoint}, but no endpoint answers here");
    }
}
