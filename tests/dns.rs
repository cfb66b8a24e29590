//! Names that stand for endpoints, looked up with a real DNS server.
