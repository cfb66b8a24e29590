//! `forwarded`: which headers tell endpoints about the client.

use super::reader::{Entry, Reader};
use super::value::{self, HeaderFamily};

/// Which headers tell endpoints about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// `X-Forwarded-For`, `X-Forwarded-Proto`, `X-Forwarded-Host`.
    pub x_forwarded: bool,
    /// `X-Real-IP`.
    pub x_real_ip: bool,
    /// `Forwarded` (RFC 7239).
    pub rfc7239: bool,
}

impl Default for Forwarded {
    fn default() -> Self {
        Self { x_forwarded: true, x_real_ip: true, rfc7239: false }
    }
}

/// Reads the list of header families.
pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, slot: &mut Forwarded) {
    let mut families = Vec::new();
    reader.set_list(entry, value::header_family, &mut families);
    *slot = Forwarded {
        x_forwarded: families.contains(&HeaderFamily::XForwarded),
        x_real_ip: families.contains(&HeaderFamily::XRealIp),
        rfc7239: families.contains(&HeaderFamily::Rfc7239),
    };
}
