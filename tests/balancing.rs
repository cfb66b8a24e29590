//! Balancing from outside.
