//! Events between the nodes of a cluster.
//!
//! A hub reaches the sockets of one namespace on one node, a bus carries events between nodes, and an adapter joins both.
#![forbid(unsafe_code)]
