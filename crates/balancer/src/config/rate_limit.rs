//! `rate_limit` of a route: how many requests may come in a time.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use toml::de::DeValue;

use super::part::{Part, default, example};
use super::reader::{Entry, Reader, kind, unread};
use super::value::{self, Parsed};
use crate::limit::bucket::{Flow, REQUEST};
use crate::limit::rate::MAX_LIMITS;

/// The largest burst: what its excess is counted in fits 32 bits.
const MAX_BURST: u32 = 1_000_000;

/// The most keys: 1 GiB.
const MAX_KEYS: usize = 10_000_000;

/// How many requests may come in a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitConfig {
    /// What is counted together.
    pub per: RateKey,
    /// How many may come.
    pub rate: Rate,
    /// How many more may come at once.
    pub burst: u32,
    /// How many of the burst do not wait; `None` if none of it waits.
    pub delay: Option<u32>,
    /// The status of the others.
    pub status: u16,
    /// How many keys are remembered, at 47 to 93 bytes each; of more, those not seen for long are forgotten.
    pub keys: usize,
}

/// What a rate limit counts together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RateKey {
    /// The requests of one client address.
    #[default]
    Client,
    /// All requests of the route.
    Route,
    /// The requests with the same value of this header; those without it are not counted.
    Header(String),
}

/// A number of requests in a time: thousandths of a request per second, rounded down as nginx does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub NonZeroU32);

impl RateLimitConfig {
    /// Makes a limit with the documented defaults.
    pub fn new(per: RateKey, rate: Rate) -> Self {
        Self { per, rate, burst: 0, delay: Some(0), status: 503, keys: 65_536 }
    }

    /// Returns it in the unit of buckets.
    pub fn flow(&self) -> Flow {
        let thousandths = |requests: u32| requests.min(MAX_BURST) * REQUEST;
        Flow { rate: self.rate.0, burst: thousandths(self.burst), delay: self.delay.map(thousandths) }
    }
}

impl fmt::Display for RateLimitConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}/s per ", self.rate.0.get() / REQUEST, self.rate.0.get() % REQUEST)?;
        match &self.per {
            RateKey::Client => f.write_str("client"),
            RateKey::Route => f.write_str("route"),
            RateKey::Header(name) => write!(f, "header {name}"),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Parsed<Self> {
        let wrong =
            || format!("{text:?} is not a rate; write requests per second or minute, such as \"100/s\" or \"30/m\"");
        let (number, per) = text.split_once('/').ok_or_else(wrong)?;
        // nginx writes an r behind the number.
        let number = number.trim().strip_suffix('r').unwrap_or_else(|| number.trim());
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds = match per.trim() {
            "s" => 1,
            "m" => 60,
            _ => return Err(wrong()),
        };
        let thousandths = number.saturating_mul(u64::from(REQUEST)) / seconds;
        match u32::try_from(thousandths).ok().and_then(NonZeroU32::new) {
            Some(rate) => Ok(Self(rate)),
            None => Err(format!("{text:?} is out of range; rates are from \"1/m\" to \"4000000/s\"")),
        }
    }
}

pub(super) const PART: Part = Part {
    title: "rate_limit",
    header: "#[[route.rate_limit]]",
    doc: "How many requests of a route may come in a time, as nginx's limit_req: a leaky bucket per key.\n\
        Several apply in order. Also rate_limit = { per = \"client\", rate = \"100/s\" } within a route.",
    keys: &[
        default(
            "per",
            "\"client\"",
            "What is counted together: \"client\" (the address, behind trusted proxies too), \"route\" (everything),\n\
             or \"header:NAME\" (the value of a header; requests without it are not counted).",
        ),
        example("rate", "\"100/s\"", "Requests per second or per minute: \"100/s\", \"30/m\". Required."),
        default("burst", "0", "How many requests ahead of the rate are taken. Others are refused."),
        default(
            "delay",
            "0",
            "How many requests ahead of the rate pass at once. Those above, up to the burst, wait so that the rate holds.",
        ),
        example("nodelay", "true", "No request of the burst waits; instead of delay."),
        default("status", "503", "The status of refused requests, 400 to 599; 429 says why. Retry-After says when."),
        default(
            "keys",
            "65536",
            "How many keys are remembered, at up to 93 bytes each. Of more, those not seen for long are forgotten.",
        ),
    ],
};

