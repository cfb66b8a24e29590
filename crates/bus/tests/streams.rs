//! Nodes joined by Redis Streams, on a real Redis: order, outages, the past, and who holds a session.

#[path = "streams/bulk.rs"]
mod bulk;
#[path = "streams/node.rs"]
mod node;
#[path = "streams/outages.rs"]
mod outages;
#[path = "streams/past.rs"]
mod past;
#[path = "streams/sessions.rs"]
mod sessions;
#[path = "streams/support.rs"]
mod support;
#[path = "streams/traffic.rs"]
mod traffic;
