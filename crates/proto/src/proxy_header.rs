//! Decides whether a connection begins with a PROXY protocol header and what the header says, and writes such headers.
//!
//! A wrapper of the `proxy-header` crate, which reads and writes the addresses. What it adds: bytes that cannot become a header are
//! refused at once instead of being waited for, sizes are bounded, and where the crate is lax the
//! [specification](https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt) rules:
//!
//! - version 1 ports with leading zeros or a sign are refused, as is any byte that no address contains;
//! - a version 2 header with a CRC32c element that does not match is refused (section 2.2.4);
//! - of a version 2 LOCAL header everything but the length is ignored, a family of no meaning included (section 2.2);
//! - addresses of datagrams and Unix sockets are not addresses of this connection and count as unknown;
//! - elements that do not fill the header exactly are refused; with an unspecified family they are ignored instead,
//!   because nobody says that they are elements at all.

mod crc32c;
#[cfg(test)]
mod tests;
mod v1;
mod v2;
mod write;

use std::fmt;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};

pub use self::write::write;

/// Longest version 1 header in bytes, its line end included (section 2.1).
pub const MAX_V1_BYTES: usize = 107;

/// Longest version 2 header in bytes. The protocol allows 64 KiB; a connection holds this much before it is trusted, and
/// headers with a certificate's names stay well below.
pub const MAX_V2_BYTES: usize = 4096;

/// Tells how far a header has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The bytes are the beginning of a header; ask again with more of them.
    Incomplete,
    /// The header is whole.
    Complete {
        /// How many bytes it takes; what follows belongs to the connection.
        consumed: usize,
        /// What it says.
        header: Header,
    },
}

/// Names the version of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// Holds what a header says.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// The version it was written in.
    pub version: Version,
    /// Whose connection it is.
    pub origin: Origin,
    elements: Box<[u8]>,
}

/// Says whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The proxy's own, for example a probe (version 2 LOCAL); the connection's real addresses count.
    Local,
    /// A client's whose address the proxy does not know or cannot say (version 1 UNKNOWN, version 2 UNSPEC); the
    /// connection's real addresses count.
    Unknown,
    /// A client's.
    Proxied {
        /// The client's address as it was sent; it may be an IPv4-mapped one.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
}

impl Header {
    /// Gives the type and value of each element (TLV) of a version 2 header, in order, checksum and padding included.
    pub fn elements(&self) -> impl Iterator<Item = (u8, &[u8])> {
        v2::Elements::new(&self.elements).map_while(Result::ok)
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("version", &self.version)
            .field("origin", &self.origin)
            .field("elements", &self.elements().collect::<Vec<_>>())
            .finish()
    }
}

/// Says why the bytes are no header. Nothing that follows on the connection can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The bytes begin neither a version 1 nor a version 2 header.
    #[error("no PROXY header")]
    NoHeader,
    /// A version 1 line is over 107 bytes or a version 2 header over 4096.
    #[error("PROXY header too long")]
    TooLong,
    /// The protocol or address family is none that is defined.
    #[error("unknown address family in PROXY header")]
    UnknownFamily,
    /// The version or the command of a version 2 header is none that is defined.
    #[error("unknown version or command in PROXY header")]
    UnknownCommand,
    /// Addresses or ports are missing, misspelt or out of range.
    #[error("malformed addresses in PROXY header")]
    Addresses,
    /// The elements of a version 2 header do not fill it exactly.
    #[error("malformed elements in PROXY header")]
    Elements,
    /// The CRC32c element of a version 2 header does not match.
    #[error("checksum mismatch in PROXY header")]
    Checksum,
}

/// Reads the header at the start of a connection; `bytes` are all that came so far.
///
/// Which versions and which senders are acceptable is the caller's decision.
///
/// # Errors
/// As soon as `bytes` cannot become a header any more.
pub fn parse(bytes: &[u8]) -> Result<Progress, ProxyError> {
    match bytes.first() {
        None => Ok(Progress::Incomplete),
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        Some(_) => Err(ProxyError::NoHeader),
    }
}

/// Reads the addresses of a header that is known to be whole.
fn origin(header: &[u8]) -> Result<Origin, ProxyError> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(header, config) {
        Ok((parsed, consumed)) if consumed == header.len() => Ok(match parsed.proxied_address() {
            Some(address) if address.protocol == Protocol::Stream => {
                Origin::Proxied { source: address.source, destination: address.destination }
            }
            _ => Origin::Unknown,
        }),
        _ => Err(ProxyError::Addresses),
    }
}
