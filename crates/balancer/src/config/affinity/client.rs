//! `{ by = "client" }`: the address of the client names the endpoint, by a hash or by a memory.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeTable;

use super::super::hash::Hash;
use super::super::part::{Part, table};
use super::super::reader::{Entry, Reader, unread};
use super::super::value::{self, Parsed};
use super::{read_capacity, read_hash};

/// How long kube-proxy's ClientIP remembers an address.
const REMEMBERED: Duration = Duration::from_secs(10_800);

/// The address of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAffinity {
    /// How many bits of an IPv4 address count.
    pub prefix_v4: u8,
    /// How many bits of an IPv6 address count.
    pub prefix_v6: u8,
    /// How the address becomes an endpoint, unless it is remembered.
    pub hash: Hash,
    /// For how long after its last use the endpoint of an address is remembered; `None` to hash.
    pub remember: Option<Duration>,
    /// How many addresses are remembered; each costs about 60 bytes.
    pub capacity: usize,
}

impl Default for ClientAffinity {
    fn default() -> Self {
        Self { prefix_v4: 32, prefix_v6: 128, hash: Hash::default(), remember: None, capacity: 100_000 }
    }
}

impl ClientAffinity {
    /// Returns the part of an address that counts.
    pub fn network(&self, client: IpAddr) -> IpAddr {
        let prefix = match client {
            IpAddr::V4(_) => self.prefix_v4,
            IpAddr::V6(_) => self.prefix_v6,
        };
        IpNet::new(client, prefix).map_or(client, |network| network.network())
    }
}

pub(super) const PART: Part = Part {
    title: "affinity by client",
    header: "",
    doc: "",
    keys: &[table("by"), table("prefix_v4"), table("prefix_v6"), table("hash"), table("remember"), table("capacity")],
};

pub(super) fn read(reader: &mut Reader<'_>, item: Entry<'_>, table: &DeTable<'_>) -> Option<ClientAffinity> {
    let mut client = ClientAffinity::default();
    let it = &mut client;
    let mut hashed = false;
    let mut sized = false;
    reader.part(&PART, item.path, table, |reader, entry| match entry.key {
        "by" => {}
        "prefix_v4" => reader.set(entry, |text| read_prefix(text, 32), &mut it.prefix_v4),
        "prefix_v6" => reader.set(entry, |text| read_prefix(text, 128), &mut it.prefix_v6),
        "hash" => {
            hashed = true;
            reader.set(entry, read_hash, &mut it.hash);
        }
        "remember" => reader.set(entry, read_remember, &mut it.remember),
        "capacity" => {
            sized = true;
            reader.set(entry, read_capacity, &mut it.capacity);
        }
        _ => unread(reader, entry),
    });
    match client.remember {
        Some(_) if hashed => {
            reader.complain(item, "hash has no effect with remember: a new address is balanced; drop one")
        }
        None if sized => reader.complain(item, "capacity has no effect without remember"),
        _ => {}
    }
    Some(client)
}

fn read_prefix(text: &str, most: u8) -> Parsed<u8> {
    match text.parse() {
        Ok(bits) if (1..=most).contains(&bits) => Ok(bits),
        _ => Err(format!("{text:?} is not a length of a prefix; write a number of bits from 1 to {most}")),
    }
}

/// Reads how long an address is remembered.
fn read_remember(text: &str) -> Parsed<Option<Duration>> {
    match value::switch(text) {
        Ok(on) => Ok(on.then_some(REMEMBERED)),
        Err(_) => value::duration(text).map(Some),
    }
}
