//! What is counted and timed.

/// What is counted. Not every number belongs to every object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Client connections that were accepted.
    Connections,
    /// Requests: at a listener all, at an endpoint each attempt that it was sent.
    Requests,
    /// Bytes from clients: request heads and bodies, and what tunnels bring.
    BytesIn,
    /// Bytes to clients: response heads and bodies, and what tunnels bring.
    BytesOut,
    /// Responses with a status of 1xx, which are those that begin tunnels.
    Status1xx,
    /// Responses with a status of 2xx.
    Status2xx,
    /// Responses with a status of 3xx.
    Status3xx,
    /// Responses with a status of 4xx.
    Status4xx,
    /// Responses with a status of 5xx.
    Status5xx,
    /// Responses with any other status.
    StatusOther,
    /// Requests that were refused by a rule.
    Denied,
    /// Connections that were refused by a rule.
    DeniedConnections,
    /// Requests that could not be understood, or that did not arrive in time.
    RequestErrors,
    /// Requests that the balancer answered itself.
    AnsweredHere,
    /// Connections to the endpoint that failed.
    ConnectErrors,
    /// Responses that were refused because they would have been dangerous.
    DeniedResponses,
    /// Responses that did not come, came too late or were malformed.
    ResponseErrors,
    /// Requests that were sent again on a new connection to the same endpoint.
    Retries,
    /// Requests that went on to another endpoint.
    Redispatches,
    /// Exchanges that ended because the client went away.
    ClientAborts,
    /// Responses that the endpoint broke off.
    ServerAborts,
    /// New connections to the endpoint.
    NewConnections,
    /// Requests on a connection that was kept.
    ReusedConnections,
    /// Requests of sessions that no endpoint has.
    UnknownSessions,
    /// Engine.IO sessions that began with a polling handshake.
    PollingHandshakes,
    /// Engine.IO sessions that began on a WebSocket.
    WebsocketHandshakes,
    /// Tunnels that began: upgrades that succeeded.
    Tunnels,
    /// Requests for an upgrade that did not become a tunnel.
    FailedUpgrades,
    /// Messages from clients in tunnels.
    MessagesIn,
    /// Messages to clients in tunnels.
    MessagesOut,
    /// Gauge: requests in progress and tunnels.
    Current,
    /// Gauge: tunnels that live.
    LiveTunnels,
    /// Gauge: Engine.IO sessions that live on polling.
    LivePolling,
    /// Gauge: Engine.IO sessions that live on a WebSocket.
    LiveWebsocket,
}

pub(super) const COUNTS: usize = Count::LiveWebsocket as usize + 1;

impl Count {
    /// The classes of statuses, from 1xx to 5xx, and the rest.
    pub const STATUSES: [Self; 6] =
        [Self::Status1xx, Self::Status2xx, Self::Status3xx, Self::Status4xx, Self::Status5xx, Self::StatusOther];

    /// Returns the class of a status.
    pub fn of_status(status: u16) -> Self {
        match status / 100 {
            1 => Self::Status1xx,
            2 => Self::Status2xx,
            3 => Self::Status3xx,
            4 => Self::Status4xx,
            5 => Self::Status5xx,
            _ => Self::StatusOther,
        }
    }
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// In the queue, where an endpoint has a limit of requests in progress.
    Queue,
    /// Opening a connection to an endpoint.
    Connect,
    /// From the end of that to the head of the response.
    Response,
    /// From the choice of the endpoint to the end of the exchange.
    Total,
}

pub(super) const TIMES: usize = Time::Total as usize + 1;

/// The classes of close codes that are told apart: each registered code (RFC 6455 section 7.4.1), and those of
/// libraries and of applications by their thousand.
pub const CLOSE_CODES: [&str; 20] = [
    "1000", "1001", "1002", "1003", "1004", "1005", "1006", "1007", "1008", "1009", "1010", "1011", "1012", "1013",
    "1014", "1015", "1xxx", "3xxx", "4xxx", "other",
];

/// Returns the place of a close code in [`CLOSE_CODES`].
pub(super) fn close_code_place(code: u16) -> usize {
    match code {
        1000..=1015 => usize::from(code - 1000),
        1016..=2999 => 16,
        3000..=3999 => 17,
        4000..=4999 => 18,
        _ => 19,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_codes_have_their_places() {
        for (code, name) in [(1000, "1000"), (1006, "1006"), (1015, "1015"), (1016, "1xxx"), (2999, "1xxx")] {
            assert_eq!(CLOSE_CODES[close_code_place(code)], name);
        }
        for (code, name) in [(3000, "3xxx"), (4999, "4xxx"), (0, "other"), (999, "other"), (5000, "other")] {
            assert_eq!(CLOSE_CODES[close_code_place(code)], name);
        }
    }
}
