//! Decides how Engine.IO errors are said and which answers of a server mean "unknown session".
//!
//! The texts are those of the reference server, byte for byte: clients and their users look for them.

use serde::Deserialize;

/// Content type of the JSON error bodies.
pub const JSON_CONTENT_TYPE: &str = "application/json";

/// Body of the 400 that answers a request whose session does not exist (code 1).
pub const UNKNOWN_SESSION_JSON: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// Body of the 400 that answers a request that makes no sense (code 3).
pub const BAD_REQUEST_JSON: &str = r#"{"code":3,"message":"Bad request"}"#;

/// Content type of the plain error bodies that answer upgrades.
pub const RAW_CONTENT_TYPE: &str = "text/html";

/// Body of the 400 that answers an upgrade of a session that does not exist.
pub const UNKNOWN_SESSION_RAW: &str = "Session ID unknown";

/// Whole answer to an upgrade of a session that does not exist, as the reference server writes it; the connection is
/// closed behind it.
pub const UNKNOWN_SESSION_RAW_RESPONSE: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-type: text/html\r\nContent-Length: 18\r\n\r\nSession ID unknown";

/// Longest body that can mean "unknown session", in bytes. The longest one names the sid.
pub const MAX_ERROR_BODY_BYTES: usize = 1024;

/// Start of the answer of python-engineio, a JSON string, when it does not know a sid; the sid follows.
const PYTHON_UNKNOWN_SESSION: &str = "Invalid session";

/// Says whether a response means that the server does not know the sid of the request.
///
/// It knows the JSON of the reference server (code 1, as a number or a string), the plain text that it sends for
/// upgrades, and the JSON string of python-engineio. Only a 400 counts.
pub fn is_unknown_session(status: u16, body: &[u8]) -> bool {
    if status != 400 || body.len() > MAX_ERROR_BODY_BYTES {
        return false;
    }
    let body = body.trim_ascii();
    if body == UNKNOWN_SESSION_RAW.as_bytes() {
        return true;
    }
    match body.first() {
        Some(b'{') => serde_json::from_slice::<ErrorBody>(body).is_ok_and(|error| error.code.is_unknown_session()),
        Some(b'"') => {
            serde_json::from_slice::<String>(body).is_ok_and(|message| message.starts_with(PYTHON_UNKNOWN_SESSION))
        }
        _ => false,
    }
}

#[derive(Deserialize)]
struct ErrorBody {
    code: ErrorCode,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorCode {
    Number(u32),
    Text(String),
}

impl ErrorCode {
    fn is_unknown_session(&self) -> bool {
        match self {
            Self::Number(code) => *code == 1,
            Self::Text(code) => code == "1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_servers_say() {
        for body in [
            UNKNOWN_SESSION_JSON,
            UNKNOWN_SESSION_RAW,
            r#"{"code":"1","message":"Session ID unknown"}"#,
            r#"{ "message": "other words", "code": 1, "context": {"x": [1]} }"#,
            "\"Invalid session lv_VI97HAXpY6yYWAAAC\"",
            "\"Invalid session\"\n",
        ] {
            assert!(is_unknown_session(400, body.as_bytes()), "{body}");
            assert!(!is_unknown_session(200, body.as_bytes()), "{body}");
            assert!(!is_unknown_session(404, body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn other_errors_are_not_it() {
        for body in [
            "",
            BAD_REQUEST_JSON,
            r#"{"code":0,"message":"Transport unknown"}"#,
            r#"{"code":"11"}"#,
            r#"{"code":1.5}"#,
            r#"{"code":1"#,
            r#"{"message":"Session ID unknown"}"#,
            r#"{"error":{"code":1}}"#,
            "\"Invalid transport\"",
            "\"Invalid session",
            "Invalid session abc",
            "Session ID unknown, really",
            "[1]",
        ] {
            assert!(!is_unknown_session(400, body.as_bytes()), "{body}");
        }
        assert!(!is_unknown_session(400, b"\"Invalid session \xff\""));
        let long = format!("\"Invalid session {}\"", "x".repeat(MAX_ERROR_BODY_BYTES));
        assert!(!is_unknown_session(400, long.as_bytes()));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let body = format!(r#"{{"code":1,"x":{}}}"#, "[".repeat(900));
        assert!(!is_unknown_session(400, body.as_bytes()));
    }

    #[test]
    fn the_raw_response_is_consistent() {
        let (head, body) = UNKNOWN_SESSION_RAW_RESPONSE.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, UNKNOWN_SESSION_RAW);
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(head.contains(&format!("Content-type: {RAW_CONTENT_TYPE}")));
    }
}
