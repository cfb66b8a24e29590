//! The numbers as JSON: named as in the metrics, nested as in the configuration.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::counters::{Count, Time, Totals};
use super::snapshot::{Checked, EndpointRow, LimitRow, ListenerRow, Rates, Snapshot, UpstreamRow};

/// Writes the numbers as one JSON object. `hide_version` leaves the version out.
pub fn write(snapshot: &Snapshot, hide_version: bool) -> String {
    let mut all = json!({
        "pid": snapshot.pid,
        "uptime_seconds": snapshot.uptime.0,
        "stopping": snapshot.stopping,
        "session_records": snapshot.records,
        "listeners": snapshot.listeners.iter().map(listener).collect::<Vec<_>>(),
        "upstreams": snapshot.upstreams.iter().map(upstream).collect::<Vec<_>>(),
        "rate_limits": snapshot.limits.iter().map(limit).collect::<Vec<_>>(),
    });
    if let (false, Value::Object(all)) = (hide_version, &mut all) {
        all.insert("version".to_owned(), json!(snapshot.version));
    }
    all.to_string()
}

fn listener(row: &ListenerRow) -> Value {
    json!({
        "name": row.name,
        "address": row.address.to_string(),
        "connections": { "current": row.connections, "max": row.peak, "limit": row.limit,
            "total": row.totals.get(Count::Connections), "denied": row.totals.get(Count::DeniedConnections) },
        "connections_per_second": rates(row.connection_rate),
        "requests": row.totals.get(Count::Requests),
        "requests_per_second": rates(row.request_rate),
        "bytes_in": row.totals.get(Count::BytesIn),
        "bytes_out": row.totals.get(Count::BytesOut),
        "denied": row.totals.get(Count::Denied),
        "denied_responses": row.totals.get(Count::DeniedResponses),
        "proxy_refusals": row.proxy_refusals,
        "request_errors": row.totals.get(Count::RequestErrors),
        "answered_here": row.totals.get(Count::AnsweredHere),
        "client_aborts": row.totals.get(Count::ClientAborts),
        "responses": responses(&row.totals),
    })
}

fn limit(row: &LimitRow) -> Value {
    json!({
        "route": row.route,
        "limit": row.place,
        "when": row.when,
        "rate": row.rate,
        "refused": row.refused,
        "delayed": row.delayed,
        "keys": row.keys,
    })
}

fn upstream(row: &UpstreamRow) -> Value {
    let mut value = exchanges(&row.totals, row.peak, row.request_rate, row.idle);
    let (active, backup) = row.usable();
    value.insert("name".to_owned(), json!(row.name));
    value.insert("balance".to_owned(), json!(row.balance));
    value.insert("usable".to_owned(), json!({ "active": active, "backup": backup }));
    value.insert("denied".to_owned(), json!(row.totals.get(Count::Denied)));
    value.insert("answered_here".to_owned(), json!(row.totals.get(Count::AnsweredHere)));
    value.insert("unknown_sessions".to_owned(), json!(row.totals.get(Count::UnknownSessions)));
    let evidence = row.totals.evidence().map(|(evidence, number)| (evidence.as_str(), number));
    value.insert("affinity".to_owned(), object(evidence));
    value.insert(
        "queue".to_owned(),
        json!({ "current": row.queue.current, "max": row.queue.max, "limit": row.queue.limit }),
    );
    value.insert("endpoints".to_owned(), row.endpoints.iter().map(endpoint).collect());
    Value::Object(value)
}

fn endpoint(row: &EndpointRow) -> Value {
    let mut value = exchanges(&row.totals, row.peak, row.request_rate, row.idle);
    value.insert("name".to_owned(), json!(row.name));
    value.insert("address".to_owned(), json!(row.address.to_string()));
    value.insert("id".to_owned(), json!(row.id));
    value.insert("state".to_owned(), json!(row.state.as_str()));
    value.insert("backup".to_owned(), json!(row.backup));
    value.insert("weight".to_owned(), json!(row.weight));
    value.insert("max_conn".to_owned(), json!(row.max_conn));
    value.insert("max_sessions".to_owned(), json!(row.max_sessions));
    value.insert("load".to_owned(), json!(row.load));
    value.insert("connections_per_second".to_owned(), rates(row.connection_rate));
    value.insert("queue".to_owned(), json!({ "current": row.queue.current, "max": row.queue.max }));
    value.insert("slow_start_percent".to_owned(), json!(row.throttle));
    value.insert("ejections".to_owned(), json!(row.ejections));
    value.insert("cookie".to_owned(), json!(row.cookie));
    value.insert("check".to_owned(), row.checked.as_ref().map_or(Value::Null, check));
    Value::Object(value)
}

fn check(checked: &Checked) -> Value {
    json!({
        "status": checked.status,
        "code": checked.code,
        "seconds": checked.took.map(|took| took.as_secs_f64()),
        "text": checked.text,
        "failed": checked.failed,
        "downs": checked.downs,
        "seconds_since_change": checked.since_change,
        "down_seconds": checked.downtime,
    })
}

/// What endpoints and their upstream have in common.
fn exchanges(totals: &Totals, peak: u64, request_rate: Rates, idle: Option<u64>) -> Map<String, Value> {
    let get = |count| totals.get(count);
    let seconds = |time| totals.average(time).as_ref().map(Duration::as_secs_f64);
    let value = json!({
        "in_progress": { "current": get(Count::Current), "max": peak },
        "sessions": { "polling": get(Count::LivePolling), "websocket": get(Count::LiveWebsocket) },
        "tunnels": { "current": get(Count::LiveTunnels), "total": get(Count::Tunnels),
            "failed_upgrades": get(Count::FailedUpgrades), "ends": object(totals.closes().map(|(r, n)| (r.as_str(), n))),
            "messages_in": get(Count::MessagesIn), "messages_out": get(Count::MessagesOut),
            "client_close_codes": object(totals.client_codes().filter(|(_, number)| *number > 0)),
            "endpoint_close_codes": object(totals.endpoint_codes().filter(|(_, number)| *number > 0)) },
        "handshakes": { "polling": get(Count::PollingHandshakes), "websocket": get(Count::WebsocketHandshakes) },
        "requests": get(Count::Requests),
        "requests_per_second": rates(request_rate),
        "seconds_since_last_request": idle,
        "bytes_in": get(Count::BytesIn),
        "bytes_out": get(Count::BytesOut),
        "responses": responses(totals),
        "connect_errors": get(Count::ConnectErrors),
        "response_errors": get(Count::ResponseErrors),
        "denied_responses": get(Count::DeniedResponses),
        "retries": get(Count::Retries),
        "redispatches": get(Count::Redispatches),
        "client_aborts": get(Count::ClientAborts),
        "server_aborts": get(Count::ServerAborts),
        "new_connections": get(Count::NewConnections),
        "reused_connections": get(Count::ReusedConnections),
        "average_seconds": { "queue": seconds(Time::Queue), "connect": seconds(Time::Connect), "response": seconds(Time::Response),
            "total": seconds(Time::Total) },
    });
    match value {
        Value::Object(value) => value,
        _ => Map::new(),
    }
}

fn rates(rates: Rates) -> Value {
    json!({ "current": rates.current, "max": rates.max })
}

fn responses(totals: &Totals) -> Value {
    object(["1xx", "2xx", "3xx", "4xx", "5xx", "other"].into_iter().zip(Count::STATUSES.map(|class| totals.get(class))))
}

fn object<'a>(pairs: impl Iterator<Item = (&'a str, u64)>) -> Value {
    Value::Object(pairs.map(|(name, number)| (name.to_owned(), json!(number))).collect())
}
