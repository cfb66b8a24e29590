//! A configuration in the making: what the file, the environment and the flags say so far.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;

use super::environment::{self, Lookup};
use super::error::{ConfigErrors, Origin};
use super::journal::Journal;
use super::lint::Lint;
use super::setting::{self, Setting};
use super::{Config, EndpointConfig, KeySource, check, file};

/// The name of a listener or an upstream that an environment variable or a flag makes.
pub(super) const DEFAULT_NAME: &str = "default";

/// Stands for the address of a listener until one is given.
pub(super) const UNBOUND: SocketAddr = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));

/// A configuration in the making. Later sources count before earlier ones: read the file, then the environment, then
/// the flags.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub(super) config: Config,
    /// Keys from the environment or a flag; before `key_file`.
    pub(super) keys: Option<KeySource>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) state_directory: Option<PathBuf>,
    pub(super) journal: Journal,
    /// The file has errors of the syntax, so what is missing may just not have been understood.
    pub(super) unreadable: bool,
}

impl Draft {
    /// Reads the text of a file; `name` is for errors. Variables in string values are looked up.
    pub fn from_file(name: &str, text: &str, lookup: Lookup<'_>) -> Self {
        let mut draft = Self::default();
        file::read(&mut draft, name, text, lookup);
        draft
    }

    /// Lets the `LIMPET_` variables of the environment set their values.
    pub fn apply_environment(&mut self, lookup: Lookup<'_>) {
        environment::apply(self, lookup);
    }

    /// Sets one value.
    pub fn set(&mut self, origin: Origin, setting: Setting, text: &str) {
        if let Err(message) = setting::apply(self, setting, text, &origin) {
            self.journal.complain_at(origin, "", message);
        }
    }

    /// Sets the command of the replicas of the only upstream, which is made if there is none.
    pub fn set_command(&mut self, origin: Origin, command: Vec<String>) {
        match setting::replicas_of(&mut self.config) {
            Ok(replicas) => replicas.command = command,
            Err(message) => self.journal.complain_at(origin, "", message),
        }
    }

    /// Decides whether the whole makes sense.
    ///
    /// # Errors
    ///
    /// Returns every error of all sources.
    pub fn check(self, lookup: Lookup<'_>) -> Result<Config, ConfigErrors> {
        check::check(self, lookup)
    }

    /// Decides whether the whole makes sense, and returns remarks on what does but breaks sessions, with their places.
    ///
    /// # Errors
    ///
    /// Returns every error of all sources.
    pub fn check_and_lint(self, lookup: Lookup<'_>) -> Result<(Config, Lint), ConfigErrors> {
        let journal = self.journal.clone();
        let config = check::check(self, lookup)?;
        let lint = Lint::new(&config, journal);
        Ok((config, lint))
    }

    /// Stands for an endpoint that could not be read, so that those after it keep their numbers.
    pub(super) fn wrong_endpoint() -> EndpointConfig {
        EndpointConfig::new("", 0)
    }
}
