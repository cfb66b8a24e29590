//! What a route does with the requests that it takes.

use std::fmt;

use super::StatsPage;
use super::reader::{Entry, Reader};
use super::stats;
use super::template::Template;
use super::value::{self, Parsed};

/// The largest fixed body in bytes; it costs this much per request that is answered with it.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What a route does with the requests that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionConfig {
    /// Passes them on to the upstream of this name.
    Upstream(String),
    /// Sends their clients elsewhere.
    Redirect(RedirectConfig),
    /// Answers them all in the same way.
    Respond(RespondConfig),
    /// Shows what has happened, in numbers.
    Stats(StatsPage),
}

/// Where clients are sent instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectConfig {
    /// The status: 301, 302, 303, 307 or 308. 302 by default: a mistake is not remembered by browsers.
    pub status: u16,
    /// The new place: a URL or a path.
    pub to: Template,
}

/// A fixed response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RespondConfig {
    /// The status, 200 to 599; 200 by default.
    pub status: u16,
    /// The type of the body; plain text by default.
    pub content_type: String,
    /// The body; empty by default.
    pub body: String,
}

impl ActionConfig {
    /// Returns the name of the upstream, if there is one.
    pub fn upstream(&self) -> Option<&str> {
        match self {
            Self::Upstream(name) => Some(name),
            Self::Redirect(_) | Self::Respond(_) | Self::Stats(_) => None,
        }
    }
}

impl fmt::Display for ActionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => write!(f, "upstream {name}"),
            Self::Redirect(redirect) => write!(f, "redirect {} to {}", redirect.status, redirect.to),
            Self::Respond(respond) => write!(f, "respond {}", respond.status),
            Self::Stats(_) => f.write_str("statistics"),
        }
    }
}

/// What can be served beside an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serve {
    Redirect,
    Respond,
    Stats,
}

impl Serve {
    const ALL: [(&'static str, Self); 3] =
        [("redirect", Self::Redirect), ("respond", Self::Respond), ("stats", Self::Stats)];

    fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Respond => "respond",
            Self::Stats => "stats",
        }
    }

    /// Tells whether a key says something about this.
    fn has(self, key: &str) -> bool {
        match self {
            Self::Redirect => matches!(key, "to" | "status"),
            Self::Respond => matches!(key, "status" | "body" | "content_type"),
            Self::Stats => key == "stats",
        }
    }
}

/// The keys of a route's action as they are read. The outer option of a value says whether the key was there.
#[derive(Default)]
pub(super) struct Draft {
    given: Vec<&'static str>,
    upstream: Option<String>,
    serve: Option<Serve>,
    to: Option<Template>,
    status: Option<u16>,
    body: Option<String>,
    content_type: Option<String>,
    stats: Option<StatsPage>,
}

impl Draft {
    /// Reads a key; returns whether it is one of an action.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>, entry: Entry<'_>) -> bool {
        let key = match entry.key {
            "upstream" => {
                self.upstream = reader.value(entry, value::name);
                "upstream"
            }
            "serve" => {
                self.serve = reader.value(entry, |text| value::word("action", text, &Serve::ALL));
                "serve"
            }
            "to" => {
                self.to = reader.value(entry, target);
                "to"
            }
            "status" => {
                self.status = reader.value(entry, status);
                "status"
            }
            "body" => {
                self.body = reader.value(entry, body);
                "body"
            }
            "content_type" => {
                self.content_type = reader.value(entry, content_type);
                "content_type"
            }
            "stats" => {
                self.stats = stats::read(reader, entry);
                "stats"
            }
            _ => return false,
        };
        self.given.push(key);
        true
    }

    /// Decides what the keys of a route mean together. A route without action leads to an upstream without name, which
    /// the check of the whole reports.
    pub(super) fn finish(self, reader: &mut Reader<'_>, route: Entry<'_>) -> ActionConfig {
        let given = |key: &str| self.given.contains(&key);
        if given("serve") && given("upstream") {
            complain(
                reader,
                route,
                "serve",
                "a route has an upstream or serves something itself; leave one of them out",
            );
        }
        if given("serve") && self.serve.is_none() {
            // Reported already. What it was meant to be is not known.
            return ActionConfig::Respond(RespondConfig::new());
        }
        for key in ["to", "status", "body", "content_type", "stats"].into_iter().filter(|key| given(key)) {
            match self.serve {
                Some(serve) if serve.has(key) => {}
                Some(serve) => {
                    complain(reader, route, key, format!("has no meaning with serve = {:?}", serve.as_str()))
                }
                None => {
                    let with: Vec<String> = Serve::ALL
                        .iter()
                        .filter(|(_, serve)| serve.has(key))
                        .map(|(name, _)| format!("serve = {name:?}"))
                        .collect();
                    complain(reader, route, key, format!("has a meaning only with {}", with.join(" or ")));
                }
            }
        }
        match self.serve {
            None => ActionConfig::Upstream(self.upstream.unwrap_or_default()),
            Some(Serve::Redirect) => {
                if !given("to") {
                    let example = "to = \"https://%{host}%{path}%{query}\"";
                    reader
                        .complain(route, format!("serve = \"redirect\" lacks its place; write for example {example}"));
                }
                let status = self.status.unwrap_or(302);
                if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                    let message = format!("{status} is not the status of a redirect; use 301, 302, 303, 307 or 308");
                    complain(reader, route, "status", message);
                }
                ActionConfig::Redirect(RedirectConfig { status, to: self.to.unwrap_or_else(Template::empty) })
            }
            Some(Serve::Stats) => ActionConfig::Stats(self.stats.unwrap_or_default()),
            Some(Serve::Respond) => {
                let default = RespondConfig::new();
                let status = self.status.unwrap_or(default.status);
                if matches!(status, 204 | 205 | 304) && given("body") {
                    complain(reader, route, "body", format!("a response of status {status} has no body; leave it out"));
                }
                ActionConfig::Respond(RespondConfig {
                    status,
                    content_type: self.content_type.unwrap_or(default.content_type),
                    body: self.body.unwrap_or_default(),
                })
            }
        }
    }
}

impl RespondConfig {
    /// Makes a response with the documented defaults.
    pub fn new() -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8".to_owned(), body: String::new() }
    }
}

impl Default for RespondConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds an error about a key of the route.
fn complain(reader: &mut Reader<'_>, route: Entry<'_>, key: &str, message: impl Into<String>) {
    let path = format!("{}.{key}", route.path);
    reader.complain(Entry { path: &path, ..route }, message);
}

/// Reads the place of a redirect.
fn target(text: &str) -> Parsed<Template> {
    let fits = ["http://", "https://", "/", "%{path}"].iter().any(|start| text.starts_with(start));
    if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        let wrong = format!("{text:?} is not a place to redirect to");
        return Err(format!(
            "{wrong}; write a URL or a path, percent-encoded, such as \"https://%{{host}}%{{path}}%{{query}}\""
        ));
    }
    Template::for_redirect(text)
}

fn status(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(status @ 200..=599) => Ok(status),
        _ => Err(format!("{text:?} is not a status that ends a request; use one from 200 to 599")),
    }
}

fn body(text: &str) -> Parsed<String> {
    if text.len() > MAX_BODY_BYTES {
        return Err("is longer than \"64KiB\"; let an endpoint serve it".to_owned());
    }
    Ok(text.to_owned())
}

fn content_type(text: &str) -> Parsed<String> {
    let is_type = text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty());
    if !is_type || text.trim() != text || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(format!("{text:?} is not a type; write for example \"text/html; charset=utf-8\""));
    }
    Ok(text.to_owned())
}
