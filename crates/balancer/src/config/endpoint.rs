//! `endpoints`: addresses, or names that stand for several.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use toml::de::DeValue;

use super::draft::Draft;
use super::part::{Part, table};
use super::reader::{self, Reader, unread};
use super::value;

/// Begins an address that stands for an SRV record.
pub(super) const SRV: &str = "srv:";

/// One address, or a name that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// A stable identity that survives a change of address.
    pub id: Option<String>,
    /// Host name or IP address; the name of an SRV record if `srv`.
    pub host: String,
    /// Port; 0 if `srv`, since the record has it.
    pub port: u16,
    /// Addresses, ports and weights come from an SRV record (RFC 2782).
    pub srv: bool,
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
    /// Makes what an SRV record (RFC 2782) stands for, such as `_http._tcp.app.example`.
    pub fn service(name: impl Into<String>) -> Self {
        Self { srv: true, ..Self::new(name, 0) }
    }

    /// Makes an endpoint with the documented defaults.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            id: None,
            host: host.into(),
            port,
            srv: false,
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
        if self.srv {
            write!(f, "{SRV}{}", self.host)
        } else if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Finds the endpoints that have the address or the id of one before them: their places, counted from one, and what is
/// wrong. Those without an address could not be read and are passed over.
pub fn repetitions<'a>(endpoints: impl IntoIterator<Item = &'a EndpointConfig>) -> Vec<(usize, String)> {
    let (mut addresses, mut ids) = (HashMap::new(), HashMap::new());
    let mut found = Vec::new();
    for (n, endpoint) in (1..).zip(endpoints).filter(|(_, endpoint)| !endpoint.host.is_empty()) {
        let address = endpoint.to_string().to_ascii_lowercase();
        match addresses.entry(address) {
            Entry::Occupied(first) => {
                found.push((n, format!("the address {} is that of endpoint {} already", first.key(), first.get())));
            }
            Entry::Vacant(place) => _ = place.insert(n),
        }
        let Some(id) = &endpoint.id else { continue };
        match ids.entry(id) {
            Entry::Occupied(first) => {
                found.push((n, format!("the id {id:?} is that of endpoint {} already", first.get())));
            }
            Entry::Vacant(place) => _ = place.insert(n),
        }
    }
    found
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

pub(super) fn read(reader: &mut Reader<'_>, entry: reader::Entry<'_>, endpoints: &mut Vec<EndpointConfig>) {
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
        if let Some(EndpointConfig { host, port, srv, .. }) = address.flatten() {
            (endpoint.host, endpoint.port, endpoint.srv) = (host, port, srv);
        }
        endpoints.push(endpoint);
    });
}
