//! Decides what a URL of Redis says. An error names what is wrong and what would be right, and never a password.

use std::fmt;
use std::path::PathBuf;

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

const SCHEMES: &str = "redis://, rediss://, redis+unix://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or \
                       rediss+cluster://";

/// What a URL says.
pub(super) struct Url {
    pub(super) shape: Shape,
    /// At least one, but for a socket of the file system; exactly one for a Redis alone.
    pub(super) hosts: Vec<Host>,
    pub(super) tls: Option<Tls>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) db: i64,
}

/// What is behind the hosts.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shape {
    One,
    Unix(PathBuf),
    Sentinel { master: String, user: Option<String>, password: Option<String> },
    Cluster,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// Certificates as PEM.
#[derive(Clone, Default)]
pub(super) struct Tls {
    pub(super) is_insecure: bool,
    pub(super) ca: Option<Vec<u8>>,
    /// Certificate and key.
    pub(super) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// Says what is wrong with a URL, and what would be right.
#[derive(Debug, thiserror::Error)]
#[error("the URL of Redis {0}")]
pub(super) struct UrlError(String);

impl Url {
    pub(super) fn read(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| wrong(format!("has no scheme; it begins with {SCHEMES}")))?;
        let (rest, fragment) = cut(rest, '#');
        let (rest, query) = cut(rest, '?');
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        // A password that is not escaped ends the authority early, and would be shown as a host.
        if path.contains('@') || [query, fragment].iter().flatten().any(|part| part.contains('@')) {
            return Err(wrong("has an @ behind its hosts; in a user or password write / as %2F, ? as %3F, # as %23"));
        }
        let scheme = scheme.replacen("valkey", "redis", 1);
        let (has_tls, shape) = match scheme.as_str() {
            "redis" => (false, Shape::One),
            "rediss" => (true, Shape::One),
            "unix" | "redis+unix" => return Self::unix(authority, path, query),
            "redis+cluster" => (false, Shape::Cluster),
            "rediss+cluster" => (true, Shape::Cluster),
            "redis+sentinel" | "rediss+sentinel" => {
                (scheme.starts_with("rediss"), Shape::Sentinel { master: String::new(), user: None, password: None })
            }
            // What is no scheme may be anything, a password too.
            _ => return Err(wrong(format!("has an unknown scheme; it begins with {SCHEMES}"))),
        };
        let (user_info, hosts) = match authority.rsplit_once('@') {
            Some((user_info, hosts)) => (user_info, hosts),
            None => ("", authority),
        };
        let (user, password) = cut(user_info, ':');
        let port = if matches!(shape, Shape::Sentinel { .. }) { SENTINEL_PORT } else { PORT };
        let mut url = Self {
            shape,
            hosts: hosts.split(',').map(|host| Host::read(host, port)).collect::<Result<_, _>>()?,
            tls: has_tls.then(Tls::default),
            user: Some(decoded(user, "user")?).filter(|user| !user.is_empty()),
            password: password.map(|password| decoded(password, "password")).transpose()?,
            db: 0,
        };
        url.read_path(path)?;
        url.read_query(query)?;
        url.name_user();
        match (fragment, &mut url.tls) {
            (None, _) => {}
            (Some("insecure"), Some(tls)) => tls.is_insecure = true,
            (Some("insecure"), None) => return Err(wrong("has #insecure without TLS; that begins with rediss")),
            (Some(_), _) => {
                return Err(wrong("has an unknown word behind #; there is #insecure, which trusts anybody"));
            }
        }
        Ok(url)
    }

    fn unix(authority: &str, path: &str, query: Option<&str>) -> Result<Self, UrlError> {
        if !authority.is_empty() || path.len() < 2 {
            return Err(wrong("names no socket; a path has three slashes: redis+unix:///run/redis.sock"));
        }
        let path = PathBuf::from(decoded(path, "path")?);
        let mut url =
            Self { shape: Shape::Unix(path), hosts: Vec::new(), tls: None, user: None, password: None, db: 0 };
        for (key, value) in pairs(query) {
            match key {
                "db" => url.db = number(value)?,
                "user" => url.user = Some(decoded(value, "user")?),
                "pass" => url.password = Some(decoded(value, "password")?),
                "protocol" => {}
                _ => return Err(wrong(format!("has an unknown option {key}; a socket has db, user and pass"))),
            }
        }
        url.name_user();
        Ok(url)
    }

    /// Lets a user without a password log in with none: it would be passed over otherwise, and somebody else be meant.
    fn name_user(&mut self) {
        if self.user.is_some() {
            self.password.get_or_insert_default();
        }
    }

