//! The numbers for Prometheus, in its text format 0.0.4.

use std::fmt::Write as _;
use std::time::Duration;

use super::counters::{Count, Time, Totals};
use super::snapshot::{EndpointRow, LimitRow, ListenerRow, Snapshot, UpstreamRow};

/// The type of the text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes every metric.
pub fn write(snapshot: &Snapshot) -> String {
    let mut text = Text::default();
    process(&mut text, snapshot);
    listeners(&mut text, &snapshot.listeners);
    upstreams(&mut text, &snapshot.upstreams);
    endpoints(&mut text, &snapshot.upstreams);
    limits(&mut text, &snapshot.limits);
    text.0
}

fn limits(text: &mut Text, rows: &[LimitRow]) {
    let mut all = |name: &str, kind: &str, help: &str, value: &dyn Fn(&LimitRow) -> u64| {
        text.begin(name, kind, help);
        for row in rows {
            let (route, place) = (row.route.to_string(), row.place.to_string());
            text.sample(name, &[("route", &route), ("limit", &place)], value(row));
        }
    };
    all("limpet_rate_limit_refused_total", "counter", "Requests that a rate limit refused.", &|row| row.refused);
    all("limpet_rate_limit_delayed_total", "counter", "Requests that waited for a rate limit.", &|row| row.delayed);
    all("limpet_rate_limit_keys", "gauge", "Clients or header values that a rate limit remembers.", &|row| row.keys);
}

#[derive(Default)]
struct Text(String);

type Labels<'a> = &'a [(&'static str, &'a str)];

