//! Test tools of Limpet: child processes as fixtures, real peers and the balancer itself as a black box.
//!
//! Fixtures end with the test that owns them, take no fixed port and wait for conditions, never for a time.

pub mod apache;
pub mod certificates;
pub mod chaos;
pub mod conformance;
pub mod corpus;
pub mod crowd;
pub mod dnsmasq;
pub mod haproxy;
pub mod http;
pub mod limpet;
pub mod listener;
pub mod misbehave;
pub mod nginx;
pub mod oracle;
pub mod peers;
pub mod port;
pub mod process;
pub mod raw;
pub mod redis;
pub mod scripted;
pub mod wait;