/// Reads one table or a list of them.
pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, limits: &mut Vec<RateLimitConfig>) {
    limits.clear();
    match entry.value {
        DeValue::Array(items) if items.len() > MAX_LIMITS => {
            reader.complain(entry, format!("{} limits are too many; a route has at most {MAX_LIMITS}", items.len()));
        }
        DeValue::Array(items) => {
            reader.items(entry, items, |reader, item| limits.extend(read_one(reader, item)));
        }
        DeValue::Table(_) => limits.extend(read_one(reader, entry)),
        other => reader.complain(
            entry,
            format!("expected a table, found {}; write {{ per = \"client\", rate = \"100/s\" }}", kind(other)),
        ),
    }
}

fn read_one(reader: &mut Reader<'_>, entry: Entry<'_>) -> Option<RateLimitConfig> {
    let table = reader.table(entry, "{ per = \"client\", rate = \"100/s\" }")?;
    let mut rate = None;
    let mut delay = None;
    let mut nodelay = false;
    let mut limit = RateLimitConfig::new(RateKey::Client, Rate(NonZeroU32::MIN));
    let it = &mut limit;
    reader.part(&PART, entry.path, table, |reader, entry| match entry.key {
        "per" => reader.set(entry, per, &mut it.per),
        "rate" => rate = Some(reader.value(entry, Rate::from_str)),
        "burst" => reader.set(entry, burst, &mut it.burst),
        "delay" => delay = reader.value(entry, burst),
        "nodelay" => reader.set(entry, value::switch, &mut nodelay),
        "status" => reader.set(entry, status, &mut it.status),
        "keys" => reader.set(entry, keys, &mut it.keys),
        _ => unread(reader, entry),
    });
    match (nodelay, delay) {
        (true, Some(1..)) => reader.complain(entry, "has delay and nodelay; keep one of them"),
        (true, _) => limit.delay = None,
        (false, delay) => limit.delay = Some(delay.unwrap_or(0)),
    }
    match rate {
        None => reader.complain(entry, "lacks its rate; write for example rate = \"100/s\""),
        Some(rate) => limit.rate = rate?,
    }
    Some(limit)
}

fn per(text: &str) -> Parsed<RateKey> {
    match text {
        "client" => return Ok(RateKey::Client),
        "route" => return Ok(RateKey::Route),
        _ => {}
    }
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.strip_prefix("header:").map(str::trim) {
        Some(name) if !name.is_empty() && name.bytes().all(is_token) => Ok(RateKey::Header(name.to_owned())),
        Some(name) => Err(format!("{name:?} is not the name of a header; write for example \"header:X-Api-Key\"")),
        None => Err(format!("{text:?} cannot be counted by; use \"client\", \"route\" or \"header:NAME\"")),
    }
}

fn burst(text: &str) -> Parsed<u32> {
    match text.parse() {
        Ok(number) if number <= MAX_BURST => Ok(number),
        _ => Err(format!("{text:?} is not a number of requests from 0 to {MAX_BURST}")),
    }
}

fn status(text: &str) -> Parsed<u16> {
    match text.parse() {
        Ok(status @ 400..=599) => Ok(status),
        _ => Err(format!("{text:?} is not the status of a refusal; write 503 or 429, or another from 400 to 599")),
    }
}

fn keys(text: &str) -> Parsed<usize> {
    match text.parse() {
        Ok(number @ 1..=MAX_KEYS) => Ok(number),
        _ => Err(format!("{text:?} is not a number of keys from 1 to {MAX_KEYS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_rounded_as_nginx_does() {
        for (text, thousandths) in [
            ("100/s", 100_000),
            ("30/m", 500),
            ("1/m", 16),
            ("10r/s", 10_000),
            ("59r/m", 983),
            (" 5 / s ", 5_000),
            ("4000000/s", 4_000_000_000),
        ] {
            assert_eq!(text.parse().map(|Rate(rate)| rate.get()), Ok(thousandths), "{text}");
        }
        for text in ["", "5", "5/h", "-1/s", "0/s", "x/s", "1.5/s", "5000000/s", "/s", "5/", "99999999999999999999/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
