//! `stats = { ... }` of a `[[route]]` with `serve = "stats"`: the page of statistics.

use std::fmt;
use std::time::Duration;

use super::part::{Part, default};
use super::reader::{Entry, Reader, unread};
use super::value::{self, Parsed};

/// Who may see the page and what it shows.
#[derive(Clone, PartialEq, Eq)]
pub struct StatsPage {
    /// What browsers call it when they ask for a password.
    pub realm: String,
    /// Who may see it: `user:password` each. Everybody, if there are none.
    pub auth: Vec<String>,
    /// Whether it does not say which version runs.
    pub hide_version: bool,
    /// The time after which browsers load it anew, if they do.
    pub refresh: Option<Duration>,
}

impl Default for StatsPage {
    fn default() -> Self {
        Self { realm: "Limpet statistics".to_owned(), auth: Vec::new(), hide_version: false, refresh: None }
    }
}

/// Never shows a password.
impl fmt::Debug for StatsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.auth.iter().map(|pair| pair.split(':').next().unwrap_or_default()).collect();
        f.debug_struct("StatsPage")
            .field("realm", &self.realm)
            .field("users", &users)
            .field("hide_version", &self.hide_version)
            .field("refresh", &self.refresh)
            .finish()
    }
}

/// The page with its defaults, as the documentation of routes shows it.
pub(super) const DEFAULTS: &str =
    "{ realm = \"Limpet statistics\", auth = [], hide_version = false, refresh = \"off\" }";

/// The keys. They are printed with the routes, in one line.
pub(super) const PART: Part = Part {
    title: "stats of [[route]]",
    header: "",
    doc: "",
    keys: &[
        default("realm", "\"Limpet statistics\"", "What browsers call it when they ask for a password."),
        default("auth", "[]", "Who may see it: \"user:password\" each; everybody, if there are none."),
        default("hide_version", "false", "Whether it does not say which version runs."),
        default("refresh", "\"off\"", "The time after which browsers load it anew."),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<StatsPage> {
    let table = reader.table(entry, &format!("stats = {DEFAULTS}"))?;
    let mut page = StatsPage::default();
    let it = &mut page;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "realm" => reader.set(entry, realm, &mut it.realm),
        "auth" => reader.set_list(entry, credentials, &mut it.auth),
        "hide_version" => reader.set(entry, value::switch, &mut it.hide_version),
        "refresh" => reader.set(entry, refresh, &mut it.refresh),
        _ => unread(reader, entry),
    });
    Some(page)
}

fn realm(text: &str) -> Parsed<String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is not a realm; write a name without control characters"));
    }
    Ok(text.to_owned())
}

fn credentials(text: &str) -> Parsed<String> {
    // What is wrong may be a password, so it is not repeated.
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !text.chars().any(char::is_control) => {
            Ok(text.to_owned())
        }
        _ => Err("is not a user name and a password; write \"user:password\"".to_owned()),
    }
}

fn refresh(text: &str) -> Parsed<Option<Duration>> {
    if text == "off" { Ok(None) } else { value::duration(text).map(Some) }
}
