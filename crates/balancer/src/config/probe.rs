//! `[upstream.NAME.probe]`: active health evidence.

use std::ops::RangeInclusive;
use std::time::Duration;

use limpet_proto::http1::Version;
use toml::de::DeValue;

use super::part::{Part, default, example};
use super::reader::{Entry, Reader, unread};
use super::value::{self, Parsed};

/// The statuses that count as a success unless others are named, as HAProxy and Traefik have it.
const SUCCESS: RangeInclusive<u16> = 200..=399;

/// How endpoints are probed: by a connection alone, or by a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeConfig {
    /// The request; without one a connection is enough.
    pub http: Option<HttpProbe>,
    /// The port, if it is not the endpoint's own.
    pub port: Option<u16>,
    /// Time between the beginnings of two probes of an endpoint.
    pub interval: Duration,
    /// Time for one probe, from its connection to the end of its response.
    pub timeout: Duration,
    /// `interval` while results contradict the state (HAProxy's `fastinter`).
    pub fast_interval: Option<Duration>,
    /// `interval` while the endpoint is down (HAProxy's `downinter`).
    pub down_interval: Option<Duration>,
    /// Successes in a row that bring an endpoint up.
    pub rise: u32,
    /// Failures in a row that take an endpoint down.
    pub fall: u32,
    /// By how many percent each interval is longer or shorter by chance, 0 to 50 (HAProxy's `spread-checks`).
    pub spread_percent: u32,
}

/// The request of a probe, and what its response must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe {
    /// The method.
    pub method: ProbeMethod,
    /// The path, with its query if it has one.
    pub path: String,
    /// The Host header. Without one, HTTP/1.0 sends none and HTTP/1.1 sends the endpoint's name and port.
    pub host: Option<String>,
    /// The version of the request.
    pub version: Version,
    /// The statuses that count as a success.
    pub expect: Vec<RangeInclusive<u16>>,
    /// What the body must contain; at most the first 64 KiB are looked at.
    pub body: Option<String>,
    /// Whether a 404 of an endpoint that is up means that it takes no new sessions (HAProxy's `disable-on-404`).
    pub drain_on_404: bool,
}

/// The methods that probe: they change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeMethod {
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `OPTIONS`.
    Options,
}

impl ProbeMethod {
    /// Returns the name in requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }
}

impl Default for ProbeConfig {
    fn default() -> Self {
        Self {
            http: None,
            port: None,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            fast_interval: None,
            down_interval: None,
            rise: 2,
            fall: 3,
            spread_percent: 5,
        }
    }
}

impl HttpProbe {
    /// Makes a request with the documented defaults.
    pub fn new(method: ProbeMethod, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            host: None,
            version: Version::Http11,
            expect: vec![SUCCESS],
            body: None,
            drain_on_404: false,
        }
    }

    /// Returns whether this status counts as a success.
    pub fn expects(&self, status: u16) -> bool {
        self.expect.iter().any(|range| range.contains(&status))
    }
}

pub(super) const PART: Part = Part {
    title: "[upstream.NAME.probe]",
    header: "[upstream.app.probe]",
    doc: "Tries each endpoint now and then. \"probe = false\" in [upstream.app] switches it off.",
    keys: &[
        example(
            "http",
            "\"GET /health\"",
            "The request, GET, HEAD or OPTIONS. Without one a connection is enough: stock Socket.IO servers have no\n\
             health page.",
        ),
        example(
            "host",
            "\"app.example.com\"",
            "Its Host header. By default none in HTTP/1.0, and the endpoint's name and port in HTTP/1.1.",
        ),
        default("version", "\"1.1\"", "Its version, \"1.0\" or \"1.1\". HAProxy's httpchk sends 1.0."),
        default(
            "expect",
            "\"2xx-3xx\"",
            "The statuses that are a success: \"200\", \"2xx\", \"200-299,304\". All others are a failure.",
        ),
        example("body", "\"ok\"", "Text that must occur in the first 64 KiB of the body."),
        default(
            "drain_on_404",
            "false",
            "A 404 of an endpoint that is up takes new sessions from it and leaves it those it has.",
        ),
        example("port", "9000", "Another port to probe than the endpoint's own."),
        default("interval", "\"2s\"", "Time between two probes of an endpoint."),
        default("timeout", "\"1s\"", "Time for one probe, connection and response together."),
        example(
            "fast_interval",
            "\"500ms\"",
            "The interval while probes contradict the state. By default as interval.",
        ),
        example("down_interval", "\"5s\"", "The interval while the endpoint is down. By default as interval."),
        default("rise", "2", "Successes in a row that bring an endpoint up."),
        default("fall", "3", "Failures in a row that take an endpoint down."),
        default("spread", "5", "By how many percent each interval is longer or shorter by chance, 0 to 50."),
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
    let mut request = HttpProbe::new(ProbeMethod::Get, "/");
    let mut has_request = false;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "http" => {
            has_request = true;
            if let Some((method, path)) = reader.value(entry, first_line) {
                (request.method, request.path) = (method, path);
            }
        }
        "host" => request.host = reader.value(entry, host),
        "version" => reader.set(entry, version, &mut request.version),
        "expect" => {
            let mut ranges = Vec::new();
            reader.set_list(entry, statuses, &mut ranges);
            if !ranges.is_empty() {
                request.expect = ranges;
            }
        }
        "body" => request.body = reader.value(entry, body),
        "drain_on_404" => reader.set(entry, value::switch, &mut request.drain_on_404),
        "port" => probe.port = reader.value(entry, port),
        "interval" => reader.set(entry, value::duration, &mut probe.interval),
        "timeout" => reader.set(entry, value::duration, &mut probe.timeout),
        "fast_interval" => probe.fast_interval = reader.value(entry, value::duration),
        "down_interval" => probe.down_interval = reader.value(entry, value::duration),
        "rise" => reader.set(entry, value::at_least_once, &mut probe.rise),
        "fall" => reader.set(entry, value::at_least_once, &mut probe.fall),
        "spread" => reader.set(entry, percent, &mut probe.spread_percent),
        _ => unread(reader, entry),
    });
    if has_request {
        if request.method == ProbeMethod::Head && request.body.is_some() {
            reader.complain(entry, "body cannot be looked for, since a HEAD has none; write http = \"GET ...\"");
        }
        probe.http = Some(request);
    } else if request != HttpProbe::new(ProbeMethod::Get, "/") {
        reader.complain(entry, "describes a response and lacks its request; add http = \"GET /health\"");
    }
    Some(probe)
}

