//! Records of the sessions seen, for counting load in sessions and for showing them. Routing never asks them.
//!
//! A record is soft state. It is made by the handshake or by the first valid tag, and holds one unit of its endpoint's
//! [`Load`]. When the session moves to a tunnel, the unit goes with it and the record stays for a while without one,
//! since polls of the upgrade are still under way and must not make a second record with a second unit.
//!
//! A record goes when the session is closed, or when it was not touched for its idle limit, pingInterval + pingTimeout
//! and some seconds. A long poll touches it when it begins ([`Sessions::touch`]) and when it ends
//! ([`Sessions::count`]). Pings end every poll of a live session within pingInterval + pingTimeout, so that no record
//! expires under a pending poll.
//!
//! A record costs about 200 bytes with a sid of 20 characters, so that the default bound costs 40 MB. When the table
//! is full, a record that was not used for long goes.

use std::net::IpAddr;
use std::sync::Arc;

use limpet_proto::engineio::Transport;
use limpet_proto::engineio::sid::Sid;

use crate::stats::Count;
use crate::table::{Entry, Seconds, Table};
use crate::upstream::endpoint::Load;

#[cfg(test)]
mod tests;

/// The default bound on records.
pub const DEFAULT_CAPACITY: usize = 200_000;

/// What is known of a session when its record is made.
#[derive(Debug)]
pub struct Opening {
    /// A unit of load of the endpoint that has the session.
    pub load: Option<Load>,
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// The transport that the session has now.
    pub transport: Transport,
    /// The address of the client.
    pub client: IpAddr,
    /// The number of the client's [user agent](super::user_agent::UserAgents).
    pub user_agent: u16,
    /// How long the record stays after the last touch.
    pub idle_limit: Seconds,
}

/// One session as this process has seen it.
#[derive(Debug)]
pub struct Record {
    load: Option<Load>,
    upstream: Arc<str>,
    transport: Transport,
    client: IpAddr,
    user_agent: u16,
    opened: Seconds,
    requests: u32,
    bytes_in: u64,
    bytes_out: u64,
}

/// The records of all sessions of this process, shared by all workers.
#[derive(Debug)]
pub struct Sessions {
    table: Table<Sid, Record>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl Sessions {
    /// Makes an empty table for at most `capacity` records.
    pub fn new(capacity: usize) -> Self {
        Self { table: Table::new(capacity) }
    }

    /// Records a session whose handshake has succeeded, as having made one request. Takes the sid as the endpoint gave
    /// it, without a tag.
    pub fn opened(&self, sid: Sid, opening: Opening, now: Seconds) {
        let mut entry = Record::entry(sid, opening, now);
        entry.value.requests = 1;
        drop(self.table.insert(entry, now));
    }

    /// Notes the beginning of a request of a session whose endpoint is certain. If there is no record, `make` gives
    /// what to make it from; a `make` that gives `None` makes none. Only there does the caller take a unit of load.
    /// `make` runs under a lock, so it must be short and use no sessions. Returns whether there is a record now.
    pub fn touch(&self, sid: &str, now: Seconds, make: impl FnOnce() -> Option<Opening>) -> bool {
        let make = || Some(Record::entry(Sid::parse(sid)?, make()?, now));
        let begin = |record: &mut Record| record.requests = record.requests.saturating_add(1);
        self.table.get_or_insert_with(sid, now, make, begin).is_some()
    }

    /// Notes the end of a request: bytes from the client and to the client.
    pub fn count(&self, sid: &str, bytes_in: u64, bytes_out: u64, now: Seconds) {
        self.table.update(sid, now, |record| {
            record.bytes_in = record.bytes_in.saturating_add(bytes_in);
            record.bytes_out = record.bytes_out.saturating_add(bytes_out);
        });
    }

    /// Notes that a tunnel has taken the session over, and gives it the unit of load. Returns `None` if there was no
    /// unit: the tunnel then takes one of its own.
    ///
    /// The upgrade request must have been [touched](Self::touch) before, otherwise a poll that comes later makes a
    /// record with a unit beside that of the tunnel.
    pub fn upgraded(&self, sid: &str, now: Seconds) -> Option<Load> {
        self.table.update(sid, now, |record| {
            record.transport = Transport::Websocket;
            record.take_load()
        })?
    }

    /// Forgets a session that was closed, by a close packet or because its endpoint no longer knows it. Returns its
    /// record.
    pub fn closed(&self, sid: &str) -> Option<Record> {
        self.table.remove(sid).map(|(_, record)| record)
    }

    /// Frees the expired records of one shard, and with them their load; see [`Table::sweep`].
    pub fn sweep(&self, shard: usize, now: Seconds) -> usize {
        self.table.sweep(shard, now)
    }

    /// Shows the records of one shard with the time of their last touch; see [`Table::page`].
    pub fn page(&self, shard: usize, now: Seconds, show: impl FnMut(&Sid, &Record, Seconds)) {
        self.table.page(shard, now, show);
    }

    /// Returns the number of shards.
    pub fn shards(&self) -> usize {
        self.table.shards()
    }

    /// Returns the number of records, those that have expired but were not yet swept among them.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether there are no records at all.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

impl Record {
    fn entry(sid: Sid, opening: Opening, now: Seconds) -> Entry<Sid, Self> {
        let Opening { load, upstream, transport, client, user_agent, idle_limit } = opening;
        if let Some(load) = &load {
            load.endpoint().counters().add(Count::LivePolling, 1);
        }
        let record =
            Self { load, upstream, transport, client, user_agent, opened: now, requests: 0, bytes_in: 0, bytes_out: 0 };
        Entry { key: sid, value: record, idle_limit }
    }

    /// Gives the unit of load away; while it has one, the session lives on polling.
    fn take_load(&mut self) -> Option<Load> {
        let load = self.load.take()?;
        load.endpoint().counters().shard().leave(Count::LivePolling);
        Some(load)
    }

    /// Returns the unit of load, which names the endpoint; `None` once a tunnel has it.
    pub fn load(&self) -> Option<&Load> {
        self.load.as_ref()
    }

    /// Returns the name of the upstream.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// Returns the transport.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Returns the address of the client that made the record.
    pub fn client(&self) -> IpAddr {
        self.client
    }

    /// Returns the number of the client's user agent.
    pub fn user_agent(&self) -> u16 {
        self.user_agent
    }

    /// Returns when the record was made.
    pub fn opened(&self) -> Seconds {
        self.opened
    }

    /// Returns the number of requests, the handshake among them if this process saw it.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// Returns the number of bytes from the client in requests that have ended.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    /// Returns the number of bytes to the client in requests that have ended.
    pub fn bytes_out(&self) -> u64 {
        self.bytes_out
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        drop(self.take_load());
    }
}
