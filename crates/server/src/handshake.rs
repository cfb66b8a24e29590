//! Decides what of a client's first request stays known, and how other nodes are told.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, Uri};
use limpet_proto::socketio::arguments::Arguments;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::engine;
use crate::error::ArgumentError;

/// What a client said when it came: its first request, and what it gave for authentication.
#[derive(Clone)]
pub struct Handshake {
    pub(crate) request: Arc<engine::Handshake>,
    /// One argument, or none.
    pub(crate) auth: Option<Arguments>,
}

impl Handshake {
    /// Returns the headers of the first request.
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Returns a header of the first request as text; `None` if there is none, or it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// Returns the address of the client, or of the proxy in front of it.
    pub fn address(&self) -> SocketAddr {
        self.request.address()
    }

    /// Returns path and query of the first request.
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// Returns the value of a query parameter, decoded; of several the last.
    pub fn query(&self, name: &str) -> Option<String> {
        self.request.query(name)
    }

    /// Returns whether the request named an origin.
    pub fn is_cross_domain(&self) -> bool {
        self.request.is_cross_domain()
    }

    /// Returns whether the connection was encrypted.
    pub fn is_secure(&self) -> bool {
        self.request.is_secure()
    }

    /// Returns when the session began.
    pub fn issued(&self) -> SystemTime {
        self.request.issued()
    }

    /// Reads what the client gave as `auth`; with none, an empty object.
    ///
    /// # Errors
    /// [`ArgumentError`] when it is not of this type.
    pub fn auth<T: DeserializeOwned>(&self) -> Result<T, ArgumentError> {
        let failed = |cause: String| ArgumentError { index: 0, cause };
        match &self.auth {
            Some(auth) => auth.get(0).map_err(|error| failed(error.to_string())),
            None => T::deserialize(Value::Object(Map::new())).map_err(|error| failed(error.to_string())),
        }
    }

    /// Returns the members that Node's handshake has, as other nodes are told them.
    pub fn to_json(&self) -> Value {
        let headers: Map<String, Value> = self
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into()))
            .collect();
        let issued = self.issued().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let query: Map<String, Value> =
            self.request.query_pairs().into_iter().map(|(name, value)| (name, value.into())).collect();
        serde_json::json!({
            "headers": headers,
            "time": date(issued.as_secs()),
            "address": self.address().ip().to_string(),
            "xdomain": self.is_cross_domain(),
            "secure": self.is_secure(),
            "issued": u64::try_from(issued.as_millis()).unwrap_or(u64::MAX),
            "url": self.uri().to_string(),
            "query": query,
            "auth": self.auth::<Value>().unwrap_or_default(),
        })
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("address", &self.address()).field("uri", self.uri()).finish_non_exhaustive()
    }
}

/// Writes a time, in seconds since 1970, as JavaScript's `Date` shows itself in a place without summer time.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let days = seconds / 86_400;
    let weekday = DAYS[(days % 7) as usize];
    // Years begin in March here, so that the day that some have more is their last.
    let since_march = days + 719_468;
    let era = since_march / 146_097;
    let day_of_era = since_march % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month as usize];
    format!("{weekday} {month} {day:02} {year} {hour:02}:{minute:02}:{second:02} GMT+0000 (Coordinated Universal Time)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_javascript() {
        assert_eq!(date(0), "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)");
        assert_eq!(date(951_782_399), "Mon Feb 28 2000 23:59:59 GMT+0000 (Coordinated Universal Time)");
        assert_eq!(date(951_782_400), "Tue Feb 29 2000 00:00:00 GMT+0000 (Coordinated Universal Time)");
        assert_eq!(date(1_795_269_407), "Sat Nov 21 2026 13:56:47 GMT+0000 (Coordinated Universal Time)");
    }
}
