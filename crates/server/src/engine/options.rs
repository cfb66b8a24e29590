//! Decides how Engine.IO behaves unless it is told otherwise: as the reference server does, and bounded where that is
//! not.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_proto::engineio::Transport;
use limpet_proto::engineio::message::Message;
use limpet_proto::engineio::sid::Sid;

use super::cors::Cors;
use super::handshake::Handshake;

/// The options of an [`Engine`](super::Engine).
#[derive(Clone)]
pub struct Options {
    /// The path of the requests that are taken; `/socket.io/`.
    pub path: String,
    /// Whether the path gets a slash at its end if it has none; yes.
    pub add_trailing_slash: bool,
    /// How often a client of version 4 is pinged; 25 s.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take; 20 s.
    pub ping_timeout: Duration,
    /// How long an upgrade may take until its WebSocket is closed; 10 s.
    pub upgrade_timeout: Duration,
    /// The most bytes of a POST and of a WebSocket message; 1,000,000. Clients are told, and split their POSTs.
    pub max_payload_bytes: usize,
    /// The transports that are offered; polling and websocket.
    pub transports: Vec<Transport>,
    /// Whether a polling session may move to a WebSocket; yes.
    pub allow_upgrades: bool,
    /// Whether clients of version 3 are taken; no. With this a missing or unknown `EIO` counts as 3.
    pub allow_eio3: bool,
    /// The cookie that the answer to a first poll sets; none.
    pub cookie: Option<CookieOptions>,
    /// How requests of other origins are allowed; they are not.
    pub cors: Option<Cors>,
    /// From how many bytes on the answer to a poll is compressed for clients that take gzip or deflate; 1,024. `None`
    /// compresses nothing.
    pub http_compression: Option<usize>,
    /// From how many bytes on a WebSocket message is compressed for clients that offer it; `None` offers nothing. Costs
    /// about 50 KiB for each session whose client compresses too.
    pub per_message_deflate: Option<usize>,
    /// A message that every client gets right behind the open packet; none.
    pub initial_packet: Option<Message>,
    /// Says whether a client may open a session; every one may.
    pub allow_request: Option<AllowRequest>,
    /// Makes the id of a new session; 15 random bytes in base64url.
    pub generate_id: Option<GenerateId>,
    /// The most messages that may wait for one client; 10,000. A client for whom more wait is closed with a transport
    /// error. A waiting message costs 16 bytes, and its own bytes once for all clients that it goes to.
    pub max_queued_messages: usize,
    /// The most bytes of messages that may wait for one client; 16 MiB. One message alone may be larger.
    pub max_queued_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            add_trailing_slash: true,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload_bytes: 1_000_000,
            transports: vec![Transport::Polling, Transport::Websocket],
            allow_upgrades: true,
            allow_eio3: false,
            cookie: None,
            cors: None,
            http_compression: Some(1024),
            per_message_deflate: None,
            initial_packet: None,
            allow_request: None,
            generate_id: None,
            max_queued_messages: 10_000,
            max_queued_bytes: 16 << 20,
        }
    }
}

impl Options {
    /// Returns the path as requests are compared with it.
    pub fn normalized_path(&self) -> String {
        let path = self.path.strip_suffix('/').unwrap_or(&self.path);
        let trailing = if self.add_trailing_slash { "/" } else { "" };
        let has_leading = path.starts_with('/') || (path.is_empty() && self.add_trailing_slash);
        let leading = if has_leading { "" } else { "/" };
        format!("{leading}{path}{trailing}")
    }

    /// Returns whether a transport is offered.
    pub(super) fn offers(&self, transport: Transport) -> bool {
        transport != Transport::Other && self.transports.contains(&transport)
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("path", &self.path)
            .field("ping_interval", &self.ping_interval)
            .field("ping_timeout", &self.ping_timeout)
            .field("transports", &self.transports)
            .finish_non_exhaustive()
    }
}

/// Says whether a client may open a session. An error refuses it, with words for it or with `Forbidden`.
#[derive(Clone)]
pub struct AllowRequest(pub(super) Arc<AllowFn>);

