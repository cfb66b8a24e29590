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

pub(super) const PART: Part =
    Part { title: "an endpoint", header: "", doc: "", keys: &[table("address"), table("id")] };

pub(super) fn read(reader: &mut Reader<'_>, entry: Entry<'_>, endpoints: &mut Vec<EndpointConfig>) {
    let DeValue::Array(items) = entry.value else {
        return reader.set_list(entry, value::endpoint, endpoints);
    };
    reader.items(entry, items, |reader, item| {
        let DeValue::Table(table) = item.value else {
            return endpoints.push(reader.value(item, value::endpoint).unwrap_or_else(Draft::wrong_endpoint));
        };
        let (mut address, mut id) = (None, None);
        reader.part(&PART, item.path, table, |reader, entry| match entry.key {
            "address" => address = Some(reader.value(entry, value::endpoint)),
            "id" => id = reader.value(entry, value::id),
            _ => unread(reader, entry),
        });
        if address.is_none() {
            reader.complain(item, "lacks its address; write { address = \"app01:3000\" }");
        }
        let endpoint = address.flatten().unwrap_or_else(Draft::wrong_endpoint);
        endpoints.push(EndpointConfig { id, ..endpoint });
    });
}
