//! Decides what a server says of its health: how the bus is that joins it to others. Without one it is well.

use limpet_bus::Health;

use crate::server::Server;

impl Server {
    /// Returns whether the other servers can be reached, and what it has cost that they could not. The numbers are those
    /// of the adapter, so servers that share one have the same.
    ///
    /// A server that is cut off still serves its own clients: a probe that takes it out of use for that takes out all
    /// servers at once when the bus fails.
    pub fn health(&self) -> Health {
        self.options().adapter.health()
    }
}
