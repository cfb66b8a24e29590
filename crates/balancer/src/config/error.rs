//! What is wrong with a configuration, and where.

use std::fmt;

/// Where a value came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    #[default]
    Unknown,
    /// A line of a file, counted from one; none if the error concerns the whole file.
    File {
        /// The name as the user gave it.
        name: String,
        /// The line.
        line: Option<usize>,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A flag or an argument of the command line.
    Flag(&'static str),
}

/// One error: where it is, which key it concerns and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the value came from.
    pub origin: Origin,
    /// The key, such as `upstream.chat.balance`; list items count from one. Empty if it concerns no key.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Unknown => {}
            Origin::File { name, line: Some(line) } => write!(f, "{name}:{line}: ")?,
            Origin::File { name, line: None } => write!(f, "{name}: ")?,
            // The key is how the file would spell it; whoever set a variable or a flag never saw it.
            Origin::Variable(name) | Origin::Flag(name) => return write!(f, "{name}: {}", self.message),
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Every error of a configuration, in the order of the lines. Shown with one error per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}
