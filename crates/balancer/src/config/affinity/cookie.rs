//! `{ by = "cookie" }`: a cookie names the endpoint.

use std::time::Duration;

use toml::de::DeTable;

use super::super::part::{Part, table};
use super::super::reader::{Entry, Reader, unread};
use super::super::value::{self, Parsed};
use super::{read_capacity, read_cookie_name};

/// How long a learned cookie is remembered without use, unless `max_idle` says otherwise.
const LEARNED_IDLE: Duration = Duration::from_secs(30 * 60);

/// A cookie that names the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieAffinity {
    /// The name, compared exactly.
    pub name: String,
    /// Who sets it.
    pub mode: CookieMode,
    /// What it says.
    pub value: CookieValue,
    /// Whether endpoints never see an inserted cookie, and clients get one only when they have none that is right.
    pub indirect: bool,
    /// Whether a response that could be cached is marked `private` when it sets the cookie.
    pub nocache: bool,
    /// Whether an endpoint that sets a cookie of this name itself is left alone.
    pub preserve: bool,
    /// Whether the cookie is inserted in answers to POST only.
    pub postonly: bool,
    /// Longest time without use; `None` for no limit. Of learned cookies: how long they are remembered, 30 min by default.
    pub max_idle: Option<Duration>,
    /// Longest time from the first use; `None` for no limit.
    pub max_life: Option<Duration>,
    /// Attribute `Path`.
    pub path: String,
    /// Attribute `Domain`.
    pub domain: Option<String>,
    /// Attribute `HttpOnly`.
    pub http_only: bool,
    /// Attribute `Secure`.
    pub secure: bool,
    /// Attribute `SameSite`.
    pub same_site: Option<SameSite>,
    /// Attribute `Max-Age`.
    pub max_age: Option<Duration>,
    /// How many learned cookies are remembered; each costs about 40 bytes.
    pub capacity: usize,
}

/// Who sets the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// The balancer adds a cookie of its own.
    #[default]
    Insert,
    /// The balancer replaces the value of the application's cookie.
    Rewrite,
    /// The balancer puts the endpoint and `~` before the value of the application's cookie.
    Prefix,
    /// The balancer remembers the values of the application's cookie.
    Learn,
}

/// What the cookie says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieValue {
    /// The endpoint and two times, sealed.
    #[default]
    Signed,
    /// The endpoint's plain id.
    Plain,
}

/// Attribute `SameSite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never with requests that another site makes.
    Strict,
    /// With navigations from another site.
    Lax,
    /// With every request.
    None,
}

impl SameSite {
    /// Returns the attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl CookieMode {
    pub(super) const WORDS: [(&'static str, Self); 4] =
        [("insert", Self::Insert), ("rewrite", Self::Rewrite), ("prefix", Self::Prefix), ("learn", Self::Learn)];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self as usize].0
    }
}

impl CookieAffinity {
    /// Makes an inserted cookie with the documented defaults.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            mode: CookieMode::Insert,
            value: CookieValue::Signed,
            indirect: false,
            nocache: false,
            preserve: false,
            postonly: false,
            max_idle: None,
            max_life: None,
            path: "/".to_owned(),
            domain: None,
            http_only: false,
            secure: false,
            same_site: None,
            max_age: None,
            capacity: 100_000,
        }
    }

    /// Returns how long a learned cookie is remembered without use.
    pub fn learned_idle(&self) -> Duration {
        self.max_idle.unwrap_or(LEARNED_IDLE)
    }
}

pub(super) const PART: Part = Part {
    title: "affinity by cookie",
    header: "",
    doc: "",
    keys: &[
        table("by"),
        table("name"),
        table("mode"),
        table("value"),
        table("indirect"),
        table("nocache"),
        table("preserve"),
        table("postonly"),
        table("max_idle"),
        table("max_life"),
        table("path"),
        table("domain"),
        table("http_only"),
        table("secure"),
        table("same_site"),
        table("max_age"),
        table("capacity"),
    ],
};

/// The keys that only some modes know.
const OF_MODES: [(&str, &[CookieMode]); 14] = {
    use CookieMode::{Insert, Learn, Prefix, Rewrite};
    [
        ("value", &[Insert, Rewrite, Prefix]),
        ("indirect", &[Insert, Rewrite, Prefix]),
        ("nocache", &[Insert, Rewrite, Prefix]),
        ("preserve", &[Insert]),
        ("postonly", &[Insert]),
        ("max_idle", &[Insert, Learn]),
        ("max_life", &[Insert]),
        ("path", &[Insert]),
        ("domain", &[Insert]),
        ("http_only", &[Insert]),
        ("secure", &[Insert]),
        ("same_site", &[Insert]),
        ("max_age", &[Insert]),
        ("capacity", &[Learn]),
    ]
};