impl Text {
    /// Begins a metric: everything of one name stands together.
    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, value)) in labels.iter().enumerate() {
            self.0.push(if at == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escape(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

/// Escapes the value of a label.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn process(text: &mut Text, snapshot: &Snapshot) {
    text.begin("limpet_info", "gauge", "The version that runs; always 1.");
    text.sample("limpet_info", &[("version", snapshot.version)], 1);
    text.begin("limpet_uptime_seconds", "gauge", "Time since the process began.");
    text.sample("limpet_uptime_seconds", &[], snapshot.uptime.0);
    text.begin(
        "limpet_session_records",
        "gauge",
        "Records of sessions, expired ones that were not yet swept among them.",
    );
    text.sample("limpet_session_records", &[], snapshot.records);
}

fn listeners(text: &mut Text, rows: &[ListenerRow]) {
    let mut all = |name: &str, kind: &str, help: &str, value: &dyn Fn(&ListenerRow) -> u64| {
        text.begin(name, kind, help);
        for row in rows {
            text.sample(name, &[("listener", &row.name)], value(row));
        }
    };
    all("limpet_listener_connections", "gauge", "Open client connections, tunnels among them.", &|row| row.connections);
    all("limpet_listener_connections_max", "gauge", "The most client connections at a time.", &|row| row.peak);
    for (name, help, count) in [
        ("limpet_listener_connections_total", "Client connections that were accepted.", Count::Connections),
        (
            "limpet_listener_denied_connections_total",
            "Client connections that a limit refused.",
            Count::DeniedConnections,
        ),
        ("limpet_listener_requests_total", "Requests.", Count::Requests),
        ("limpet_listener_denied_requests_total", "Requests that a rule refused.", Count::Denied),
        (
            "limpet_listener_request_errors_total",
            "Requests that could not be understood or came too late.",
            Count::RequestErrors,
        ),
        ("limpet_listener_answered_total", "Requests that a route answered by itself.", Count::AnsweredHere),
        ("limpet_listener_client_aborts_total", "Requests whose client went away.", Count::ClientAborts),
        (
            "limpet_listener_received_bytes_total",
            "Bytes from clients, those of live tunnels among them.",
            Count::BytesIn,
        ),
        ("limpet_listener_sent_bytes_total", "Bytes to clients, those of live tunnels among them.", Count::BytesOut),
    ] {
        all(name, "counter", help, &|row| row.totals.get(count));
    }
    let help = "Client connections that were refused for their PROXY header.";
    all("limpet_listener_proxy_refusals_total", "counter", help, &|row| row.proxy_refusals);
    let name = "limpet_listener_responses_total";
    text.begin(name, "counter", "Responses by the class of their status.");
    for row in rows {
        statuses(text, name, &[("listener", &row.name)], &row.totals);
    }
}

fn upstreams(text: &mut Text, rows: &[UpstreamRow]) {
    let mut all = |name: &str, kind: &str, help: &str, value: &dyn Fn(&UpstreamRow) -> u64| {
        text.begin(name, kind, help);
        for row in rows {
            text.sample(name, &[("upstream", &row.name)], value(row));
        }
    };
    all("limpet_upstream_up", "gauge", "Whether any endpoint takes new sessions.", &|row| u64::from(row.is_usable()));
    all("limpet_upstream_in_progress_max", "gauge", "The most requests and tunnels at a time.", &|row| row.peak);
    all("limpet_upstream_queue", "gauge", "Requests that wait for an endpoint.", &|row| row.queue.current);
    all("limpet_upstream_queue_max", "gauge", "The most requests that waited at a time.", &|row| row.queue.max);
    for (name, help, count) in [
        (
            "limpet_upstream_answered_total",
            "Requests that the balancer answered for lack of a response.",
            Count::AnsweredHere,
        ),
        ("limpet_upstream_denied_requests_total", "Requests that a rule refused.", Count::Denied),
        (
            "limpet_upstream_unknown_sessions_total",
            "Requests of sessions that no endpoint has.",
            Count::UnknownSessions,
        ),
    ] {
        all(name, "counter", help, &|row| row.own.get(count));
    }
    let name = "limpet_upstream_affinity_total";
    text.begin(name, "counter", "Requests by what bound them to their endpoint.");
    for row in rows {
        for (evidence, number) in row.totals.evidence() {
            text.sample(name, &[("upstream", &row.name), ("evidence", evidence.as_str())], number);
        }
    }
}

/// A metric of each endpoint: its name, what it is for, and its value, if it has one.
type OfEndpoint<'a> = (&'a str, &'a str, &'a dyn Fn(&EndpointRow) -> Option<f64>);

fn endpoints(text: &mut Text, upstreams: &[UpstreamRow]) {
    let rows = || upstreams.iter().flat_map(|upstream| upstream.endpoints.iter().map(move |row| (upstream, row)));
    for (name, help, count) in [
        ("limpet_endpoint_requests_total", "Requests that the endpoint was sent.", Count::Requests),
        (
            "limpet_endpoint_received_bytes_total",
            "Bytes from clients, those of live tunnels among them.",
            Count::BytesIn,
        ),
        ("limpet_endpoint_sent_bytes_total", "Bytes to clients, those of live tunnels among them.", Count::BytesOut),
        ("limpet_endpoint_connect_errors_total", "Connections to the endpoint that failed.", Count::ConnectErrors),
        (
            "limpet_endpoint_response_errors_total",
            "Responses that did not come or were malformed.",
            Count::ResponseErrors,
        ),
        (
            "limpet_endpoint_denied_responses_total",
            "Responses that were refused because they would have been dangerous.",
            Count::DeniedResponses,
        ),
        ("limpet_endpoint_retries_total", "Requests that were sent again on a new connection.", Count::Retries),
        ("limpet_endpoint_redispatches_total", "Requests that went on to another endpoint.", Count::Redispatches),
        (
            "limpet_endpoint_client_aborts_total",
            "Exchanges that ended because the client went away.",
            Count::ClientAborts,
        ),
        ("limpet_endpoint_server_aborts_total", "Responses that the endpoint broke off.", Count::ServerAborts),
        ("limpet_endpoint_connections_total", "Connections that were opened to the endpoint.", Count::NewConnections),
        ("limpet_endpoint_reused_connections_total", "Requests on a kept connection.", Count::ReusedConnections),
        ("limpet_endpoint_tunnels_total", "Upgrades that became tunnels.", Count::Tunnels),
        ("limpet_endpoint_failed_upgrades_total", "Upgrades that became no tunnel.", Count::FailedUpgrades),
        ("limpet_endpoint_received_messages_total", "Messages from clients in tunnels.", Count::MessagesIn),
        ("limpet_endpoint_sent_messages_total", "Messages to clients in tunnels.", Count::MessagesOut),
    ] {
        text.begin(name, "counter", help);
        for (upstream, row) in rows() {
            text.sample(name, &labels(upstream, row), row.totals.get(count));
        }
    }
    let flag = |is: bool| Some(f64::from(u8::from(is)));
    let check = |row: &EndpointRow, number: fn(&super::snapshot::Checked) -> u64| {
        row.checked.as_ref().map(|checked| number(checked) as f64)
    };
    let average = |row: &EndpointRow, time| row.totals.average(time).as_ref().map(Duration::as_secs_f64);
    let gauges: [OfEndpoint<'_>; 12] = [
        ("limpet_endpoint_up", "Whether new sessions go there.", &|row| flag(row.state.takes_new())),
        ("limpet_endpoint_weight", "The share of new sessions.", &|row| Some(f64::from(row.weight))),
        ("limpet_endpoint_load", "Sessions, tunnels and unbound requests.", &|row| Some(f64::from(row.load))),
        ("limpet_endpoint_in_progress", "Requests and tunnels in progress.", &|row| {
            Some(row.totals.get(Count::Current) as f64)
        }),
        ("limpet_endpoint_in_progress_max", "The most requests and tunnels at a time.", &|row| Some(row.peak as f64)),
        ("limpet_endpoint_tunnels", "Tunnels that live.", &|row| Some(row.totals.get(Count::LiveTunnels) as f64)),
        ("limpet_endpoint_queue", "Requests that wait for the endpoint.", &|row| Some(row.queue.current as f64)),
        ("limpet_endpoint_queue_max", "The most requests that waited at a time.", &|row| Some(row.queue.max as f64)),
        ("limpet_endpoint_queue_seconds", "Average of the last waits, where it has a limit.", &|row| {
            average(row, Time::Queue)
        }),
        ("limpet_endpoint_connect_seconds", "Average of the last connects.", &|row| average(row, Time::Connect)),
        ("limpet_endpoint_response_seconds", "Average time to the head of the last responses.", &|row| {
            average(row, Time::Response)
        }),
        ("limpet_endpoint_total_seconds", "Average of the last exchanges.", &|row| average(row, Time::Total)),
    ];
    let counters: [OfEndpoint<'_>; 4] = [
        ("limpet_endpoint_ejections_total", "How often real traffic got it ejected.", &|row| {
            Some(row.ejections as f64)
        }),
        ("limpet_endpoint_failed_checks_total", "Probes that failed while the endpoint was up.", &|row| {
            check(row, |checked| checked.failed)
        }),
        ("limpet_endpoint_downs_total", "How often the endpoint went down.", &|row| {
            check(row, |checked| checked.downs)
        }),
        ("limpet_endpoint_down_seconds_total", "How long the endpoint was down.", &|row| {
            check(row, |checked| checked.downtime)
        }),
    ];
    for (kind, metrics) in [("gauge", gauges.as_slice()), ("counter", counters.as_slice())] {
        for (name, help, value) in metrics {
            text.begin(name, kind, help);
            for (upstream, row) in rows() {
                if let Some(value) = value(row) {
                    text.sample(name, &labels(upstream, row), value);
                }
            }
        }
    }
    let name = "limpet_endpoint_responses_total";
    text.begin(name, "counter", "Responses by the class of their status.");
    for (upstream, row) in rows() {
        statuses(text, name, &labels(upstream, row), &row.totals);
    }
    by_kind(text, &rows, "limpet_endpoint_sessions", "gauge", "transport", "Engine.IO sessions that live.", &|row| {
        transports(&row.totals, Count::LivePolling, Count::LiveWebsocket)
    });
    let help = "Engine.IO sessions that began, by the transport of their handshake.";
    by_kind(text, &rows, "limpet_endpoint_handshakes_total", "counter", "transport", help, &|row| {
        transports(&row.totals, Count::PollingHandshakes, Count::WebsocketHandshakes)
    });
    let help = "Tunnels that ended, by reason.";
    by_kind(text, &rows, "limpet_endpoint_tunnel_ends_total", "counter", "reason", help, &|row| {
        row.totals.closes().map(|(reason, number)| (reason.as_str(), number)).collect()
    });
    let help = "Close codes that clients sent in tunnels.";
    by_kind(text, &rows, "limpet_endpoint_client_close_codes_total", "counter", "code", help, &|row| {
        row.totals.client_codes().filter(|(_, number)| *number > 0).collect()
    });
    let help = "Close codes that the endpoint sent in tunnels.";
    by_kind(text, &rows, "limpet_endpoint_close_codes_total", "counter", "code", help, &|row| {
        row.totals.endpoint_codes().filter(|(_, number)| *number > 0).collect()
    });
}

/// Writes a metric of endpoints with one more label.
fn by_kind<'a, R: Iterator<Item = (&'a UpstreamRow, &'a EndpointRow)>>(
    text: &mut Text,
    rows: &impl Fn() -> R,
    name: &str,
    kind: &str,
    label: &'static str,
    help: &str,
    values: &dyn Fn(&EndpointRow) -> Vec<(&'static str, u64)>,
) {
    text.begin(name, kind, help);
    for (upstream, row) in rows() {
        let [of_upstream, of_endpoint] = labels(upstream, row);
        for (value, number) in values(row) {
            text.sample(name, &[of_upstream, of_endpoint, (label, value)], number);
        }
    }
}

fn transports(totals: &Totals, polling: Count, websocket: Count) -> Vec<(&'static str, u64)> {
    vec![("polling", totals.get(polling)), ("websocket", totals.get(websocket))]
}

fn labels<'a>(upstream: &'a UpstreamRow, row: &'a EndpointRow) -> [(&'static str, &'a str); 2] {
    [("upstream", &upstream.name), ("endpoint", &row.name)]
}

fn statuses(text: &mut Text, name: &str, labels: Labels<'_>, totals: &Totals) {
    for (class, count) in ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].into_iter().zip(Count::STATUSES) {
        let mut labels = labels.to_vec();
        labels.push(("status", class));
        text.sample(name, &labels, totals.get(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_in_their_quotes() {
        let mut text = Text::default();
        text.sample("x", &[("a", "b\\c\"d\ne")], 1);
        assert_eq!(text.0, "x{a=\"b\\\\c\\\"d\\ne\"} 1\n");
    }
}
