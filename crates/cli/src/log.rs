//! Decides what is logged: to standard error, from one level on.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::filter::LevelFilter;

/// The level from which on things are logged.
pub(crate) type Level = LevelFilter;

/// Reads a level. An empty one, as container files pass on for an unset variable, is the default.
pub(crate) fn level(text: &str) -> Result<Level, String> {
    match text {
        "off" => Ok(Level::OFF),
        "error" => Ok(Level::ERROR),
        "warn" => Ok(Level::WARN),
        "" | "info" => Ok(Level::INFO),
        "debug" => Ok(Level::DEBUG),
        "trace" => Ok(Level::TRACE),
        _ => Err("use one of off, error, warn, info, debug, trace".to_owned()),
    }
}

/// Starts to log.
pub(crate) fn start(level: Level) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}
