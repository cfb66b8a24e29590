//! Remembers where each value of a draft came from and what is wrong with it.

use std::collections::HashMap;

use super::error::{ConfigError, ConfigErrors, Origin};

/// The origins of values and the errors found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    /// The origin of what has none of its own: the file as a whole, if there is one.
    whole: Origin,
    origins: HashMap<String, Origin>,
    errors: Vec<ConfigError>,
}

impl Journal {
    /// Names the file that all is read from.
    pub(super) fn begin_file(&mut self, name: &str) {
        self.whole = Origin::File { name: name.to_owned(), line: None };
    }

    /// Tells whether there is a file.
    pub(super) fn has_file(&self) -> bool {
        matches!(self.whole, Origin::File { .. })
    }

    /// Notes that the key stands in this line of the file.
    pub(super) fn note_line(&mut self, key: &str, line: usize) {
        if let Origin::File { name, .. } = &self.whole {
            let origin = Origin::File { name: name.clone(), line: Some(line) };
            self.note(key, origin);
        }
    }

    /// Notes where the value of the key came from; the latest counts.
    pub(super) fn note(&mut self, key: &str, origin: Origin) {
        self.origins.insert(key.to_owned(), origin);
    }

    /// Tells whether somebody gave the key a value, right or wrong.
    pub(super) fn knows(&self, key: &str) -> bool {
        self.origins.contains_key(key)
    }

    /// Tells whether there is an error about the key or something within it.
    pub(super) fn has_error(&self, key: &str) -> bool {
        let within = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
        self.errors.iter().any(|error| error.key.strip_prefix(key).is_some_and(within))
    }

    /// Tells whether there is any error.
    pub(super) fn has_any_error(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Returns the line of the key, if it came from the file.
    pub(super) fn line(&self, key: &str) -> Option<usize> {
        match self.origin(key) {
            Origin::File { line, .. } => line,
            _ => None,
        }
    }

    /// Adds an error about the key, at the place of the key or of the nearest table around it.
    pub(super) fn complain(&mut self, key: &str, message: impl Into<String>) {
        let origin = self.origin(key);
        self.complain_at(origin, key, message);
    }

    /// Adds an error about the key at this place.
    pub(super) fn complain_at(&mut self, origin: Origin, key: &str, message: impl Into<String>) {
        self.errors.push(ConfigError { origin, key: key.to_owned(), message: message.into() });
    }

    /// Adds an error at a line of the file that concerns no key.
    pub(super) fn complain_at_line(&mut self, line: Option<usize>, message: impl Into<String>) {
        let origin = match &self.whole {
            Origin::File { name, .. } => Origin::File { name: name.clone(), line },
            other => other.clone(),
        };
        self.complain_at(origin, "", message);
    }

    /// Returns the errors in the order of their lines, if there are any.
    pub(super) fn into_errors(mut self) -> Option<ConfigErrors> {
        self.errors.sort_by_key(|error| match error.origin {
            Origin::File { line, .. } => line.unwrap_or(usize::MAX),
            _ => usize::MAX,
        });
        (!self.errors.is_empty()).then_some(ConfigErrors(self.errors))
    }

    fn origin(&self, key: &str) -> Origin {
        let mut key = key;
        loop {
            if let Some(origin) = self.origins.get(key) {
                return origin.clone();
            }
            match key.rfind(['.', '[']) {
                Some(end) => key = key.get(..end).unwrap_or_default(),
                None => return self.whole.clone(),
            }
        }
    }
}
