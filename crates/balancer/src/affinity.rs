//! What binds a session to an endpoint.
//!
//! An Engine.IO session lives in the process that opened it, and every later request of it must get there. The request
//! names the session by its sid; four things turn the sid into an endpoint, in this order:
//!
//! 1. **Tag.** The sid of a version 4 handshake leaves with a suffix that says, for those who have the key, which
//!    endpoint it belongs to ([`tag`], [`key`]). No memory, no cookie, any balancer.
//! 2. **Learned.** A version 3 client shows its sid to the application, so that it must not change; nor can a
//!    handshake be tagged whose body cannot be read to its end. Such a sid is remembered ([`learned`]).
//! 3. **Located.** A version 3 sid that nobody remembers, after a restart say, is offered to the endpoints in turn. The
//!    one that knows it answers, and is learned.
//! 4. **Unknown.** Anything else gets the error by which the client opens a new session at once.
//!
//! An endpoint is named by its [`EndpointId`] and looked up in the upstream of
//! the matched route. One that is no longer there makes its sids unknown.
//!
//! A request without a sid follows the other modes of its upstream in their order ([`modes`]): a cookie ([`cookie`]),
//! Apache's route ([`sticky_session`]), the client's address ([`remembered`], or hashed), a header, a query parameter
//! or the path. So does a version 4 sid that no endpoint is known to have: without a tag it cannot be told from one
//! that another balancer has learned.
//!
//! Beside this, and never needed for it, [`session`] keeps a record of each session seen, so that load can be counted
//! in sessions and shown; [`user_agent`] keeps those records small.

pub mod cookie;
pub mod key;
pub mod learned;
pub mod modes;
pub mod remembered;
pub mod session;
pub mod sticky_session;
pub mod tag;
pub mod user_agent;

use std::sync::{Arc, Weak};

use limpet_proto::engineio::Version;

use self::modes::Choice;
use self::tag::TagKeys;
use crate::clock;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, EndpointId};

/// Where a request is to go.
#[derive(Debug)]
pub enum Plan {
    /// To this endpoint, which has its session.
    Bound(Arc<Endpoint>),
    /// To the endpoint that is chosen for it, or another one when that fails.
    Balance(Choice),
    /// To the endpoint that turns out to have its session.
    Locate,
    /// Nowhere: no endpoint has its session.
    Unknown,
}

/// What a sid says about its session.
#[derive(Debug)]
pub struct Binding<'a> {
    /// Where the request is to go.
    pub plan: Plan,
    /// The sid as the endpoint knows it.
    pub sid: Option<&'a str>,
    /// How the plan was made, for the access log.
    pub evidence: Evidence,
}

impl Binding<'_> {
    /// Makes the binding of a request without a sid.
    pub fn by(choice: Choice, evidence: Evidence) -> Self {
        Self { plan: Plan::Balance(choice), sid: None, evidence }
    }
}

/// How a request was bound to its endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// It was not.
    #[default]
    None,
    /// By the tag of its sid.
    Tag,
    /// By a sid that was learned.
    Learned,
    /// By asking the endpoints.
    Located,
    /// Its sid is not known.
    Unknown,
    /// By a cookie.
    Cookie,
    /// By Apache's route.
    StickySession,
    /// By the address of its client.
    Client,
    /// By a header.
    Header,
    /// By a query parameter.
    Query,
    /// By its path.
    Path,
}

impl Evidence {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Tag,
        Self::Learned,
        Self::Located,
        Self::Unknown,
        Self::Cookie,
        Self::StickySession,
        Self::Client,
        Self::Header,
        Self::Query,
        Self::Path,
    ];

    /// Returns the name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tag => "tag",
            Self::Learned => "learned",
            Self::Located => "located",
            Self::Unknown => "unknown",
            Self::Cookie => "cookie",
            Self::StickySession => "stickysession",
            Self::Client => "client",
            Self::Header => "header",
            Self::Query => "query",
            Self::Path => "path",
        }
    }

    /// Returns whether the request was bound by its sid.
    pub fn is_sid(self) -> bool {
        matches!(self, Self::Tag | Self::Learned | Self::Located | Self::Unknown)
    }
}

/// The last tag that came on a connection. A session's polls tend to share a connection, and comparing a tag costs a
/// fraction of opening it.
#[derive(Debug, Default)]
pub struct LastTag(Option<Opened>);

#[derive(Debug)]
struct Opened {
    tagged: Box<str>,
    sid_bytes: usize,
    endpoint: EndpointId,
    /// The keys that opened it; after a change of keys it must be opened anew.
    keys: Weak<TagKeys>,
}

impl LastTag {
    fn open<'a>(&mut self, keys: &Arc<TagKeys>, tagged: &'a str) -> Option<(&'a str, EndpointId)> {
        if let Some(last) = &self.0
            && *last.tagged == *tagged
            && Weak::as_ptr(&last.keys) == Arc::as_ptr(keys)
        {
            return Some((&tagged[..last.sid_bytes], last.endpoint));
        }
        let (sid, endpoint) = keys.open(tagged)?;
        let keys = Arc::downgrade(keys);
        self.0 = Some(Opened { tagged: tagged.into(), sid_bytes: sid.len(), endpoint, keys });
        Some((sid, endpoint))
    }
}

/// Binds a request with a sid to the endpoint that has the session; `otherwise` says where the other modes send it.
pub fn bind<'a>(
    upstream: &Upstream,
    keys: &Arc<TagKeys>,
    last: &mut LastTag,
    sid: &'a str,
    version: Version,
    otherwise: (Choice, Evidence),
) -> Binding<'a> {
    let (sid, id, evidence) = match last.open(keys, sid) {
        Some((original, id)) => (original, Some(id), Evidence::Tag),
        None => (sid, upstream.learned.find(sid, clock::coarse()), Evidence::Learned),
    };
    let known = id.and_then(|id| upstream.find(id));
    let (plan, evidence) = match (known, version) {
        (Some(endpoint), _) => (Plan::Bound(endpoint), evidence),
        // Version 4 sids are tagged or learned: one that is neither is of no session here.
        (None, Version::V3) if id.is_none() => (Plan::Locate, Evidence::Unknown),
        (None, _) if id.is_none() && otherwise.1 != Evidence::None => (Plan::Balance(otherwise.0), otherwise.1),
        (None, _) => (Plan::Unknown, Evidence::Unknown),
    };
    Binding { plan, sid: Some(sid), evidence }
}

#[cfg(test)]
mod tests {
    use super::key::{KeyRing, generate_line};
    use super::*;

    #[test]
    fn the_last_tag_is_believed_only_whole_and_under_the_same_keys() {
        let keys = || Arc::new(TagKeys::new(&KeyRing::parse(&generate_line(1), "test").unwrap()));
        let (ours, foreign) = (keys(), keys());
        let id = EndpointId([1; 6]);
        let suffix = String::from_utf8(ours.suffix("abc", id).to_vec()).unwrap();
        let tagged = format!("abc{suffix}");
        let mut last = LastTag::default();
        for _ in 0..2 {
            assert_eq!(last.open(&ours, &tagged), Some(("abc", id)));
            assert_eq!(last.open(&foreign, &tagged), None);
            assert_eq!(last.open(&ours, &format!("abd{suffix}")), None);
            assert_eq!(last.open(&ours, &tagged[..tagged.len() - 1]), None);
        }
    }
}
