//! Text with places that each request fills: `%{client}`. Environment variables have `${…}` for themselves.

use std::fmt;

use super::value::Parsed;

/// Text with places that each request fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as it is.
    Text(String),
    /// A place.
    Place(Place),
}

/// What fills a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host that is asked for, without port.
    Host,
    /// The host that is asked for, with its port if it has one.
    Authority,
    /// The path as it was sent.
    Path,
    /// The query as it was sent, with its question mark; nothing if there is none.
    Query,
    /// The client's address, behind trusted proxies too.
    Client,
    /// The endpoint that answered, as the configuration names it.
    Endpoint,
}

impl Place {
    fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Authority => "authority",
            Self::Path => "path",
            Self::Query => "query",
            Self::Client => "client",
            Self::Endpoint => "endpoint",
        }
    }
}

impl Template {
    /// Reads the place of a redirect.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub fn for_redirect(text: &str) -> Result<Self, String> {
        Self::parse(text, &[Place::Host, Place::Authority, Place::Path, Place::Query, Place::Client])
    }

    /// Makes a template of no text.
    pub(super) fn empty() -> Self {
        Self(Vec::new())
    }

    /// Returns the pieces in their order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// Reads a template with these places. `%%{` stands for a literal `%{`.
    ///
    /// # Errors
    /// What is wrong with the text, and what would be right.
    pub(super) fn parse(text: &str, places: &[Place]) -> Parsed<Self> {
        let known = || {
            let names: Vec<String> = places.iter().map(|place| format!("%{{{}}}", place.as_str())).collect();
            if names.is_empty() {
                "write \"%%{\" for a literal \"%{\"".to_owned()
            } else {
                format!("use {}", names.join(", "))
            }
        };
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("%{") {
            if let Some(before) = before.strip_suffix('%') {
                plain.push_str(before);
                plain.push_str("%{");
                rest = after;
                continue;
            }
            plain.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                return Err(format!("\"%{{{after}\" lacks its \"}}\"; write \"%%{{\" for a literal \"%{{\""));
            };
            let Some(place) = places.iter().find(|place| place.as_str() == name) else {
                return Err(format!("\"%{{{name}}}\" is not known here; {}", known()));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Place(*place));
            rest = tail;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// Returns whether a request fills this place.
    pub fn has(&self, place: Place) -> bool {
        self.0.contains(&Piece::Place(place))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(&text.replace("%{", "%%{")),
            Piece::Place(place) => write!(f, "%{{{}}}", place.as_str()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: [Place; 2] = [Place::Host, Place::Client];

    #[test]
    fn text_and_places_are_told_apart() {
        let text = |text: &str| Piece::Text(text.to_owned());
        for (template, pieces) in [
            ("", vec![]),
            ("plain 100% {x}", vec![text("plain 100% {x}")]),
            ("%{host}", vec![Piece::Place(Place::Host)]),
            ("a%{host}b%{client}", vec![text("a"), Piece::Place(Place::Host), text("b"), Piece::Place(Place::Client)]),
            ("%%{host}", vec![text("%{host}")]),
        ] {
            let parsed = Template::parse(template, &PLACES).unwrap();
            assert_eq!(parsed.pieces(), pieces, "{template}");
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn unknown_places_say_what_there_is() {
        for (template, expected) in [
            ("%{path}", "\"%{path}\" is not known here; use %{host}, %{client}"),
            ("%{}", "\"%{}\" is not known here; use %{host}, %{client}"),
            ("x%{host", "\"%{host\" lacks its \"}\"; write \"%%{\" for a literal \"%{\""),
        ] {
            assert_eq!(Template::parse(template, &PLACES), Err(expected.to_owned()));
        }
    }
}