/// Reads a method and a path. A path alone is asked for by GET.
fn first_line(text: &str) -> Parsed<(ProbeMethod, String)> {
    let wrong = || format!("{text:?} is not a request; write GET, HEAD or OPTIONS and a path, as in \"GET /health\"");
    let (method, path) = match text.split_once(' ') {
        None => (ProbeMethod::Get, text),
        Some(("GET", path)) => (ProbeMethod::Get, path),
        Some(("HEAD", path)) => (ProbeMethod::Head, path),
        Some(("OPTIONS", path)) => (ProbeMethod::Options, path),
        Some(_) => return Err(wrong()),
    };
    let is_path = path.starts_with('/') && path.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#');
    // OPTIONS alone may ask for the whole server.
    if is_path || (path == "*" && method == ProbeMethod::Options) {
        Ok((method, path.to_owned()))
    } else {
        Err(wrong())
    }
}

fn host(text: &str) -> Parsed<String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if text.is_empty() || text.len() > 253 || !text.bytes().all(fine) {
        return Err(format!(
            "{text:?} is not a host; write a name such as \"app.example.com\", with a port if need be"
        ));
    }
    Ok(text.to_owned())
}

fn version(text: &str) -> Parsed<Version> {
    match text {
        "1.0" => Ok(Version::Http10),
        "1.1" => Ok(Version::Http11),
        _ => Err(format!("{text:?} is not a version; write \"1.0\" or \"1.1\"")),
    }
}

/// Reads a status, a class of them such as `2xx`, or a range of either.
fn statuses(text: &str) -> Parsed<RangeInclusive<u16>> {
    let wrong = || format!("{text:?} is not a status; write for example \"200\", \"2xx\" or \"200-299\"");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let read = |text: &str, rest: u16| {
        let status = match text.strip_suffix("xx") {
            Some(class) if class.len() == 1 => class.parse::<u16>().ok()? * 100 + rest,
            Some(_) => return None,
            None => text.parse().ok()?,
        };
        (100..=599).contains(&status).then_some(status)
    };
    match (read(first, 0), read(last, 99)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(wrong()),
    }
}

fn body(text: &str) -> Parsed<String> {
    if text.is_empty() || text.len() > 1024 {
        return Err("is the text that the body must contain; write 1 to 1024 bytes".to_owned());
    }
    Ok(text.to_owned())
}

fn port(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{text:?} is not a port; ports are numbers from 1 to 65535")),
    }
}

fn percent(text: &str) -> Parsed<u32> {
    match text.parse() {
        Ok(percent) if percent <= 50 => Ok(percent),
        _ => Err(format!("{text:?} is not a spread; write the percent, a whole number from 0 to 50")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_single_classes_or_ranges() {
        for (text, expected) in [
            ("200", Some(200..=200)),
            ("2xx", Some(200..=299)),
            ("200-299", Some(200..=299)),
            ("2xx-3xx", Some(200..=399)),
            ("204-3xx", Some(204..=399)),
            ("99", None),
            ("600", None),
            ("6xx", None),
            ("22xx", None),
            ("xx", None),
            ("300-200", None),
            ("-", None),
            ("200-", None),
            ("ok", None),
        ] {
            assert_eq!(statuses(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_request_cannot_bring_a_line_of_its_own() {
        for text in
            ["GET /a\r\nX: y", "GET /a HTTP/1.1", "POST /", "get /", "GET", "GET ", "GET a", "*", "GET *", "", "/#a"]
        {
            assert!(first_line(text).is_err(), "{text:?}");
        }
        for (text, method, path) in [
            ("/health?a=b", ProbeMethod::Get, "/health?a=b"),
            ("HEAD /", ProbeMethod::Head, "/"),
            ("OPTIONS *", ProbeMethod::Options, "*"),
        ] {
            assert_eq!(first_line(text), Ok((method, path.to_owned())));
        }
        for text in ["a\r\nb", "", "a b", "ü"] {
            assert!(host(text).is_err(), "{text:?}");
        }
    }
}
