//! Looks names up: one answer for one target.

use std::collections::HashMap;
use std::time::Duration;

use super::name::{Answer, Family, Part, Record, Target};

/// Looks a target up once.
pub async fn look_up(target: &Target) -> Answer {
    let Target::Host { name, port } = target else {
        return Answer { records: Part::Missing, addresses: HashMap::new(), ttl: Duration::ZERO };
    };
    let record = Record { target: name.clone(), port: *port, priority: 0, weight: None };
    let found = tokio::net::lookup_host((name.as_str(), *port)).await;
    let part = || match &found {
        Ok(_) => Part::Missing,
        Err(error) => Part::Failed(error.to_string()),
    };
    let mut addresses: HashMap<_, Part<Vec<_>>> =
        [Family::V4, Family::V6].into_iter().map(|family| ((name.clone(), family), part())).collect();
    if let Ok(found) = found {
        for address in found {
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            let key = (name.clone(), family);
            match addresses.get_mut(&key) {
                Some(Part::Found(all)) => all.push(address.ip()),
                _ => _ = addresses.insert(key, Part::Found(vec![address.ip()])),
            }
        }
    }
    Answer { records: Part::Found(vec![record]), addresses, ttl: Duration::from_secs(30) }
}
