//! The access log: one line for each exchange and each tunnel that has ended, on standard output.

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;
use std::time::{Instant, SystemTime};

use serde_json::{Value, json};

use crate::affinity::Evidence;
use crate::config;
use crate::upstream::endpoint::Endpoint;

/// Lines that wait for the writer; more are dropped and counted, since a slow disk must not stop requests.
const MAX_WAITING: usize = 8192;

/// What stands for a status when the client had gone; nginx made the number known.
const CLIENT_GONE: u16 = 499;

/// Where exchanges are logged. Cloning gives another handle to the same log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    lines: SyncSender<String>,
    json: bool,
    dropped: Arc<AtomicU64>,
}

impl AccessLog {
    /// Starts the writer thread; it ends when every handle is dropped.
    pub fn start(form: config::AccessLog) -> Option<(Self, JoinHandle<()>)> {
        if form == config::AccessLog::Off {
            return None;
        }
        let (lines, waiting) = mpsc::sync_channel(MAX_WAITING);
        let writer = std::thread::Builder::new().name("access-log".into()).spawn(move || write_all(&waiting)).ok()?;
        Some((Self { lines, json: form == config::AccessLog::Json, dropped: Arc::default() }, writer))
    }

    /// Logs one line of these fields, in this order.
    pub fn write(&self, fields: &[(&str, Value)]) {
        let line = if self.json { object(fields) } else { text(fields) };
        if let Err(TrySendError::Full(_)) = self.lines.try_send(line) {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "the access log cannot keep up; lines are dropped");
            }
        }
    }
}

/// Collects what is worth knowing about an exchange, if anybody wants to know.
#[derive(Debug, Default)]
pub struct Exchange(Option<Box<Fields>>, Tally);

/// An exchange in the numbers that its listener counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// The status of the response; `None` when nobody was left to be answered.
    pub status: Option<u16>,
    /// Whether the route answered by itself.
    pub here: bool,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

#[derive(Debug)]
struct Fields {
    log: AccessLog,
    started: Instant,
    answered: Option<Instant>,
    client: SocketAddr,
    method: String,
    target: String,
    listener: String,
    upstream: String,
    evidence: Evidence,
    cookie: Option<[char; 2]>,
    endpoint: String,
    status: u16,
    received_bytes: u64,
    sent_bytes: u64,
    reason: String,
}

impl Exchange {
    /// Begins to collect.
    pub fn begin(log: Option<&AccessLog>, client: SocketAddr, listener: &str) -> Self {
        let fields = log.map(|log| {
            Box::new(Fields {
                log: log.clone(),
                started: Instant::now(),
                answered: None,
                client,
                method: String::new(),
                target: String::new(),
                listener: listener.to_owned(),
                upstream: String::new(),
                evidence: Evidence::None,
                cookie: None,
                endpoint: String::new(),
                status: 0,
                received_bytes: 0,
                sent_bytes: 0,
                reason: "done".to_owned(),
            })
        });
        Self(fields, Tally::default())
    }

    /// Notes bytes of a head that the client has sent.
    pub fn took(&mut self, bytes: u64) {
        self.1.bytes_in += bytes;
    }

    /// Notes bytes on their way to the client, those of the head among them.
    pub fn gave(&mut self, bytes: usize) {
        self.1.bytes_out += bytes as u64;
    }

    /// Returns what the exchange was in numbers.
    pub fn tally(&self) -> Tally {
        self.1
    }

    /// Notes the first line, without the secret part of a sid.
    pub fn asked(&mut self, method: &str, target: &str) {
        if let Some(fields) = &mut self.0 {
            method.clone_into(&mut fields.method);
            fields.target = redact(target);
        }
    }

    /// Notes the route and how the request was bound.
    pub fn routed(&mut self, upstream: &str, evidence: Evidence) {
        if let Some(fields) = &mut self.0 {
            upstream.clone_into(&mut fields.upstream);
            fields.evidence = evidence;
        }
    }

    /// Notes that the session was found by asking the endpoints.
    pub fn located(&mut self) {
        if let Some(fields) = &mut self.0 {
            fields.evidence = Evidence::Located;
        }
    }

    /// Notes what was found in the request's cookie and what the response did to it, if there is one.
    pub fn cookie(&mut self, letters: Option<[char; 2]>) {
        if let Some(fields) = &mut self.0 {
            fields.cookie = letters;
        }
    }

    /// Notes which endpoint answered.
    pub fn answered(&mut self, endpoint: &Endpoint, status: u16) {
        self.1.status = Some(status);
        if let Some(fields) = &mut self.0 {
            fields.answered = Some(Instant::now());
            fields.endpoint = endpoint.address().to_string();
            fields.status = status;
        }
    }