type AllowFn = dyn Fn(Arc<Handshake>) -> BoxFuture<'static, Result<(), Option<String>>> + Send + Sync;

impl AllowRequest {
    /// Makes the hook out of a function that looks at the request.
    pub fn new<F, R>(allow: F) -> Self
    where
        F: Fn(Arc<Handshake>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Option<String>>> + Send + 'static,
    {
        Self(Arc::new(move |handshake| Box::pin(allow(handshake))))
    }
}

/// Makes the ids of new sessions. `None` refuses the client with code 3. An id that a session has already is refused
/// the same way.
#[derive(Clone)]
pub struct GenerateId(pub(super) Arc<GenerateFn>);

type GenerateFn = dyn Fn(&Handshake) -> Option<Sid> + Send + Sync;

impl GenerateId {
    /// Makes the hook out of a function. Its ids are secrets: who knows one can take the session over.
    pub fn new(generate: impl Fn(&Handshake) -> Option<Sid> + Send + Sync + 'static) -> Self {
        Self(Arc::new(generate))
    }
}

/// How a browser treats the cookie on requests that come from other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Sent from the same site alone.
    Strict,
    /// Sent also when a link leads here.
    Lax,
    /// Always sent; browsers ask for `secure` then.
    None,
}

/// The cookie that carries the sid, for proxies that route by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieOptions {
    /// Its name; `io`.
    pub name: String,
    /// The path it is sent for; `/`.
    pub path: Option<String>,
    /// The domain it is sent to; the host alone.
    pub domain: Option<String>,
    /// Whether scripts cannot see it; yes.
    pub http_only: bool,
    /// Whether it is sent over TLS alone; no.
    pub secure: bool,
    /// On which requests it is sent; `Lax`.
    pub same_site: Option<SameSite>,
    /// How long it is kept; until the browser ends.
    pub max_age: Option<Duration>,
}

impl Default for CookieOptions {
    fn default() -> Self {
        Self {
            name: "io".to_owned(),
            path: Some("/".to_owned()),
            domain: None,
            http_only: true,
            secure: false,
            same_site: Some(SameSite::Lax),
            max_age: None,
        }
    }
}

impl CookieOptions {
    /// Returns the value of the header that sets the cookie.
    pub(super) fn header(&self, sid: &Sid) -> String {
        let mut header = format!("{}={sid}", self.name);
        if let Some(age) = self.max_age {
            header.push_str(&format!("; Max-Age={}", age.as_secs()));
        }
        if let Some(domain) = &self.domain {
            header.push_str(&format!("; Domain={domain}"));
        }
        if let Some(path) = &self.path {
            header.push_str(&format!("; Path={path}"));
        }
        if self.http_only {
            header.push_str("; HttpOnly");
        }
        if self.secure {
            header.push_str("; Secure");
        }
        match self.same_site {
            Some(SameSite::Strict) => header.push_str("; SameSite=Strict"),
            Some(SameSite::Lax) => header.push_str("; SameSite=Lax"),
            Some(SameSite::None) => header.push_str("; SameSite=None"),
            None => {}
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_the_one_of_the_reference() {
        let sid = Sid::parse("abc").unwrap();
        assert_eq!(CookieOptions::default().header(&sid), "io=abc; Path=/; HttpOnly; SameSite=Lax");
        let all = CookieOptions {
            max_age: Some(Duration::from_secs(60)),
            domain: Some("example.org".to_owned()),
            secure: true,
            same_site: Some(SameSite::None),
            ..CookieOptions::default()
        };
        assert_eq!(all.header(&sid), "io=abc; Max-Age=60; Domain=example.org; Path=/; HttpOnly; Secure; SameSite=None");
    }

    #[test]
    fn the_path_ends_with_a_slash_unless_told_otherwise() {
        for (path, add, normalized) in [
            ("/socket.io/", true, "/socket.io/"),
            ("/socket.io", true, "/socket.io/"),
            ("engine.io", true, "/engine.io/"),
            ("/a/", false, "/a"),
            ("/", true, "/"),
        ] {
            let options = Options { path: path.to_owned(), add_trailing_slash: add, ..Options::default() };
            assert_eq!(options.normalized_path(), normalized);
        }
    }
}
