//! `[[route]]`: which requests it takes, and what becomes of them.

use super::part::{Part, example, table};
use super::reader::{Entry, Reader};
use super::{ActionConfig, Condition};
use super::{condition, stats, value};

/// Which requests a route takes, and what becomes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    /// Only requests of this listener.
    pub listener: Option<String>,
    /// Only requests that are like this.
    pub when: Condition,
    /// What becomes of them.
    pub action: ActionConfig,
}

impl RouteConfig {
    /// Makes a route for every request.
    pub fn new(action: ActionConfig) -> Self {
        Self { listener: None, when: Condition::All(Vec::new()), action }
    }

    /// Makes a route for every request to the upstream of this name.
    pub fn to(upstream: impl Into<String>) -> Self {
        Self::new(ActionConfig::Upstream(upstream.into()))
    }
}

pub(super) const PART: Part = Part {
    title: "[[route]]",
    header: "#[[route]]",
    doc: "Which requests go to which upstream. Routes are tried in order; all conditions of one must hold.\n\
        Without routes, everything goes to the only upstream.\n\n\
        A route can show statistics instead, with HAProxy's columns and its \";csv\":\n\
        serve = \"stats\"\n\
        stats = { uri = \"/haproxy?stats\", realm = \"Limpet statistics\", auth = [], hide_version = false, \
        refresh = \"off\" }\n\
        uri is what path and query of its requests begin with; auth has \"user:password\" of each who may see it.",
    keys: &[
        example("listener", "\"web\"", "Only requests of this listener."),
        example("host", "\"*.example.com\"", "Only this host; \"*.example.com\" matches every name below example.com."),
        example("path_prefix", "\"/socket.io\"", "Only paths that begin with this."),
        example(
            "source",
            "[\"10.0.0.0/8\"]",
            "Only clients of these networks: the address behind \"trusted\" proxies, if there are any.",
        ),
        example("upstream", "\"app\"", "The name of the upstream."),
        table("serve"),
        table("stats"),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<RouteConfig> {
    let table = reader.table(entry, "[[route]]")?;
    let mut route = RouteConfig::to("");
    let mut all = Vec::new();
    let (mut serves, mut page) = (false, None);
    let it = &mut route;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "listener" => it.listener = reader.value(entry, value::name),
        "upstream" => it.action = ActionConfig::Upstream(reader.value(entry, value::name).unwrap_or_default()),
        "serve" => serves = reader.value(entry, value::serve).is_some(),
        "stats" => page = stats::read(reader, entry),
        _ => condition::read(reader, entry, &mut all),
    });
    if serves {
        let page = page.unwrap_or_default();
        all.push(Condition::Uri(page.uri.clone()));
        route.action = ActionConfig::Stats(page);
    } else if page.is_some() {
        reader.complain(entry, "stats has a meaning only with serve = \"stats\"");
    }
    route.when = Condition::All(all);
    Some(route)
}
