//! Whether everything that is declared is used, and every route can hold.

use super::super::journal::Journal;
use super::super::{Condition, Config, HostRule, RateLimitConfig, ValueRule};

/// Upstreams and listeners that no route uses.
pub(super) fn unused(config: &Config, journal: &mut Journal) {
    for upstream in &config.upstreams {
        if config.routes.iter().all(|route| route.action.upstream() != Some(upstream.name.as_str())) {
            let message = format!("no route leads here; add [[route]] with upstream = {:?}, or drop it", upstream.name);
            journal.complain(&format!("upstream.{}", upstream.name), message);
        }
    }
    for listener in &config.listeners {
        let takes = |name: &Option<String>| name.as_ref().is_none_or(|name| *name == listener.name);
        if !config.routes.iter().any(|route| takes(&route.listener)) {
            let message = format!(
                "no route takes its requests, and all get 404; add [[route]] with listener = {:?}, or drop it",
                listener.name
            );
            journal.complain(&format!("listener.{}", listener.name), message);
        }
    }
}

/// Routes that hold for no request. Those that others hide are errors.
pub(super) fn impossible(config: &Config, journal: &mut Journal) {
    for (n, route) in (1..).zip(&config.routes) {
        let Condition::All(all) = &route.when else { continue };
        let pair = all.iter().enumerate().find_map(|(n, one)| {
            let other = all.iter().skip(n + 1).find(|other| excludes(one, other) || excludes(other, one))?;
            Some((one, other))
        });
        if let Some((one, other)) = pair {
            let message = format!("holds for no request: {one} and {other} exclude each other. Use any, or drop one");
            journal.complain(&format!("route[{n}]"), message);
        }
    }
}

/// Tells whether no request is like both. `false` where that is hard to say.
fn excludes(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (_, Condition::Not(not)) => one.implies(not),
        (Condition::Path(a), Condition::Path(b)) | (Condition::Method(a), Condition::Method(b)) => a != b,
        (Condition::PathPrefix(a), Condition::PathPrefix(b)) => {
            !a.starts_with(b.as_str()) && !b.starts_with(a.as_str())
        }
        (Condition::Host(HostRule::Exact(a)), Condition::Host(b)) => match b {
            HostRule::Exact(b) => a != b,
            HostRule::Prefix(b) => !a.starts_with(b.as_str()),
            HostRule::Below(b) => !a.ends_with(b.as_str()),
        },
        (Condition::Header(a), Condition::Header(b)) if a.name.eq_ignore_ascii_case("host") => {
            let same = a.name.eq_ignore_ascii_case(&b.name);
            matches!((&a.value, &b.value), (ValueRule::Equal(a), ValueRule::Equal(b)) if same && !a.eq_ignore_ascii_case(b))
        }
        (Condition::Source(a), Condition::Source(b)) => {
            let apart = |a: &ipnet::IpNet, b: &ipnet::IpNet| !a.contains(b) && !b.contains(a);
            a.iter().all(|a| b.iter().all(|b| apart(a, b)))
        }
        _ => false,
    }
}

/// Rate limits that others of the route leave nothing to do.
pub(super) fn limits(config: &Config, journal: &mut Journal) {
    for (n, route) in (1..).zip(&config.routes) {
        for (at, limit) in (1..).zip(&route.rate_limits) {
            let others = (1..).zip(&route.rate_limits);
            // Of two that are alike, the later one is in vain.
            let stricter = others.filter(|(other, _)| *other != at).find(|(other, stricter)| {
                is_idle_after(limit, stricter) && (*other < at || !is_idle_after(stricter, limit))
            });
            if let Some((other, stricter)) = stricter {
                let message = format!(
                    "never applies: limit {other} of the route ({stricter}) lets no more through than this one allows. \
                     Leave one out, or give this one another key or a lower rate"
                );
                journal.complain(&format!("route[{n}].rate_limit[{at}]"), message);
            }
        }
    }
}

/// Tells whether a limit neither refuses nor delays what the other one lets through.
fn is_idle_after(limit: &RateLimitConfig, stricter: &RateLimitConfig) -> bool {
    let (slack, flow) = (limit.flow(), stricter.flow());
    let waits_no_longer = match (slack.delay, flow.delay) {
        (None, _) => true,
        (Some(slack), Some(delay)) => slack >= delay,
        (Some(slack), None) => slack >= flow.burst,
    };
    limit.per == stricter.per && slack.rate >= flow.rate && slack.burst >= flow.burst && waits_no_longer
}
