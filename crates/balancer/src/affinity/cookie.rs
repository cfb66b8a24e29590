//! What a cookie says about a request's endpoint, and what the response says back: HAProxy's `cookie` directive.
//!
//! [`Cookie::read`] takes the request's side, [`answer`] the response's. Between them lies [`Said`], which the request
//! carries. Several pairs and headers may have the cookie's name: the first one that names a usable endpoint counts, the
//! others only leave their letter in the log.

pub mod answer;
pub mod learned;
pub mod plain;
pub mod sealed;
#[cfg(test)]
mod tests;
pub mod watch;

use std::sync::Arc;

use limpet_proto::http1::cookie::{self, Change, Pair};
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::Lines;

use self::learned::LearnedCookies;
use self::sealed::{CookieKeys, Place};
use self::watch::Watch;
use super::modes::Named;
use crate::config::{CookieAffinity, CookieMode, CookieValue};
use crate::table::Seconds;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, EndpointId};

/// How far a date may lie in the future, in seconds, so that a wrong time zone is forgiven.
const FUTURE: i64 = 86_400;

/// A cookie mode, ready for use.
#[derive(Debug)]
pub struct Cookie {
    config: CookieAffinity,
    /// The values of the application's cookie, in mode `learn`.
    learned: Option<LearnedCookies>,
    watch: Watch,
}

/// What the request said: kept until its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// What was found; HAProxy's first letter.
    pub found: Found,
    /// The usable endpoint that was named.
    pub endpoint: Option<EndpointId>,
    /// The time of first use in seconds since 1970, 0 for none.
    pub first: u32,
    /// The time of last use in seconds since 1970, 0 for none.
    pub last: u32,
    /// Whether the value should be made anew, since a key that no longer signs has made it.
    pub old_key: bool,
}

/// What was found in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// No cookie of this name.
    #[default]
    None,
    /// One that names no endpoint.
    Invalid,
    /// One whose endpoint is down, in maintenance or gone.
    Down,
    /// One whose endpoint is usable.
    Valid,
    /// One that was not used for too long.
    Expired,
    /// One that was made too long ago.
    Old,
    /// One more after that which counts.
    Unused,
}

impl Found {
    /// Returns HAProxy's letter.
    pub fn letter(self) -> char {
        match self {
            Self::None => 'N',
            Self::Invalid => 'I',
            Self::Down => 'D',
            Self::Valid => 'V',
            Self::Expired => 'E',
            Self::Old => 'O',
            Self::Unused => 'U',
        }
    }
}

/// What has to change in the Cookie headers before the endpoint sees them.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    name: &'a [u8],
    cut: bool,
}

impl Edit<'_> {
    /// Writes the Cookie headers with the change: the pair is gone, or has lost what was put before its value.
    pub fn write(&self, lines: &Lines<'_, '_>, out: &mut Vec<u8>) {
        let change = |pair: &Pair<'_>| match memchr::memchr(b'~', pair.value) {
            _ if pair.name != self.name => Change::Keep,
            _ if !self.cut => Change::Remove,
            Some(end) => Change::CutFront(end + 1),
            None => Change::Keep,
        };
        for header in lines.all(Known::Cookie) {
            let start = out.len();
            out.extend_from_slice(b"Cookie: ");
            if cookie::change(header, change, out) {
                out.extend_from_slice(b"\r\n");
            } else {
                out.truncate(start);
            }
        }
    }
}

/// What reading needs to know of its surroundings.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The upstream of the matched route.
    pub upstream: &'a Upstream,
    /// Its endpoints of this moment.
    pub endpoints: &'a [Arc<Endpoint>],
    /// The keys of signed values.
    pub keys: &'a CookieKeys,
    /// The time, in seconds since the process began.
    pub now: Seconds,
    /// The time, in seconds since 1970.
    pub unix: u32,
}

