//! Makes the configuration of a command from its file, the environment and its flags.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use limpet_balancer::config::{Config, Draft, Lint, Origin, Setting, process_environment};

use crate::failure::Failure;

/// Flags of every command that runs the balancer; named like the keys of the file.
#[derive(Args)]
pub(crate) struct Flags {
    /// Worker threads; 0 for one per core [env: LIMPET_WORKERS]
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// Client connections in all; 0 for as many as the limit of open files allows [env: LIMPET_MAX_CONNECTIONS]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
    /// The access log on standard output: off, text or json [env: LIMPET_ACCESS_LOG]
    #[arg(long, value_name = "FORM")]
    access_log: Option<String>,
    /// Address of /metrics, /health and /ready, such as 127.0.0.1:9000; none by default [env: LIMPET_ADMIN]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// File of the keys that sign sids; "limpet key new" makes one [env: LIMPET_KEY_FILE, or LIMPET_KEY for the keys themselves]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Where a key is kept that is made because none is given [env: LIMPET_STATE_DIRECTORY]
    #[arg(long, value_name = "DIRECTORY")]
    state_directory: Option<PathBuf>,
}

impl Flags {
    /// Sets what was given.
    pub(crate) fn apply(&self, draft: &mut Draft) {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        set(draft, "--workers", Setting::Workers, self.workers.as_deref());
        set(draft, "--max-connections", Setting::MaxConnections, self.max_connections.as_deref());
        set(draft, "--access-log", Setting::AccessLog, self.access_log.as_deref());
        set(draft, "--admin", Setting::Admin, self.admin.as_deref());
        set(draft, "--key-file", Setting::KeyFile, path(&self.key_file).as_deref());
        set(draft, "--state-directory", Setting::StateDirectory, path(&self.state_directory).as_deref());
    }
}

/// Sets the value of a flag, if it was given.
pub(crate) fn set(draft: &mut Draft, flag: &'static str, setting: Setting, value: Option<&str>) {
    if let Some(value) = value {
        draft.set(Origin::Flag(flag), setting, value);
    }
}

/// Reads the file, if there is one, then the environment, then the flags, and checks the whole.
pub(crate) fn load(file: Option<&Path>, flags: impl FnOnce(&mut Draft)) -> Result<Config, Failure> {
    Ok(draft(file, flags)?.check(&process_environment)?)
}

/// As [`load`], with remarks on what is allowed and still breaks sessions.
pub(crate) fn load_and_lint(file: Option<&Path>) -> Result<(Config, Lint), Failure> {
    Ok(draft(file, |_| ())?.check_and_lint(&process_environment)?)
}

fn draft(file: Option<&Path>, flags: impl FnOnce(&mut Draft)) -> Result<Draft, Failure> {
    let mut draft = match file {
        Some(path) => {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| Failure::unreadable(&name, &error))?;
            Draft::from_file(&name, &text, &process_environment)
        }
        None => Draft::default(),
    };
    draft.apply_environment(&process_environment);
    flags(&mut draft);
    Ok(draft)
}
