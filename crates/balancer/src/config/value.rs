//! Turns the text of one value into its type, or into a sentence that says what would be right.
//!
//! The file, the environment and the flags all end here, so that a value means the same wherever it is written.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::suggest::nearest;
use super::{AccessLog, AdminState, Balance, DnsFamily, EndpointConfig, Hash, endpoint};

/// A value, or what is wrong with its text.
pub(super) type Parsed<T> = Result<T, String>;

const KIB: usize = 1024;
/// Longer than anything that should be waited for, and far from where adding it to a clock could overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a duration above zero.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("{text} lacks a unit; write for example \"{text}s\" or \"{text}ms\""));
    }
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is not a duration; write for example \"30s\", \"500ms\" or \"1h 30m\""))?;
    if duration.is_zero() {
        return Err("must be longer than zero".to_owned());
    }
    if duration > LONGEST {
        return Err("must be at most \"365days\"".to_owned());
    }
    Ok(duration)
}

/// Reads a size in bytes: a number, or a number with B, KiB, MiB or GiB.
pub(super) fn bytes(text: &str) -> Parsed<usize> {
    let wrong = || format!("{text:?} is not a size; write for example \"16KiB\", \"1MiB\" or a number of bytes");
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let scale = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => KIB,
        "MiB" => KIB * KIB,
        "GiB" => KIB * KIB * KIB,
        _ => return Err(wrong()),
    };
    digits.parse::<usize>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(wrong)
}

/// Reads the limit of a request head.
pub(super) fn head_bytes(text: &str) -> Parsed<usize> {
    within(bytes(text)?, KIB..=32 * KIB, "\"1KiB\"", "\"32KiB\"")
}

/// Reads the limit of a held body.
pub(super) fn held_body_bytes(text: &str) -> Parsed<usize> {
    within(bytes(text)?, 0..=64 * KIB * KIB, "0", "\"64MiB\"")
}

/// Reads the limit of a body; 0 stands for none.
pub(super) fn body_bytes(text: &str) -> Parsed<u64> {
    bytes(text).map(|bytes| bytes as u64)
}

/// Reads a number of connections.
pub(super) fn count(text: &str) -> Parsed<usize> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 0"))
}

/// Reads a number of things in a row, which may be none.
pub(super) fn times(text: &str) -> Parsed<u32> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 0"))
}

/// Reads a number of things in a row, at least one.
pub(super) fn at_least_once(text: &str) -> Parsed<u32> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{text:?} is not a whole number from 1")),
    }
}

/// Reads the weight of an endpoint, as HAProxy bounds it.
pub(super) fn weight(text: &str) -> Parsed<u32> {
    match text.parse() {
        Ok(weight) if weight <= 256 => Ok(weight),
        _ => Err(format!("{text:?} is not a weight; weights are whole numbers from 0 to 256")),
    }
}

/// Reads a number of workers; 0 stands for one per core.
pub(super) fn workers(text: &str) -> Parsed<usize> {
    match count(text)? {
        0 => Ok(super::cores()),
        number => within(number, 1..=1024, "0", "1024"),
    }
}

/// Reads a switch.
pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "true" | "on" => Ok(true),
        "false" | "off" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// Reads a path of the file system.
pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    if text.is_empty() { Err("is empty; write a path".to_owned()) } else { Ok(PathBuf::from(text)) }
}

/// Reads an address to bind. A lone port means all addresses, IPv4 and IPv6.
pub(super) fn bind(text: &str) -> Parsed<SocketAddr> {
    let port = text.strip_prefix(':').unwrap_or(text);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        let port = port.parse().map_err(|_| format!("{port} is not a port; ports go up to 65535"))?;
        return Ok(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    }
    text.parse().map_err(|_| {
        format!("{text:?} is not an address to bind; write \"IP:PORT\" or \":PORT\", such as \"0.0.0.0:8000\"")
    })
}

/// Reads the address of an endpoint.
pub(super) fn endpoint(text: &str) -> Parsed<EndpointConfig> {
    let wrong = |hint: &str| format!("{text:?} is not the address of an endpoint; {hint}");
    if let Some(name) = text.strip_prefix(endpoint::SRV) {
        return match is_host(name) {
            true => Ok(EndpointConfig::service(name)),
            false => Err(wrong("write the name of an SRV record, as in \"srv:_http._tcp.app.example\"")),
        };
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(wrong(&format!("write \"HOST:PORT\" without \"{scheme}://\"")));
    }
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:").ok_or_else(|| wrong("write \"[IPV6]:PORT\""))?;
        let host: Ipv6Addr = host.parse().map_err(|_| wrong("write \"[IPV6]:PORT\""))?;
        (host.to_string(), port)
    } else {
        let (host, port) = text.rsplit_once(':').ok_or_else(|| wrong("add a port, as in \"app01:3000\""))?;
        if host.contains(':') {
            return Err(wrong("write IPv6 addresses in brackets, as in \"[::1]:3000\""));
        }
        if !is_host(host) {
            return Err(wrong("write \"HOST:PORT\", such as \"app01:3000\""));
        }
        (host.to_owned(), port)
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok(EndpointConfig::new(host, port)),
        _ => Err(wrong("the port is a number from 1 to 65535")),
    }
}