    fn read_path(&mut self, path: &str) -> Result<(), UrlError> {
        let path = path.trim_matches('/');
        match &mut self.shape {
            Shape::One if self.hosts.len() > 1 => {
                return Err(wrong(
                    "has several hosts; those of a cluster begin with redis+cluster://, Sentinels with \
                                  redis+sentinel://",
                ));
            }
            Shape::One => self.db = if path.is_empty() { 0 } else { number(path)? },
            Shape::Cluster if !matches!(path, "" | "0") => {
                return Err(wrong("names a database; a cluster has only 0"));
            }
            Shape::Sentinel { master, .. } => {
                let (name, db) = cut(path, '/');
                if name.is_empty() {
                    return Err(wrong("names no master; that follows the hosts: redis+sentinel://host:26379/mymaster"));
                }
                *master = decoded(name, "name of the master")?;
                self.db = db.map(number).transpose()?.unwrap_or(0);
            }
            _ => {}
        }
        Ok(())
    }

    fn read_query(&mut self, query: Option<&str>) -> Result<(), UrlError> {
        let (mut cert, mut key) = (None, None);
        for (name, value) in pairs(query) {
            match (name, &mut self.tls, &mut self.shape) {
                // The redis crate has it; we always speak RESP3.
                ("protocol", ..) => {}
                ("ca", Some(tls), _) => tls.ca = Some(file(value)?),
                ("cert", Some(_), _) => cert = Some(file(value)?),
                ("key", Some(_), _) => key = Some(file(value)?),
                ("ca" | "cert" | "key", None, _) => {
                    return Err(wrong(format!("has {name} without TLS; that begins with rediss")));
                }
                ("sentinel_user", _, Shape::Sentinel { user, .. }) => *user = Some(decoded(value, "user")?),
                ("sentinel_password", _, Shape::Sentinel { password, .. }) => {
                    *password = Some(decoded(value, "password")?);
                }
                _ => {
                    return Err(wrong(format!(
                        "has an unknown option {name}; there are ca, cert and key with TLS, and sentinel_user and \
                         sentinel_password with Sentinels"
                    )));
                }
            }
        }
        match (cert, key, &mut self.tls) {
            (Some(cert), Some(key), Some(tls)) => tls.client = Some((cert, key)),
            (None, None, _) => {}
            _ => return Err(wrong("has one of cert and key; they belong together")),
        }
        Ok(())
    }
}

impl Host {
    fn read(text: &str, port: u16) -> Result<Self, UrlError> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or_else(|| wrong("has [ without ]; IPv6 is [::1]:6379"))?,
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        if name.is_empty() {
            return Err(wrong("has an empty host; it is redis://host:6379"));
        }
        if rest.is_empty() {
            return Ok(Self { name: name.to_owned(), port });
        }
        let port = rest.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        // What stands there may be a password without its @: it is not shown.
        let port =
            port.ok_or_else(|| wrong("has a port that is no number from 1 to 65535; it is redis://host:6379"))?;
        Ok(Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// Shows it without what is secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = if self.tls.is_some() { "s" } else { "" };
        let hosts = self.hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",");
        match &self.shape {
            Shape::One => write!(f, "redis{s}://{hosts}/{}", self.db),
            Shape::Unix(path) => write!(f, "redis+unix://{}", path.display()),
            Shape::Sentinel { master, .. } => write!(f, "redis{s}+sentinel://{hosts}/{master}/{}", self.db),
            Shape::Cluster => write!(f, "redis{s}+cluster://{hosts}"),
        }
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    let parts = query.unwrap_or_default().split('&').filter(|part| !part.is_empty());
    parts.map(|part| part.split_once('=').unwrap_or((part, "")))
}

fn number(text: &str) -> Result<i64, UrlError> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| wrong("has a database that is no number; it is redis://host:6379/0"))
}

fn file(path: &str) -> Result<Vec<u8>, UrlError> {
    let path = decoded(path, "name of a file")?;
    std::fs::read(&path).map_err(|error| wrong(format!("names the file {path}, which cannot be read: {error}")))
}

/// Decodes percent escapes.
fn decoded(text: &str, what: &str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).map(|digit| digit as u8);
        let (high, low) = (digit(rest.next()), digit(rest.next()));
        let byte = high.zip(low).map(|(high, low)| high << 4 | low);
        bytes.push(byte.ok_or_else(|| wrong(format!("has a % without two digits in its {what}; a % itself is %25")))?);
    }
    String::from_utf8(bytes).map_err(|_| wrong(format!("has a {what} that is not UTF-8")))
}

fn wrong(what: impl Into<String>) -> UrlError {
    UrlError(what.into())
}

#[cfg(test)]
mod tests;
