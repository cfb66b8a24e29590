//! Classifies header names and reads comma-separated lists (RFC 9110 sections 5 and 7.6.1).

/// A header name that a proxy treats in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Any other header: passed on unchanged.
    Other,
    /// `Accept-Encoding`
    AcceptEncoding,
    /// `Cache-Control`
    CacheControl,
    /// `Connection`
    Connection,
    /// `Content-Encoding`
    ContentEncoding,
    /// `Content-Length`
    ContentLength,
    /// `Content-Type`
    ContentType,
    /// `Cookie`
    Cookie,
    /// `Expect`
    Expect,
    /// `Forwarded`
    Forwarded,
    /// `Host`
    Host,
    /// `Keep-Alive`
    KeepAlive,
    /// `Origin`
    Origin,
    /// `Proxy-Connection`
    ProxyConnection,
    /// `Set-Cookie`
    SetCookie,
    /// `TE`
    Te,
    /// `Trailer`
    Trailer,
    /// `Transfer-Encoding`
    TransferEncoding,
    /// `Upgrade`
    Upgrade,
    /// `User-Agent`
    UserAgent,
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `X-Forwarded-Host`
    XForwardedHost,
    /// `X-Forwarded-Proto`
    XForwardedProto,
    /// `X-Real-IP`
    XRealIp,
}

impl Known {
    /// Classifies a header name, ignoring case.
    pub fn of(name: &str) -> Self {
        let (candidate, known) = match (name.len(), name.as_bytes().first().map(u8::to_ascii_lowercase)) {
            (2, _) => ("te", Self::Te),
            (4, _) => ("host", Self::Host),
            (6, Some(b'c')) => ("cookie", Self::Cookie),
            (6, Some(b'e')) => ("expect", Self::Expect),
            (6, _) => ("origin", Self::Origin),
            (7, Some(b't')) => ("trailer", Self::Trailer),
            (7, _) => ("upgrade", Self::Upgrade),
            (9, Some(b'f')) => ("forwarded", Self::Forwarded),
            (9, _) => ("x-real-ip", Self::XRealIp),
            (10, Some(b'c')) => ("connection", Self::Connection),
            (10, Some(b'k')) => ("keep-alive", Self::KeepAlive),
            (10, Some(b's')) => ("set-cookie", Self::SetCookie),
            (10, _) => ("user-agent", Self::UserAgent),
            (12, _) => ("content-type", Self::ContentType),
            (13, _) => ("cache-control", Self::CacheControl),
            (14, _) => ("content-length", Self::ContentLength),
            (15, Some(b'a')) => ("accept-encoding", Self::AcceptEncoding),
            (15, _) => ("x-forwarded-for", Self::XForwardedFor),
            (16, Some(b'c')) => ("content-encoding", Self::ContentEncoding),
            (16, Some(b'p')) => ("proxy-connection", Self::ProxyConnection),
            (16, _) => ("x-forwarded-host", Self::XForwardedHost),
            (17, Some(b't')) => ("transfer-encoding", Self::TransferEncoding),
            (17, _) => ("x-forwarded-proto", Self::XForwardedProto),
            _ => return Self::Other,
        };
        if is_name(name.as_bytes(), candidate.as_bytes()) { known } else { Self::Other }
    }
}

/// Compares a name with one in lower case, eight bytes at a time: every header of every request comes by here.
fn is_name(name: &[u8], lower: &[u8]) -> bool {
    const LETTERS: u64 = 0x4040_4040_4040_4040;
    let ((names, name_rest), (lowers, lower_rest)) = (name.as_chunks::<8>(), lower.as_chunks::<8>());
    let same = |name: u64, lower: u64| {
        // Of the bytes that a name consists of only letters have this bit; half of it makes them lower case.
        name | (lower & LETTERS) >> 1 == lower
    };
    name.len() == lower.len()
        && names.iter().zip(lowers).all(|(name, lower)| same(u64::from_ne_bytes(*name), u64::from_ne_bytes(*lower)))
        && name_rest.iter().zip(lower_rest).all(|(name, lower)| same((*name).into(), (*lower).into()))
}

/// What the Connection headers of a message say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
    /// Some other name: headers of that name belong to this connection only and are dropped.
    pub names_headers: bool,
    /// Names a header that frames or routes the message, which no sender may drop.
    pub names_essential: bool,
}

impl ConnectionOptions {
    /// Adds one Connection header's value.
    pub fn add(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_headers = true;
                let name = str::from_utf8(option).unwrap_or_default();
                self.names_essential |= matches!(
                    Known::of(name),
                    Known::ContentLength | Known::Host | Known::TransferEncoding | Known::Connection
                );
            }
        }
    }
}

/// Splits a comma-separated list, without blanks and empty members (RFC 9110 section 5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Reads the `timeout` parameter of a Keep-Alive header, in seconds.
pub fn keep_alive_timeout(value: &[u8]) -> Option<u64> {
    list(value).find_map(|parameter| {
        let (name, seconds) = parameter.split_at_checked(8)?;
        if !name.eq_ignore_ascii_case(b"timeout=") {
            return None;
        }
        str::from_utf8(seconds).ok()?.trim_matches('"').parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_classified_ignoring_case() {
        for (name, known) in [
            ("hOST", Known::Host),
            ("Content-Length", Known::ContentLength),
            ("Content_Length", Known::Other),
            ("TRANSFER-ENCODING", Known::TransferEncoding),
            ("X-Forwarded-For", Known::XForwardedFor),
            ("x-forwarded-foo", Known::Other),
            ("Te", Known::Te),
            ("", Known::Other),
            ("Keep-Alive", Known::KeepAlive),
            ("User-Agent", Known::UserAgent),
            ("Content-type", Known::ContentType),
            ("COOKIE", Known::Cookie),
            ("Set-cookie", Known::SetCookie),
            ("cache-Control", Known::CacheControl),
            ("Proxy-Connection", Known::ProxyConnection),
        ] {
            assert_eq!(Known::of(name), known, "{name}");
        }
    }

    #[test]
    fn names_are_compared_as_text_is() {
        let lower = b"x-forwarded-host";
        for length in 0..=lower.len() {
            let lower = &lower[..length];
            assert!(is_name(&lower.to_ascii_uppercase(), lower));
            assert!(!is_name(lower, &lower[..length.saturating_sub(1)]) || length == 0);
            for (at, byte) in (0..length).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
                let mut name = lower.to_vec();
                name[at] = byte;
                assert_eq!(is_name(&name, lower), name.eq_ignore_ascii_case(lower), "{length} {at} {byte}");
            }
        }
    }

    #[test]
    fn connection_options_are_told_apart() {
        let mut options = ConnectionOptions::default();
        options.add(b" Keep-Alive ,,Upgrade");
        assert_eq!(options, ConnectionOptions { keep_alive: true, upgrade: true, ..Default::default() });
        options.add(b"x-foo");
        assert!(options.names_headers && !options.names_essential);
        options.add(b"content-length");
        assert!(options.names_essential);
    }

    #[test]
    fn the_keep_alive_timeout_is_read() {
        assert_eq!(keep_alive_timeout(b"timeout=5"), Some(5));
        assert_eq!(keep_alive_timeout(b"max=100, Timeout=72"), Some(72));
        assert_eq!(keep_alive_timeout(b"max=100"), None);
        assert_eq!(keep_alive_timeout(b"timeout=x"), None);
    }
}