    /// Notes how many bytes of body the client has sent, as the endpoint gets them.
    pub fn received(&mut self, bytes: u64) {
        self.1.bytes_in += bytes;
        if let Some(fields) = &mut self.0 {
            fields.received_bytes = bytes;
        }
    }

    /// Notes payload bytes on their way to the client.
    pub fn add_sent(&mut self, bytes: usize) {
        if let Some(fields) = &mut self.0 {
            fields.sent_bytes += bytes as u64;
        }
    }

    /// Notes that the balancer answered itself, or had nobody left to answer, and why.
    pub fn failed(&mut self, status: Option<u16>, reason: &dyn Display) {
        self.1.status = status;
        if let Some(fields) = &mut self.0 {
            fields.status = status.unwrap_or(CLIENT_GONE);
            fields.reason = reason.to_string();
        }
    }

    /// Notes that the route answered by itself.
    pub fn answered_here(&mut self, status: u16) {
        self.1.status = Some(status);
        self.1.here = true;
        if let Some(fields) = &mut self.0 {
            fields.answered = Some(Instant::now());
            fields.status = status;
            "route".clone_into(&mut fields.reason);
        }
    }

    /// Notes that the response was cut.
    pub fn cut(&mut self, reason: &str) {
        if let Some(fields) = &mut self.0 {
            reason.clone_into(&mut fields.reason);
        }
    }

    /// Writes the line.
    pub fn end(self) {
        let Some(fields) = self.0 else { return };
        let micros = |until: Instant| u64::try_from((until - fields.started).as_micros()).unwrap_or(u64::MAX);
        fields.log.write(&[
            ("time", json!(now())),
            ("event", json!("exchange")),
            ("client", json!(fields.client.to_string())),
            ("listener", json!(fields.listener)),
            ("method", json!(fields.method)),
            ("target", json!(fields.target)),
            ("upstream", json!(fields.upstream)),
            ("affinity", json!(fields.evidence.as_str())),
            ("cookie", json!(fields.cookie.map(String::from_iter))),
            ("endpoint", json!(fields.endpoint)),
            ("status", json!(fields.status)),
            ("wait_us", json!(fields.answered.map(micros))),
            ("total_us", json!(micros(Instant::now()))),
            ("received_bytes", json!(fields.received_bytes)),
            ("sent_bytes", json!(fields.sent_bytes)),
            ("reason", json!(fields.reason)),
        ]);
    }
}

/// Seconds since 1970 with milliseconds.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    (since.as_millis() as f64) / 1000.0
}

fn write_all(lines: &Receiver<String>) {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    while let Ok(line) = lines.recv() {
        let _ = writeln!(out, "{line}");
        // Whatever waits already is written with it.
        while let Ok(line) = lines.try_recv() {
            let _ = writeln!(out, "{line}");
        }
        let _ = out.flush();
    }
}

/// Writes fields as one JSON object.
fn object(fields: &[(&str, Value)]) -> String {
    let pairs: Vec<String> = fields.iter().map(|(key, value)| format!("{:?}:{value}", key)).collect();
    format!("{{{}}}", pairs.join(","))
}

/// Writes fields as `key=value`, with quotes where a value has blanks.
fn text(fields: &[(&str, Value)]) -> String {
    let pairs = fields.iter().map(|(key, value)| match value {
        Value::String(text) if text.contains([' ', '"']) => format!("{key}={text:?}"),
        Value::String(text) if text.is_empty() => format!("{key}=-"),
        Value::String(text) => format!("{key}={text}"),
        Value::Null => format!("{key}=-"),
        value => format!("{key}={value}"),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// Cuts the value of `sid` to its first six characters: whoever knows a whole one can take the session over.
fn redact(target: &str) -> String {
    const SHOWN: usize = 6;
    let Some(query_start) = target.find('?') else {
        return target.to_owned();
    };
    let (path, query) = target.split_at(query_start + 1);
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, sid)) if name.contains("sid") && sid.len() > SHOWN => {
            format!("{name}={}…", sid.chars().take(SHOWN).collect::<String>())
        }
        _ => parameter.to_owned(),
    });
    format!("{path}{}", parameters.collect::<Vec<_>>().join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_are_not_logged() {
        assert_eq!(redact("/socket.io/?EIO=4&sid=abcdefghijk&t=1"), "/socket.io/?EIO=4&sid=abcdef…&t=1");
        assert_eq!(redact("/socket.io/"), "/socket.io/");
    }

    #[test]
    fn lines_keep_their_order_in_both_forms() {
        let fields = [("b", json!("c d")), ("a", json!(1)), ("e", json!("")), ("x", Value::Null)];
        assert_eq!(text(&fields), "b=\"c d\" a=1 e=- x=-");
        assert_eq!(object(&fields), r#"{"b":"c d","a":1,"e":"","x":null}"#);
    }
}
