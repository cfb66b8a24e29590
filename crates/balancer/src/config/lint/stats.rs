//! Whether those can read the numbers whom they are not for.

use super::super::journal::Journal;
use super::super::{ActionConfig, Config, ListenerConfig};

/// Shorter passwords are found by trying.
const SHORT: usize = 8;

/// Pages of statistics that the whole network can ask for, without a password or with one that is soon found.
pub(super) fn pages(config: &Config, journal: &mut Journal) {
    for (n, route) in (1..).zip(&config.routes) {
        let ActionConfig::Stats(page) = &route.action else { continue };
        let reaches = |listener: &&ListenerConfig| route.listener.as_ref().is_none_or(|name| *name == listener.name);
        let mut public = config.listeners.iter().filter(reaches).filter(|listener| !listener.bind.ip().is_loopback());
        let Some(listener) = public.next() else { continue };
        let key = format!("route[{n}].stats");
        if page.auth.is_empty() {
            let name = &listener.name;
            journal.complain(
                &key,
                format!("everybody who reaches listener {name} can read it; add auth = [\"user:password\"]"),
            );
        }
        for (user, password) in page.auth.iter().filter_map(|pair| pair.split_once(':')) {
            if password.len() < SHORT || password == user {
                journal.complain(
                    &key,
                    format!("the password of {user} is soon found by trying; take at least {SHORT} characters"),
                );
            }
        }
    }
}

/// An address for metrics that the whole network can ask.
pub(super) fn admin(config: &Config, journal: &mut Journal) {
    if let Some(address) = config.admin.filter(|address| !address.ip().is_loopback()) {
        journal.complain(
            "admin.bind",
            format!("whoever reaches {address} can read the metrics; bind it to a private address"),
        );
    }
}