pub(super) fn read(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>) -> Option<CookieAffinity> {
    let mut name = None;
    let mut cookie = CookieAffinity::new("");
    let it = &mut cookie;
    reader.part(&PART, item.path, table, |reader, entry| match entry.key {
        "by" => {}
        "name" => name = Some(reader.value(entry, read_cookie_name)),
        "mode" => reader.set(entry, |text| value::word("mode", text, &CookieMode::WORDS), &mut it.mode),
        "value" => reader.set(entry, read_value, &mut it.value),
        "indirect" => reader.set(entry, value::switch, &mut it.indirect),
        "nocache" => reader.set(entry, value::switch, &mut it.nocache),
        "preserve" => reader.set(entry, value::switch, &mut it.preserve),
        "postonly" => reader.set(entry, value::switch, &mut it.postonly),
        "max_idle" => it.max_idle = reader.value(entry, value::duration),
        "max_life" => it.max_life = reader.value(entry, value::duration),
        "path" => reader.set(entry, read_path, &mut it.path),
        "domain" => it.domain = reader.value(entry, read_domain),
        "http_only" => reader.set(entry, value::switch, &mut it.http_only),
        "secure" => reader.set(entry, value::switch, &mut it.secure),
        "same_site" => it.same_site = reader.value(entry, read_same_site),
        "max_age" => it.max_age = reader.value(entry, value::duration),
        "capacity" => reader.set(entry, read_capacity, &mut it.capacity),
        _ => unread(reader, entry),
    });
    check_mode(reader, item, table, &cookie);
    match name {
        None => reader.complain(item, "lacks its name; write { by = \"cookie\", name = \"SERVERID\" }"),
        Some(name) => cookie.name = name?,
    }
    check_attributes(reader, item, &cookie);
    (!cookie.name.is_empty()).then_some(cookie)
}

/// Refuses keys that have no effect in the cookie's mode.
fn check_mode(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>, cookie: &CookieAffinity) {
    let word = cookie.mode.as_str();
    for (key, modes) in OF_MODES {
        if table.iter().any(|(given, _)| given.get_ref() == key) && !modes.contains(&cookie.mode) {
            let known: Vec<_> =
                CookieMode::WORDS.iter().filter(|(_, mode)| modes.contains(mode)).map(|(word, _)| *word).collect();
            let message = format!("{key} has no effect with mode = \"{word}\"; it belongs to {}", known.join(", "));
            reader.complain(item, message);
        }
    }
}

/// Refuses what a browser would not keep, or what contradicts itself.
fn check_attributes(reader: &mut Reader<'_>, item: Entry<'_>, cookie: &CookieAffinity) {
    if cookie.same_site == Some(SameSite::None) && !cookie.secure {
        reader.complain(item, "browsers drop a cookie with same_site = \"none\" that is not secure; add secure = true");
    }
    let host = cookie.name.starts_with("__Host-");
    if (host || cookie.name.starts_with("__Secure-")) && cookie.mode == CookieMode::Insert && !cookie.secure {
        reader.complain(item, "browsers drop a cookie of such a name that is not secure; add secure = true");
    }
    if host && (cookie.domain.is_some() || cookie.path != "/") {
        reader.complain(item, "browsers drop a __Host- cookie with a domain or another path than \"/\"");
    }
    if let (Some(idle), Some(life)) = (cookie.max_idle, cookie.max_life)
        && idle > life
    {
        reader.complain(item, "max_idle has no effect above max_life; make it shorter or leave it out");
    }
}

fn read_value(text: &str) -> Parsed<CookieValue> {
    value::word("value", text, &[("signed", CookieValue::Signed), ("plain", CookieValue::Plain)])
}

fn read_same_site(text: &str) -> Parsed<SameSite> {
    value::word("same_site", text, &[("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)])
}

/// Reads the attribute `Path`: nothing in it may end the attribute or the header.
fn read_path(text: &str) -> Parsed<String> {
    let fine = |byte: u8| matches!(byte, 0x21..=0x7e) && byte != b';';
    if text.starts_with('/') && text.bytes().all(fine) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a path; begin it with \"/\" and leave out blanks and \";\""))
    }
}

/// Reads the attribute `Domain`.
fn read_domain(text: &str) -> Parsed<String> {
    let name = text.strip_prefix('.').unwrap_or(text);
    value::route_host(name)
        .ok()
        .filter(|host| !host.contains(['*', ':']))
        .map(|_| text.to_owned())
        .ok_or_else(|| format!("{text:?} is not a domain; write a name such as \"example.com\""))
}
