//! Decides when a version 2 header is whole and well-formed (section 2.2).

use super::crc32c::crc32c;
use super::{Header, MAX_V2_BYTES, Origin, Progress, ProxyError, Version, origin};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;

/// Type of the element that holds the checksum.
const CRC32C: u8 = 0x03;

pub(super) fn parse(bytes: &[u8]) -> Result<Progress, ProxyError> {
    let Some((signature, rest)) = bytes.split_first_chunk::<12>() else {
        return if SIGNATURE.starts_with(bytes) { Ok(Progress::Incomplete) } else { Err(ProxyError::NoHeader) };
    };
    if signature != SIGNATURE {
        return Err(ProxyError::NoHeader);
    }
    let Some((&command, rest)) = rest.split_first() else {
        return Ok(Progress::Incomplete);
    };
    if !matches!(command, LOCAL | PROXY) {
        return Err(ProxyError::UnknownCommand);
    }
    let Some((&family, rest)) = rest.split_first() else {
        return Ok(Progress::Incomplete);
    };
    let addresses_len = if command == LOCAL { 0 } else { addresses_len(family)? };
    let Some((len, _)) = rest.split_first_chunk::<2>() else {
        return Ok(Progress::Incomplete);
    };
    let len = FIXED_BYTES + usize::from(u16::from_be_bytes(*len));
    if len > MAX_V2_BYTES {
        return Err(ProxyError::TooLong);
    }
    let addresses_end = FIXED_BYTES + addresses_len;
    if len < addresses_end {
        return Err(ProxyError::Addresses);
    }
    let Some(header) = bytes.get(..len) else {
        return Ok(Progress::Incomplete);
    };
    let (origin, elements) = match command {
        LOCAL => (Origin::Local, &[][..]),
        _ => (origin(header)?, elements(header, addresses_end, family)?),
    };
    let header = Header { version: Version::V2, origin, elements: elements.into() };
    Ok(Progress::Complete { consumed: len, header })
}

fn addresses_len(family: u8) -> Result<usize, ProxyError> {
    match family {
        UNSPECIFIED => Ok(0),
        0x11 | 0x12 => Ok(12),
        0x21 | 0x22 => Ok(36),
        0x31 | 0x32 => Ok(216),
        _ => Err(ProxyError::UnknownFamily),
    }
}

/// Gives the bytes of the elements after having checked them.
fn elements(header: &[u8], start: usize, family: u8) -> Result<&[u8], ProxyError> {
    let bytes = header.get(start..).unwrap_or_default();
    if Elements::new(bytes).any(|element| element.is_err()) {
        return if family == UNSPECIFIED { Ok(&[]) } else { Err(ProxyError::Elements) };
    }
    let mut at = start;
    for (kind, value) in Elements::new(bytes).flatten() {
        if kind == CRC32C {
            check_sum(header, at + 3, value)?;
        }
        at += 3 + value.len();
    }
    Ok(bytes)
}

/// Compares the checksum `sum`, which lies at `at`, with that of the header in which it is zero.
fn check_sum(header: &[u8], at: usize, sum: &[u8]) -> Result<(), ProxyError> {
    let sum: [u8; 4] = sum.try_into().map_err(|_| ProxyError::Elements)?;
    let (before, behind) = header.split_at_checked(at).ok_or(ProxyError::Elements)?;
    let zeroed = before.iter().chain(&[0; 4]).chain(behind.iter().skip(4));
    if crc32c(zeroed.copied()) == u32::from_be_bytes(sum) { Ok(()) } else { Err(ProxyError::Checksum) }
}

/// Walks over type-length-value elements; ends after the first malformed one.
pub(super) struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<(u8, &'a [u8]), ProxyError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.rest);
        let [kind, high, low, rest @ ..] = bytes else {
            return Some(Err(ProxyError::Elements));
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, rest)) = rest.split_at_checked(len) else {
            return Some(Err(ProxyError::Elements));
        };
        self.rest = rest;
        Some(Ok((*kind, value)))
    }
}
