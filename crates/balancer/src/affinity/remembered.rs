//! Remembers the endpoint of each client address, as kube-proxy's ClientIP does.

use std::net::IpAddr;

use crate::config::ClientAffinity;
use crate::table::{Entry, Seconds, Table};
use crate::upstream::endpoint::EndpointId;

/// The addresses of one upstream's clients. An entry costs about 60 bytes.
#[derive(Debug)]
pub struct Remembered {
    table: Table<IpAddr, EndpointId>,
    idle_limit: Seconds,
}

impl Remembered {
    /// Makes an empty memory; `None` if addresses are not to be remembered.
    pub fn new(config: &ClientAffinity) -> Option<Self> {
        let idle_limit = Seconds::lasting(config.remember?);
        Some(Self { table: Table::new(config.capacity), idle_limit })
    }

    /// Remembers the endpoint of an address until it was not looked for during the idle limit.
    pub fn remember(&self, client: IpAddr, endpoint: EndpointId, now: Seconds) {
        // Whichever address has to go, it is balanced anew.
        let _ = self.table.insert(Entry { key: client, value: endpoint, idle_limit: self.idle_limit }, now);
    }

    /// Returns the endpoint of an address, and keeps it for another idle limit.
    pub fn find(&self, client: IpAddr, now: Seconds) -> Option<EndpointId> {
        self.table.update(&client, now, |endpoint| *endpoint)
    }

    /// Frees the expired addresses of one shard.
    pub fn sweep(&self, step: usize, now: Seconds) {
        self.table.sweep(step % self.table.shards(), now);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_is_remembered_while_it_comes_and_within_the_bound() {
        let config = ClientAffinity {
            remember: Some(std::time::Duration::from_secs(60)),
            capacity: 10,
            ..ClientAffinity::default()
        };
        let remembered = Remembered::new(&config).unwrap();
        let (client, id) = (IpAddr::from([192, 0, 2, 1]), EndpointId([1; 6]));
        assert_eq!(remembered.find(client, Seconds(0)), None);
        remembered.remember(client, id, Seconds(0));
        assert_eq!(remembered.find(client, Seconds(59)), Some(id));
        assert_eq!(remembered.find(client, Seconds(118)), Some(id));
        assert_eq!(remembered.find(client, Seconds(178)), None);
        for n in 0..100_u32 {
            remembered.remember(Ipv4Addr::from(n).into(), id, Seconds(200));
        }
        assert_eq!(remembered.table.len(), 10);
        assert!(Remembered::new(&ClientAffinity::default()).is_none());
    }
}
