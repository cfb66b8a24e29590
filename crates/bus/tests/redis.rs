//! The Redis adapter with a real Redis: what it does when that fails, and what it speaks.

#[path = "redis/bulk.rs"]
mod bulk;
#[path = "redis/cluster.rs"]
mod cluster;
#[path = "redis/names.rs"]
mod names;
#[path = "redis/outage.rs"]
mod outage;
#[path = "redis/places.rs"]
mod places;
#[path = "redis/python.rs"]
mod python;
#[path = "redis/rights.rs"]
mod rights;
#[path = "redis/rooms.rs"]
mod rooms;
#[path = "redis/secure.rs"]
mod secure;
#[path = "redis/support.rs"]
mod support;
