//! The modes of an upstream beside the sid: in their order, the first that names an endpoint decides.
//!
//! Cookies are read whatever decides, since the response must say something about them.

use std::net::IpAddr;
use std::sync::Arc;

use limpet_proto::http1::request_head::RequestHead;

use super::Evidence;
use super::cookie::answer::{self, Answer, Done};
use super::cookie::{self, Cookie, Edit, Surroundings};
use super::remembered::Remembered;
use super::sticky_session;
use crate::config::{Affinity, ClientAffinity, Hash, StickySessionAffinity, WhenGone};
use crate::table::Seconds;
use crate::upstream::balance::hash::KeyBuf;
use crate::upstream::endpoint::{Endpoint, EndpointId};

#[cfg(test)]
mod tests;

/// The modes of an upstream, ready for use.
#[derive(Debug)]
pub struct Modes {
    sid: bool,
    others: Box<[Mode]>,
}

#[derive(Debug)]
enum Mode {
    Cookie(Box<Cookie>),
    StickySession(StickySessionAffinity),
    Client(ClientAffinity, Option<Remembered>),
    Header(String, Hash),
    Query(String, Hash),
    Path(Hash),
}

/// What one mode says about a request.
#[derive(Debug)]
pub enum Named {
    /// Nothing.
    Nothing,
    /// This endpoint, which can take it.
    Usable(Arc<Endpoint>),
    /// This endpoint, which is down, in maintenance or no longer there.
    Gone(EndpointId),
    /// The endpoint that the hash of this key chooses.
    Hashed(Hash, KeyBuf),
}

/// Where a request without a known session is to go.
#[derive(Debug, Default)]
pub enum Choice {
    /// Anywhere, as the upstream balances.
    #[default]
    Any,
    /// To this endpoint.
    Preferred(Arc<Endpoint>),
    /// To this endpoint, which cannot take it now and must be waited for, or not at all.
    Gone(EndpointId),
    /// To the endpoint that the hash of the key chooses.
    Hashed(Hash, KeyBuf),
}

/// What a request said about its affinity, kept for its response.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// By the cookie.
    pub cookie: cookie::Said,
    /// By the route of a sticky session.
    pub route: Option<EndpointId>,
}

/// What all modes together say about a request.
#[derive(Debug, Default)]
pub struct Wish<'a> {
    /// Where it is to go.
    pub choice: Choice,
    /// Which mode has decided that.
    pub evidence: Evidence,
    /// What it said.
    pub said: Said,
    /// What changes in its cookies.
    pub edit: Option<Edit<'a>>,
}

impl Modes {
    /// Makes the modes of an upstream.
    pub fn new(modes: &[Affinity]) -> Self {
        let others = modes.iter().filter_map(|mode| match mode {
            Affinity::Sid => None,
            Affinity::Cookie(config) => Some(Mode::Cookie(Box::new(Cookie::new(config)))),
            Affinity::StickySession(config) => Some(Mode::StickySession(config.clone())),
            Affinity::Client(config) => Some(Mode::Client(config.clone(), Remembered::new(config))),
            Affinity::Header(config) => Some(Mode::Header(config.name.clone(), config.hash)),
            Affinity::Query(config) => Some(Mode::Query(config.name.clone(), config.hash)),
            Affinity::Path(hash) => Some(Mode::Path(*hash)),
        });
        Self { sid: modes.contains(&Affinity::Sid), others: others.collect() }
    }

    /// Returns whether sids bind.
    pub fn by_sid(&self) -> bool {
        self.sid
    }

    /// Returns whether Apache's routes bind.
    pub fn by_route(&self) -> bool {
        self.others.iter().any(|mode| matches!(mode, Mode::StickySession(_)))
    }

