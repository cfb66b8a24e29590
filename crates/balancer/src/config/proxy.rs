//! `accept_proxy` and `send_proxy`: the PROXY protocol on either side.

use limpet_proto::proxy_header::Version;

use super::value::{Parsed, word};

/// Which PROXY headers a listener accepts at the start of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AcceptProxy {
    /// None.
    #[default]
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
    /// Either.
    Any,
}

impl AcceptProxy {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::Off, Self::V1, Self::V2, Self::Any];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Any => "any",
        }
    }

    /// Returns whether headers of this version are accepted.
    pub fn accepts(self, version: Version) -> bool {
        match self {
            Self::Off => false,
            Self::V1 => version == Version::V1,
            Self::V2 => version == Version::V2,
            Self::Any => true,
        }
    }
}

/// Which PROXY header begins each connection to an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SendProxy {
    /// None.
    #[default]
    Off,
    /// Version 1, a line of text.
    V1,
    /// Version 2, binary.
    V2,
}

impl SendProxy {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Off, Self::V1, Self::V2];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }

    /// Returns the version that is sent, if any.
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Off => None,
            Self::V1 => Some(Version::V1),
            Self::V2 => Some(Version::V2),
        }
    }
}

/// Reads which headers are accepted.
pub(super) fn accept(text: &str) -> Parsed<AcceptProxy> {
    // A switch in the file is the text of one here.
    let text = if text == "false" { "off" } else { text };
    word("PROXY version", text, &AcceptProxy::ALL.map(|value| (value.as_str(), value)))
}

/// Reads which header is sent.
pub(super) fn send(text: &str) -> Parsed<SendProxy> {
    let text = if text == "false" { "off" } else { text };
    word("PROXY version", text, &SendProxy::ALL.map(|value| (value.as_str(), value)))
}
