//! Sessions of Node's own adapter.