/// Reads the address of a DNS server; port 53 if it has none.
pub(super) fn dns_server(text: &str) -> Parsed<SocketAddr> {
    text.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, 53))
        .or_else(|_| text.parse())
        .map_err(|_| format!("{text:?} is not the address of a DNS server; write \"IP\" or \"IP:PORT\""))
}

/// Reads which addresses of a name are taken.
pub(super) fn dns_family(text: &str) -> Parsed<DnsFamily> {
    word("family", text, &DnsFamily::ALL.map(|value| (value.as_str(), value)))
}

/// Reads the id of an endpoint.
pub(super) fn id(text: &str) -> Parsed<String> {
    if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is not an id; write 1 to 128 bytes without control characters"));
    }
    Ok(text.to_owned())
}

/// Reads a network. An address alone is a network of one.
pub(super) fn network(text: &str) -> Parsed<IpNet> {
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is not a network; write CIDR, such as \"10.0.0.0/8\" or \"fd00::/8\""))
}

/// Reads the host of a route, in lower case: a name, the beginning of one and `*`, or `*.` and the end of one.
pub(super) fn route_host(text: &str) -> Parsed<String> {
    let wrong = |hint| format!("{text:?} is not a host; {hint}");
    let name = text.strip_prefix("*.").or_else(|| text.strip_suffix('*')).unwrap_or(text);
    let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if bare.is_some_and(|bare| bare.parse::<Ipv6Addr>().is_ok()) {
        return Ok(text.to_ascii_lowercase());
    }
    if text == "*" {
        return Err(wrong("leave host out to match every host"));
    }
    if name.contains("://") || name.contains('/') || name.contains(':') {
        return Err(wrong("write the name alone, without scheme, port and path"));
    }
    if !is_host(name) {
        return Err(wrong("write a name such as \"example.com\" or \"*.example.com\""));
    }
    Ok(text.to_ascii_lowercase())
}

/// Reads the path prefix of a route.
pub(super) fn path_prefix(text: &str) -> Parsed<String> {
    if !text.starts_with('/') {
        return Err(format!("{text:?} is not a path; begin it with \"/\""));
    }
    if text.contains(['?', '#', ' ']) || text.chars().any(char::is_control) {
        return Err(format!("{text:?} is not a path; leave out \"?\", \"#\", spaces and control characters"));
    }
    Ok(text.to_owned())
}

/// Reads the name of a listener or an upstream, which becomes a label of logs and metrics.
pub(super) fn name(text: &str) -> Parsed<String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(fine) {
        return Err(format!("{text:?} is not a name; write 1 to 64 letters, digits, \"_\", \"-\" and \".\""));
    }
    Ok(text.to_owned())
}

/// Reads how sessions are placed.
pub(super) fn balance(text: &str) -> Parsed<Balance> {
    word("algorithm", text, &Balance::ALL.map(|value| (value.as_str(), value)))
}

/// Reads how a key becomes an endpoint.
pub(super) fn hash(text: &str) -> Parsed<Hash> {
    word("hash", text, &Hash::ALL.map(|value| (value.as_str(), value)))
}

/// Reads a duration that may be switched off, which is then zero.
pub(super) fn duration_or_off(text: &str) -> Parsed<Duration> {
    if text == "off" || text == "false" { Ok(Duration::ZERO) } else { duration(text) }
}

/// Reads what the operator wants of an endpoint.
pub(super) fn admin_state(text: &str) -> Parsed<AdminState> {
    word("state", text, &AdminState::ALL.map(|value| (value.as_str(), value)))
}

/// Reads the form of the access log.
pub(super) fn access_log(text: &str) -> Parsed<AccessLog> {
    word("form", text, &AccessLog::ALL.map(|value| (value.as_str(), value)))
}

/// A family of headers that tell endpoints about the client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFamily {
    XForwarded,
    XRealIp,
    Rfc7239,
}

/// Reads a family of headers.
pub(super) fn header_family(text: &str) -> Parsed<HeaderFamily> {
    let words = [
        ("x-forwarded", HeaderFamily::XForwarded),
        ("x-real-ip", HeaderFamily::XRealIp),
        ("rfc7239", HeaderFamily::Rfc7239),
    ];
    word("kind of header", text, &words)
}

/// Splits a list that is written as one string, at commas and white space.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

/// Tells a mistyped word what it should have been: the nearest one, or all.
pub(super) fn choices(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => one_of(candidates),
    }
}

fn one_of(candidates: &[&str]) -> String {
    match candidates {
        [only] => format!("use {only}"),
        several => format!("use one of {}", several.join(", ")),
    }
}

/// Reads one of several words.
pub(super) fn word<T: Copy>(what: &str, text: &str, words: &[(&str, T)]) -> Parsed<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        format!("unknown {what} {text:?}; {}", one_of(&known))
    })
}

fn within(number: usize, range: std::ops::RangeInclusive<usize>, low: &str, high: &str) -> Parsed<usize> {
    if range.contains(&number) { Ok(number) } else { Err(format!("must be from {low} to {high}")) }
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && !text.starts_with('.')
        && !text.contains("..")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}
