//! Notices endpoints that have never been up: most of them are misspelt, or listen on another port.

use std::collections::HashSet;
use std::sync::Arc;

use super::Upstream;
use super::endpoint::Endpoint;
use crate::config::AdminState;
use crate::table::Seconds;

/// How long an endpoint may take to come up for the first time.
const PATIENCE: Seconds = Seconds(60);

/// The endpoints of which it was said, by their serials.
#[derive(Debug, Default)]
pub struct NeverUp(HashSet<u64>);

impl NeverUp {
    /// Looks at the endpoints of all upstreams, and warns once of each that probes have never seen up for a minute.
    pub fn look(&mut self, upstreams: &[Arc<Upstream>], now: Seconds) {
        let mut late = HashSet::new();
        for upstream in upstreams {
            for endpoint in upstream.endpoints().iter().filter(|endpoint| was_never_up(endpoint, now)) {
                late.insert(endpoint.serial());
                if !self.0.contains(&endpoint.serial()) {
                    let last = endpoint.health().last_check().check;
                    let (reason, text) = (last.status.sentence(), &*last.text);
                    tracing::warn!(
                        upstream = upstream.name(),
                        endpoint = endpoint.name(),
                        address = %endpoint.address(),
                        check = %last,
                        reason,
                        text,
                        "endpoint has never been up. Are its address, its port and the probe right? Drop it if it is gone"
                    );
                }
            }
        }
        self.0 = late;
    }
}

/// Tells whether an endpoint has been probed for long and was never found up.
fn was_never_up(endpoint: &Endpoint, now: Seconds) -> bool {
    if !endpoint.health().is_down() || endpoint.state() == AdminState::Maintenance {
        return false;
    }
    let history = endpoint.health().probed(now);
    history.uptime == Seconds(0) && history.since_change >= PATIENCE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EndpointConfig, ProbeConfig, UpstreamConfig};
    use crate::upstream::endpoint::EndpointId;
    use crate::upstream::health::{Check, CheckStatus};

    #[test]
    fn an_endpoint_is_late_after_a_minute_of_failures_alone() {
        let address = ([127, 0, 0, 1], 1).into();
        let endpoint = || {
            let config = EndpointConfig::new("127.0.0.1", 1);
            Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
        };
        let probe = |endpoint: &Endpoint, status, at| {
            let config = ProbeConfig { rise: 1, fall: 1, ..ProbeConfig::default() };
            endpoint.health().handle_check(Check::new(status, None, ""), &config, Seconds(at));
        };
        let never = endpoint();
        assert!(!was_never_up(&never, Seconds(500)), "nobody has probed it");
        (100..=160).step_by(5).for_each(|at| probe(&never, CheckStatus::Layer4Connection, at));
        assert!(!was_never_up(&never, Seconds(159)));
        assert!(was_never_up(&never, Seconds(160)));
        let once = endpoint();
        probe(&once, CheckStatus::Layer4Ok, 100);
        probe(&once, CheckStatus::Layer4Connection, 105);
        assert!(!was_never_up(&once, Seconds(500)));
        // Said once, and forgotten with the endpoint.
        let upstream = Arc::new(Upstream::new(UpstreamConfig::new("app", Vec::new())));
        upstream.set_endpoints(vec![Arc::clone(&never), once]);
        let mut late = NeverUp::default();
        late.look(&[Arc::clone(&upstream)], Seconds(160));
        assert_eq!(late.0, HashSet::from([never.serial()]));
        upstream.set_endpoints(Vec::new());
        late.look(&[upstream], Seconds(161));
        assert!(late.0.is_empty());
        never.set_state(AdminState::Maintenance);
        assert!(!was_never_up(&never, Seconds(500)));
    }
}
