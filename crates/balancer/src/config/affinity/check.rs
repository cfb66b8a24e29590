//! Decides whether the modes of an upstream make sense together.

use limpet_proto::http1::cookie::is_value;

use super::super::UpstreamConfig;
use super::super::journal::Journal;
use super::{Affinity, CookieMode, CookieValue, WhenGone};

/// Adds an error for each mode that could never count, and for each plain id that could not be written.
pub(in super::super) fn check(upstream: &UpstreamConfig, journal: &mut Journal) {
    let key = format!("upstream.{}.affinity", upstream.name);
    if journal.has_error(&key) {
        return;
    }
    for (n, mode) in (1..).zip(&upstream.affinity) {
        let before = upstream.affinity.get(..n - 1).unwrap_or_default();
        if let Some(message) = wrong_after(before, mode) {
            journal.complain(&format!("{key}[{n}]"), message);
        }
    }
    plain_ids(upstream, journal);
    when_gone(upstream, journal);
}

/// Says why a mode makes no sense after these.
fn wrong_after(before: &[Affinity], mode: &Affinity) -> Option<String> {
    let same = before.iter().any(|earlier| match (earlier, mode) {
        (Affinity::Header(a), Affinity::Header(b)) => a.name.eq_ignore_ascii_case(&b.name),
        (Affinity::Query(a), Affinity::Query(b)) => a.name == b.name,
        (a, b) => a.as_str() == b.as_str(),
    });
    if same {
        return Some("is listed twice".to_owned());
    }
    if *mode == Affinity::Sid && !before.is_empty() {
        return Some("must come first: a request with a sid can be served only where its session is".to_owned());
    }
    if let Some(earlier) = before.iter().find(|earlier| earlier.always_names()) {
        return Some(format!(
            "is never reached; {} names an endpoint for every request. Put it last",
            earlier.as_str()
        ));
    }
    let names = |mode: &Affinity| match mode {
        Affinity::Cookie(cookie) => Some(cookie.name.clone()),
        Affinity::StickySession(sticky) => Some(sticky.name.clone()),
        _ => None,
    };
    let name = names(mode)?;
    let taken = before.iter().any(|earlier| names(earlier).as_ref() == Some(&name));
    taken.then(|| format!("reads and writes the cookie {name} that another mode has already; rename one"))
}

/// Plain ids become parts of cookies: nothing in them may end what they stand in.
fn plain_ids(upstream: &UpstreamConfig, journal: &mut Journal) {
    for mode in &upstream.affinity {
        let ends = match mode {
            Affinity::Cookie(cookie) if cookie.value == CookieValue::Plain && cookie.mode == CookieMode::Prefix => '~',
            Affinity::Cookie(cookie) if cookie.value == CookieValue::Plain => '|',
            Affinity::StickySession(_) => ';',
            _ => continue,
        };
        for (n, endpoint) in (1..).zip(&upstream.endpoints) {
            let Some(cookie) = &endpoint.cookie else { continue };
            if !is_value(cookie.as_bytes()) || cookie.contains(ends) {
                let message = format!(
                    "{cookie:?} cannot stand in a cookie here; leave out blanks, quotes, commas, \";\", \"\\\" and {ends:?}"
                );
                journal.complain(&format!("upstream.{}.endpoints[{n}].cookie", upstream.name), message);
            }
        }
    }
}

/// Refuses an answer to a question that never comes up.
fn when_gone(upstream: &UpstreamConfig, journal: &mut Journal) {
    let names = upstream.affinity.iter().any(|mode| match mode {
        Affinity::Cookie(_) | Affinity::StickySession(_) => true,
        Affinity::Client(client) => client.remember.is_some(),
        _ => false,
    });
    if upstream.when_gone != WhenGone::Move && !names {
        let message = "has no effect: no mode of affinity here remembers an endpoint; sids have Engine.IO's own error";
        journal.complain(&format!("upstream.{}.when_gone", upstream.name), message);
    }
    let defaults = UpstreamConfig::new("", Vec::new());
    if upstream.when_gone != WhenGone::Wait {
        for (key, given) in [("wait", upstream.wait != defaults.wait), ("after_wait", upstream.fails_after_wait)] {
            if given {
                let key = format!("upstream.{}.{key}", upstream.name);
                journal.complain(&key, "has no effect without when_gone = \"wait\"");
            }
        }
    }
}
