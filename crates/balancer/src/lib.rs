//! The Socket.IO-aware sticky load balancer.
//!
//! Start with [`request`], the life of one request.
#![deny(unsafe_code)]

pub mod access_log;
pub mod admin;
pub mod affinity;
pub mod balancer;
pub mod client;
pub mod clock;
pub mod config;
pub mod control;
pub mod discovery;
pub mod error;
pub mod limit;
pub mod net;
pub mod replicas;
pub mod request;
pub mod route;
pub mod shared;
pub mod stats;
pub mod table;
pub mod tunnel;
pub mod upstream;
pub mod worker;

pub use error::Error;
