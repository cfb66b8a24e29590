//! How a command fails and which exit code that gives.

use std::io::{self, Write as _};
use std::process::ExitCode;

use limpet_balancer::config::{ConfigError, ConfigErrors, Origin};

/// Why a command did not succeed.
pub(crate) enum Failure {
    /// The configuration is wrong: exit code 2.
    Config(ConfigErrors),
    /// Something failed while running: exit code 1.
    Running(anyhow::Error),
}

impl Failure {
    /// Makes the failure of a configuration file that cannot be read.
    pub(crate) fn unreadable(file: &str, error: &io::Error) -> Self {
        let origin = Origin::File { name: file.to_owned(), line: None };
        let message = format!("cannot be read: {error}");
        Self::Config(ConfigErrors(vec![ConfigError { origin, key: String::new(), message }]))
    }

    /// Says what is wrong on standard error, one error per line, and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (text, code) = match self {
            Self::Config(errors) => (errors.to_string(), 2),
            Self::Running(error) => (format!("limpet: {}", chain(&error)), 1),
        };
        // With standard error closed, the exit code is all that is left to tell.
        let _ = writeln!(io::stderr(), "{text}");
        ExitCode::from(code)
    }
}

/// Writes an error and what caused it. Some errors say themselves what their causes say; that stands once.
fn chain(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| match cause.to_string() {
        cause if said.is_empty() => cause,
        cause if said.contains(&cause) => said,
        cause => format!("{said}: {cause}"),
    })
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}

/// Writes to standard output. A reader that has seen enough is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output").into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_stands_once() {
        let refused = || anyhow::Error::new(io::Error::other("refused"));
        assert_eq!(chain(&refused()), "refused");
        assert_eq!(
            chain(&refused().context("no connection: refused").context("--bus")),
            "--bus: no connection: refused"
        );
        assert_eq!(chain(&refused().context("no connection")), "no connection: refused");
    }
}