    /// Returns whether there are none beside the sid.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// Reads what the request says.
    pub fn read(&self, request: &RequestHead<'_, '_>, client: IpAddr, around: Surroundings<'_>) -> Wish<'_> {
        let mut wish = Wish::default();
        let mut decided = false;
        for mode in &self.others {
            let (named, evidence) = mode.read(request, client, around, &mut wish);
            let choice = match named {
                _ if decided => continue,
                Named::Nothing => continue,
                Named::Gone(_) if around.upstream.config().when_gone == WhenGone::Move => continue,
                Named::Gone(id) => Choice::Gone(id),
                Named::Usable(endpoint) => Choice::Preferred(endpoint),
                Named::Hashed(hash, key) => Choice::Hashed(hash, key),
            };
            (wish.choice, wish.evidence, decided) = (choice, evidence, true);
        }
        wish
    }

    /// Notes that a request of this client goes to an endpoint.
    pub fn chosen(&self, client: IpAddr, endpoint: EndpointId, now: Seconds) {
        for mode in &self.others {
            if let Mode::Client(config, Some(remembered)) = mode {
                remembered.remember(config.network(client), endpoint, now);
            }
        }
    }

    /// Changes the client's head of a response, which ends with its empty line, and returns HAProxy's letters if there is
    /// a cookie.
    pub fn write(&self, said: &Said, answer: Answer<'_>, out: &mut Vec<u8>) -> Option<[char; 2]> {
        let mut letters = None;
        for mode in &self.others {
            match mode {
                Mode::Cookie(cookie) => {
                    let done = answer::write(cookie, &said.cookie, answer, out);
                    cookie.watch().note_answer(cookie.config(), said.cookie.found, done, &answer);
                    letters = Some(answer::letters(said.cookie.found, done));
                }
                Mode::StickySession(config) => sticky_session::write(config, said.route, answer, out),
                _ => {}
            }
        }
        letters
    }

    /// Returns HAProxy's letters for a request that got no response of an endpoint, if there is a cookie.
    pub fn letters(&self, said: &Said) -> Option<[char; 2]> {
        let has_cookie = self.others.iter().any(|mode| matches!(mode, Mode::Cookie(_)));
        has_cookie.then(|| answer::letters(said.cookie.found, Done::None))
    }

    /// Frees what has expired, one shard of each memory per step.
    pub fn sweep(&self, step: usize, now: Seconds) {
        for mode in &self.others {
            match mode {
                Mode::Cookie(cookie) => {
                    if let Some(learned) = cookie.learned() {
                        learned.sweep(step, now);
                    }
                }
                Mode::Client(_, Some(remembered)) => remembered.sweep(step, now),
                _ => {}
            }
        }
    }
}

impl Mode {
    fn read<'a>(
        &'a self,
        request: &RequestHead<'_, '_>,
        client: IpAddr,
        around: Surroundings<'_>,
        wish: &mut Wish<'a>,
    ) -> (Named, Evidence) {
        match self {
            Self::Cookie(cookie) => {
                let (said, named, edit) = cookie.read(&request.lines, around);
                cookie.watch().note_request(cookie.config(), around.upstream.name(), said.found, request);
                (wish.said.cookie, wish.edit) = (said, edit);
                (named, Evidence::Cookie)
            }
            Self::StickySession(config) => {
                let named = sticky_session::read(config, request, around);
                if let Named::Usable(endpoint) = &named {
                    wish.said.route = Some(endpoint.id());
                }
                (named, Evidence::StickySession)
            }
            Self::Client(config, None) => {
                let key = KeyBuf::Address(config.network(client));
                (Named::Hashed(config.hash, key), Evidence::Client)
            }
            Self::Client(config, Some(remembered)) => {
                let id = remembered.find(config.network(client), around.now);
                let found = id.map(|id| (id, around.endpoints.iter().find(|endpoint| endpoint.id() == id)));
                let named = match found {
                    None => Named::Nothing,
                    Some((_, Some(endpoint))) if around.upstream.takes_bound(endpoint) => {
                        Named::Usable(Arc::clone(endpoint))
                    }
                    Some((id, _)) => Named::Gone(id),
                };
                (named, Evidence::Client)
            }
            Self::Header(name, hash) => {
                let value = request.lines.named(name).find(|value| !value.is_empty());
                (hashed(*hash, value.map(|value| hash.part_of_header(value))), Evidence::Header)
            }
            Self::Query(name, hash) => (hashed(*hash, parameter(request.target.query(), name)), Evidence::Query),
            Self::Path(hash) => (hashed(*hash, Some(request.target.path().as_bytes())), Evidence::Path),
        }
    }
}

/// Hashes a key; an empty one says nothing.
fn hashed(hash: Hash, key: Option<&[u8]>) -> Named {
    match key.filter(|key| !key.is_empty()) {
        Some(key) => Named::Hashed(hash, KeyBuf::Text(key.into())),
        None => Named::Nothing,
    }
}

/// Returns the first value of a query parameter, as it was sent.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a [u8]> {
    let mut parameters = query?.split('&');
    parameters.find_map(|parameter| parameter.strip_prefix(name)?.strip_prefix('=')).map(str::as_bytes)
}
