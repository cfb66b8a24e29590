//! Which environment variables count, and where state is kept.

use std::path::PathBuf;

use super::draft::Draft;
use super::error::Origin;
use super::setting::Setting;

/// Looks an environment variable up; tests give their own.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where state is kept when nothing else names a place.
pub(super) const LAST_STATE_DIRECTORY: &str = "/var/lib/limpet";

const VARIABLES: [(&str, Setting); 11] = [
    ("LIMPET_LISTEN", Setting::Listen),
    ("LIMPET_UPSTREAM", Setting::Endpoints),
    ("LIMPET_ACCEPT_PROXY", Setting::AcceptProxy),
    ("LIMPET_PROXY_FROM", Setting::ProxyFrom),
    ("LIMPET_KEY_FILE", Setting::KeyFile),
    ("LIMPET_KEY", Setting::Key),
    ("LIMPET_STATE_DIRECTORY", Setting::StateDirectory),
    ("LIMPET_WORKERS", Setting::Workers),
    ("LIMPET_MAX_CONNECTIONS", Setting::MaxConnections),
    ("LIMPET_ACCESS_LOG", Setting::AccessLog),
    ("LIMPET_ADMIN", Setting::Admin),
];

/// Looks a variable up in the environment of this process; one that is not UTF-8 counts as unset.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Lets the variables of limpet set their values. Empty ones count as unset, since container files pass those on.
pub(super) fn apply(draft: &mut Draft, lookup: Lookup<'_>) {
    let given = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
    if given("LIMPET_KEY").is_some() && given("LIMPET_KEY_FILE").is_some() {
        let message = "is set together with LIMPET_KEY_FILE; set one of them";
        draft.journal.complain_at(Origin::Variable("LIMPET_KEY"), "", message);
    }
    for (name, setting) in VARIABLES {
        if let Some(value) = given(name) {
            draft.set(Origin::Variable(name), setting, value.trim());
        }
    }
}

/// Returns where state is kept: what systemd says, else the place of the XDG base directories, else `/var/lib/limpet`.
pub(super) fn state_directory(lookup: Lookup<'_>) -> PathBuf {
    let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // systemd separates several directories by colons.
    let systemd = lookup("STATE_DIRECTORY").and_then(|all| all.split(':').next().map(PathBuf::from));
    systemd
        .filter(|path| path.is_absolute())
        .or_else(|| absolute("XDG_STATE_HOME").map(|state| state.join("limpet")))
        // Daemons and containers without a home often have "/".
        .or_else(|| {
            absolute("HOME").filter(|home| home.parent().is_some()).map(|home| home.join(".local/state/limpet"))
        })
        .unwrap_or_else(|| PathBuf::from(LAST_STATE_DIRECTORY))
}
