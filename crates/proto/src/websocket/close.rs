//! Decides how a Close frame is written (RFC 6455 section 5.5.1) and what its status codes are called.

use std::fmt;

/// Longest reason in bytes: a control frame's 125 less the status code.
pub const MAX_REASON_BYTES: usize = 123;

/// Two bytes of header, four of mask, two of status code and the reason.
const MAX_FRAME_BYTES: usize = 2 + 4 + 2 + MAX_REASON_BYTES;

/// Names a status code of a Close frame (RFC 6455 section 7.4 and its registry). Any value is representable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The sender goes away, for example a server that shuts down or a page that is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The other side broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The other side sent a type of data that is not accepted.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Stands for a Close frame without a code; never sent.
    pub const NO_STATUS: Self = Self(1005);
    /// Stands for a connection that ended without a Close frame; never sent.
    pub const ABNORMAL: Self = Self(1006);
    /// A message's data does not fit its type, for example text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A message breaks a policy of the sender.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// A message is too big to be handled.
    pub const TOO_BIG: Self = Self(1009);
    /// The client misses an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// The server met an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts; the client may reconnect after a random delay.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The service is overloaded; the client should wait before it reconnects.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got an invalid response from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// Stands for a failed TLS handshake; never sent.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Gives the registered name as a lower-case word for logs and labels; `None` for other codes.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NORMAL => "normal",
            Self::GOING_AWAY => "going_away",
            Self::PROTOCOL_ERROR => "protocol_error",
            Self::UNSUPPORTED_DATA => "unsupported_data",
            Self::NO_STATUS => "no_status",
            Self::ABNORMAL => "abnormal",
            Self::INVALID_PAYLOAD => "invalid_payload",
            Self::POLICY_VIOLATION => "policy_violation",
            Self::TOO_BIG => "too_big",
            Self::MANDATORY_EXTENSION => "mandatory_extension",
            Self::INTERNAL_ERROR => "internal_error",
            Self::SERVICE_RESTART => "service_restart",
            Self::TRY_AGAIN_LATER => "try_again_later",
            Self::BAD_GATEWAY => "bad_gateway",
            Self::TLS_HANDSHAKE => "tls_handshake",
            _ => return None,
        })
    }

    /// Says whether the code may stand in a frame: those that are registered, and 3000 to 4999, which are free for
    /// applications. What lies between is kept for later versions of the protocol (RFC 6455 sections 7.4.1 and 7.4.2).
    pub fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} {name}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Holds one encoded Close frame, at most 131 bytes.
#[derive(Clone)]
pub struct CloseFrame {
    bytes: [u8; MAX_FRAME_BYTES],
    len: u8,
}

impl CloseFrame {
    /// Gives the frame as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn push(&mut self, bytes: impl IntoIterator<Item = u8>) {
        let free = self.bytes.iter_mut().skip(usize::from(self.len));
        for (slot, byte) in free.zip(bytes) {
            *slot = byte;
            self.len += 1;
        }
    }
}

impl AsRef<[u8]> for CloseFrame {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl fmt::Debug for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CloseFrame").field(&self.as_bytes()).finish()
    }
}

/// Encodes a Close frame, masked if it goes towards a server.
///
/// A reason over 123 bytes is cut at a character. A code that may not be sent gives a frame without payload, which the
/// receiver reads as 1005.
pub fn close_frame(code: CloseCode, reason: &str, mask: Option<[u8; 4]>) -> CloseFrame {
    let reason = reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default();
    let (code, reason) = match code.is_sendable() {
        true => (Some(code.0.to_be_bytes()), reason),
        false => (None, ""),
    };
    let payload = code.into_iter().flatten().chain(reason.bytes());
    // Two bytes of code and at most 123 of reason.
    let payload_len = (code.map_or(0, |code| code.len()) + reason.len()) as u8;

    let mut frame = CloseFrame { bytes: [0; MAX_FRAME_BYTES], len: 0 };
    match mask {
        Some(mask) => {
            frame.push([0x88, 0x80 | payload_len]);
            frame.push(mask);
            frame.push(payload.zip(mask.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
        None => {
            frame.push([0x88, payload_len]);
            frame.push(payload);
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::frame::{Cursor, Sender};

    #[test]
    fn encodes_towards_a_client() {
        let frame = close_frame(CloseCode::GOING_AWAY, "drain", None);
        assert_eq!(frame.as_bytes(), b"\x88\x07\x03\xe9drain");
        assert_eq!(close_frame(CloseCode::NORMAL, "", None).as_bytes(), b"\x88\x02\x03\xe8");
    }

    #[test]
    fn masks_towards_a_server() {
        let frame = close_frame(CloseCode::NORMAL, "a", Some([1, 2, 3, 4]));
        assert_eq!(frame.as_bytes(), [0x88, 0x83, 1, 2, 3, 4, 0x03 ^ 1, 0xe8 ^ 2, b'a' ^ 3]);
    }

    #[test]
    fn cuts_a_long_reason_at_a_character() {
        let ascii = close_frame(CloseCode::NORMAL, &"x".repeat(400), Some([0; 4]));
        assert_eq!(ascii.as_bytes().len(), MAX_FRAME_BYTES);
        assert_eq!(ascii.as_bytes().get(1), Some(&(0x80 | 125)));
        let wide = close_frame(CloseCode::NORMAL, &"é".repeat(200), None);
        assert_eq!(wide.as_bytes().len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&wide.as_bytes()[4..]).is_ok());
    }

    #[test]
    fn leaves_out_codes_that_may_not_be_sent() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert_eq!(close_frame(CloseCode(code), "reason", None).as_bytes(), b"\x88\x00", "{code}");
        }
        for code in [1000, 1003, 1007, 1012, 1014, 3000, 4999] {
            assert!(CloseCode(code).is_sendable(), "{code}");
        }
    }

    #[test]
    fn the_cursor_reads_what_is_encoded() {
        for (sender, mask) in [(Sender::Server, None), (Sender::Client, Some([9, 8, 7, 6]))] {
            let frame = close_frame(CloseCode::SERVICE_RESTART, "new version", mask);
            let mut cursor = Cursor::new(sender);
            let progress = cursor.handle_bytes(frame.as_bytes()).unwrap();
            assert_eq!(progress.close_code, Some(1012));
            assert!(cursor.at_boundary());
        }
    }

    #[test]
    fn shows_the_name() {
        assert_eq!(CloseCode(1001).to_string(), "1001 going_away");
        assert_eq!(CloseCode(4321).to_string(), "4321");
    }
}
