//! `endpoints`: addresses, or names that stand for several.

use std::fmt;

use toml::de::DeValue;

use super::draft::Draft;
use super::part::{Part, table};
use super::reader::{Entry, Reader, unread};
use super::value;

/// One address, or a name that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// A stable identity that survives a change of address.
    pub id: Option<String>,
    /// Host name or IP address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Its share, 0 to 256 as HAProxy has it: 0 takes no new sessions.
    pub weight: u32,
    /// Used only while every other endpoint is unusable.
    pub backup: bool,
    /// Requests and tunnels in progress at a time, 0 for no limit; others wait.
    pub max_conn: u32,
    /// Sessions and tunnels at a time, 0 for no limit; new sessions go elsewhere.
    pub max_sessions: u32,
    /// Its plain id in cookies and in Apache's routes.
    pub cookie: Option<String>,
    /// What the operator wants of it.
    pub state: AdminState,
}

/// What the operator wants of an endpoint, whatever its health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdminState {
    /// It takes new sessions.
    #[default]
    Ready,
    /// It keeps its sessions and takes no new ones.
    Drain,
    /// It takes nothing, as if it were down.
    Maintenance,
}

impl AdminState {
    /// Every value, in the order of the documentation.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Drain, Self::Maintenance];

    /// Returns the word for it in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

impl EndpointConfig {
    /// Makes an endpoint with the documented defaults.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            id: None,
            host: host.into(),
            port,
            weight: 1,
            backup: false,
            max_conn: 0,
            max_sessions: 0,
            cookie: None,
            state: AdminState::Ready,
        }
    }
}

impl fmt::Display for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

pub(super) const PART: Part = Part {
    title: "an endpoint",
    header: "",
    doc: "",
    keys: &[
        table("address"),
        table("id"),
        table("weight"),
        table("backup"),
        table("max_conn"),
        table("max_sessions"),
        table("cookie"),
        table("state"),
    ],
};

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, endpoints: &mut Vec<EndpointConfig>) {
    let DeValue::Array(items) = entry.value else {
        return reader.set_list(entry, value::endpoint, endpoints);
    };
    reader.items(entry, items, |reader, item| {
        let DeValue::Table(table) = item.value else {
            return endpoints.push(reader.value(item, value::endpoint).unwrap_or_else(Draft::wrong_endpoint));
        };
        let mut address = None;
        let mut endpoint = Draft::wrong_endpoint();
        let it = &mut endpoint;
        reader.part(&PART, item.path, table, |reader, entry| match entry.key {
            "address" => address = Some(reader.value(entry, value::endpoint)),
            "id" => it.id = reader.value(entry, value::id),
            "weight" => reader.set(entry, value::weight, &mut it.weight),
            "backup" => reader.set(entry, value::switch, &mut it.backup),
            "max_conn" => reader.set(entry, value::times, &mut it.max_conn),
            "max_sessions" => reader.set(entry, value::times, &mut it.max_sessions),
            "cookie" => it.cookie = reader.value(entry, value::id),
            "state" => reader.set(entry, value::admin_state, &mut it.state),
            _ => unread(reader, entry),
        });
        if address.is_none() {
            reader.complain(item, "lacks its address; write { address = \"app01:3000\" }");
        }
        if let Some(EndpointConfig { host, port, .. }) = address.flatten() {
            (endpoint.host, endpoint.port) = (host, port);
        }
        endpoints.push(endpoint);
    });
}