impl Cookie {
    /// Makes the mode.
    pub fn new(config: &CookieAffinity) -> Self {
        let learned = (config.mode == CookieMode::Learn)
            .then(|| LearnedCookies::new(config.capacity, Seconds::lasting(config.learned_idle())));
        Self { config: config.clone(), learned, watch: Watch::default() }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &CookieAffinity {
        &self.config
    }

    /// Returns what notices a cookie that binds nobody.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Returns the memory of mode `learn`.
    pub fn learned(&self) -> Option<&LearnedCookies> {
        self.learned.as_ref()
    }

    /// Reads the request's cookies. Gives the endpoint that they name, and what has to change in them.
    pub fn read(&self, lines: &Lines<'_, '_>, around: Surroundings<'_>) -> (Said, Named, Option<Edit<'_>>) {
        let (mut said, mut named) = (Said::default(), Named::Nothing);
        let mut changes = false;
        for pair in lines.all(Known::Cookie).flat_map(cookie::pairs) {
            if pair.name != self.config.name.as_bytes() {
                continue;
            }
            changes |= match self.config.mode {
                CookieMode::Insert => self.config.indirect,
                CookieMode::Prefix => pair.value.contains(&b'~'),
                CookieMode::Rewrite | CookieMode::Learn => false,
            };
            self.read_value(pair.value, around, &mut said, &mut named);
        }
        let edit = Edit { name: self.config.name.as_bytes(), cut: self.config.mode == CookieMode::Prefix };
        (said, named, changes.then_some(edit))
    }

    /// Reads one value, in the order of HAProxy: too old, idle for too long, and then the endpoints.
    fn read_value(&self, value: &[u8], around: Surroundings<'_>, said: &mut Said, named: &mut Named) {
        let value = match self.config.mode {
            CookieMode::Prefix => memchr::memchr(b'~', value).map_or(value, |end| &value[..end]),
            _ => value,
        };
        let named_by = match (&self.learned, self.config.value) {
            (Some(learned), _) => learned.find(value, around.now).map_or(NamedBy::Nobody, NamedBy::Id),
            (None, CookieValue::Signed) => {
                let place = Place { name: &self.config.name, upstream: around.upstream.name() };
                match around.keys.open(place, value) {
                    Some((sealed, old_key)) => {
                        if said.endpoint.is_none() {
                            (said.first, said.last, said.old_key) = (sealed.first, sealed.last, old_key);
                        }
                        NamedBy::Id(sealed.endpoint)
                    }
                    None => NamedBy::Nobody,
                }
            }
            (None, CookieValue::Plain) => {
                let (id, last, first) = match self.config.mode {
                    CookieMode::Prefix => (value, 0, 0),
                    _ => plain::split(value),
                };
                if last != 0 {
                    said.last = last;
                }
                if first != 0 {
                    said.first = first;
                }
                NamedBy::Text(id)
            }
        };
        if let Some(expired) = self.expired(said, around.unix) {
            *said = Said { found: expired, endpoint: said.endpoint, ..Said::default() };
            return;
        }
        if said.endpoint.is_some() {
            said.found = Found::Unused;
            return;
        }
        match find(named_by, around) {
            Named::Usable(endpoint) => {
                said.found = Found::Valid;
                said.endpoint = Some(endpoint.id());
                *named = Named::Usable(endpoint);
            }
            Named::Gone(id) => {
                said.found = Found::Down;
                *named = Named::Gone(id);
            }
            _ if matches!(said.found, Found::Down | Found::Expired | Found::Old) => {}
            _ => said.found = Found::Invalid,
        }
    }

    /// Returns whether the times say that the cookie counts no longer, and which of them.
    fn expired(&self, said: &Said, unix: u32) -> Option<Found> {
        let is_past = |time: u32, limit: Option<std::time::Duration>| {
            let age = i64::from(unix) - i64::from(time);
            limit.is_some_and(|limit| time != 0 && (age > i64::from(Seconds::lasting(limit).0) || age < -FUTURE))
        };
        if self.learned.is_some() {
            None
        } else if is_past(said.first, self.config.max_life) {
            Some(Found::Old)
        } else if is_past(said.last, self.config.max_idle) {
            Some(Found::Expired)
        } else {
            None
        }
    }
}

/// How a value names an endpoint.
#[derive(Clone, Copy)]
enum NamedBy<'a> {
    Nobody,
    Id(EndpointId),
    Text(&'a [u8]),
}

/// Finds the first usable endpoint that is named, or one that is not usable.
fn find(by: NamedBy<'_>, around: Surroundings<'_>) -> Named {
    match by {
        NamedBy::Nobody | NamedBy::Text(b"") => Named::Nothing,
        NamedBy::Id(id) => {
            let found = around.endpoints.iter().find(|endpoint| endpoint.id() == id);
            match found.filter(|endpoint| around.upstream.takes_bound(endpoint)) {
                Some(endpoint) => Named::Usable(Arc::clone(endpoint)),
                None => Named::Gone(id),
            }
        }
        NamedBy::Text(text) => find_plain(text, around),
    }
}

/// Finds the first usable endpoint with this plain id, or else one that is not usable.
pub(super) fn find_plain(text: &[u8], around: Surroundings<'_>) -> Named {
    let any_configured = plain::any_configured(around.endpoints);
    let has_id = |endpoint: &&Arc<Endpoint>| match endpoint.cookie() {
        Some(cookie) => cookie.as_bytes() == text,
        None => !any_configured && plain::id(endpoint, false).is_some_and(|id| id.as_bytes() == text),
    };
    let mut same = around.endpoints.iter().filter(has_id);
    match same.clone().find(|endpoint| around.upstream.takes_bound(endpoint)) {
        Some(endpoint) => Named::Usable(Arc::clone(endpoint)),
        None => same.next().map_or(Named::Nothing, |endpoint| Named::Gone(endpoint.id())),
    }
}
