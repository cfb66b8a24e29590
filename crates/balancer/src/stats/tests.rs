//! Whatever names there are, every form of the numbers keeps its shape.

use std::time::Duration;

use super::snapshot::{Checked, EndpointRow, LimitRow, ListenerRow, Queue, Rates, State, UpstreamRow};
use super::*;
use crate::affinity::Evidence;
use crate::table::Seconds;
use crate::tunnel::close::CloseReason;

/// What names could do to a page, a table, a line or a label. Configuration refuses most of it; names also come from
/// elsewhere.
const HOSTILE: &str = "</table><script>alert(1)</script>&\"'\\,\n# TYPE x\u{7f}\u{202e}é";

fn counters() -> Counters {
    let counters = Counters::default();
    for status in [101, 200, 302, 404, 503, 999] {
        counters.add(Count::of_status(status), u64::from(status));
    }
    let shard = counters.enter();
    shard.add(Count::Requests, 1_234_567);
    shard.add(Count::BytesOut, 3 << 30);
    shard.time(Time::Response, Duration::from_micros(1500));
    shard.bound(Evidence::Tag);
    shard.closed(CloseReason::ClientClosed, Some(1001), Some(4000));
    counters
}

fn snapshot(name: &str) -> Snapshot {
    let totals = counters().totals();
    let rates = Rates { current: 3, max: 7 };
    let states =
        [State::Up, State::NotProbed, State::NoNew, State::Drain, State::Ejected, State::Down, State::Maintenance];
    let endpoints = states.into_iter().map(|state| EndpointRow {
        name: name.to_owned(),
        address: "[::1]:3000".parse().unwrap(),
        id: name.to_owned(),
        state,
        backup: state == State::Drain,
        weight: 3,
        max_conn: 100,
        max_sessions: 0,
        load: 2,
        peak: 9,
        totals: totals.clone(),
        request_rate: rates,
        connection_rate: rates,
        idle: Some(61),
        queue: Queue { current: 1, max: 2, limit: Some(3) },
        throttle: (state == State::Up).then_some(40),
        ejections: 1,
        cookie: Some(name.to_owned()),
        checked: (state != State::NotProbed).then(|| Checked {
            status: "L7STS".to_owned(),
            code: Some(503),
            took: Some(Duration::from_millis(4)),
            text: name.to_owned(),
            failed: 5,
            downs: 6,
            since_change: 7,
            downtime: 8,
            rise: 2,
            fall: 3,
        }),
    });
    Snapshot {
        version: "1.2.3",
        pid: 42,
        uptime: Seconds(100_000),
        stopping: false,
        records: 5,
        listeners: vec![ListenerRow {
            name: name.to_owned(),
            address: "127.0.0.1:8000".parse().unwrap(),
            connections: 4,
            peak: 5,
            limit: None,
            totals: totals.clone(),
            connection_rate: rates,
            request_rate: rates,
            proxy_refusals: 6,
        }],
        limits: vec![LimitRow {
            route: 1,
            place: 2,
            when: name.to_owned(),
            rate: name.to_owned(),
            refused: 3,
            delayed: 4,
            keys: 5,
        }],
        upstreams: vec![UpstreamRow {
            name: name.to_owned(),
            balance: "least_conn",
            peak: 9,
            totals: totals.clone(),
            own: totals.clone(),
            request_rate: rates,
            idle: None,
            queue: Queue::default(),
            endpoints: endpoints.collect(),
        }],
    }
}

/// Returns the names of the tags in the order of the page; fails on any that is opened and not closed.
fn tags(html: &str) -> Vec<&str> {
    let mut open: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    for rest in html.split('<').skip(1) {
        let (tag, _) = rest.split_once('>').expect("a whole tag");
        let name = tag.split(' ').next().expect("a name");
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if matches!(name, "!doctype" | "meta") => {}
            None => {
                open.push(name);
                all.push(name);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    all
}

#[test]
fn a_page_is_the_same_tree_whatever_the_names() {
    let page = |name| html::write(&snapshot(name), html::Look { place: "?a=\"><b>", ..html::Look::default() });
    let (plain, hostile) = (page("app"), page(HOSTILE));
    assert_eq!(tags(&plain), tags(&hostile));
    assert!(hostile.contains("&lt;script&gt;") && !hostile.contains("<script"));
    assert!(!plain.contains("<script") && plain.contains("Limpet 1.2.3"));
}

#[test]
fn every_row_of_a_table_has_as_many_cells_as_its_head() {
    let page = html::write(&snapshot("app"), html::Look::default());
    for table in page.split("<table>").skip(1) {
        let table = table.split("</table>").next().unwrap();
        let (head, body) = table.split_once("</thead>").unwrap();
        let columns = head.rsplit("<tr>").next().unwrap().matches("<th").count();
        let group_row = head.split("</tr>").next().unwrap();
        let spans = group_row.split("<th").filter(|cell| cell.starts_with([' ', '>'])).map(|cell| {
            cell.split("colspan=\"").nth(1).map_or(1, |span| span.split('"').next().unwrap().parse::<usize>().unwrap())
        });
        assert_eq!(spans.sum::<usize>(), columns, "{group_row}");
        // More do not fit a screen of 1,280 px.
        assert!(columns <= 20, "{columns} columns: {group_row}");
        for row in body.split("<tr").skip(1) {
            assert_eq!(row.matches("<td").count() + row.matches("<th").count(), columns, "{row}");
        }
    }
}

#[test]
fn what_a_page_says_of_itself_can_be_chosen() {
    let look = html::Look { hide_version: true, refresh: Some(Duration::from_secs(10)), place: "?stats" };
    let page = html::write(&snapshot("app"), look);
    assert!(!page.contains("1.2.3") && page.contains("http-equiv=\"refresh\" content=\"10\""), "{page}");
    assert!(page.contains("href=\"?stats;csv\"") && page.contains(";norefresh"));
    assert!(!json::write(&snapshot("app"), true).contains("1.2.3"));
    assert!(json::write(&snapshot("app"), false).contains("\"version\":\"1.2.3\""));
}

#[test]
fn lines_of_csv_have_their_fields_whatever_the_names() {
    let csv = csv::write(&snapshot(HOSTILE));
    let columns = csv::COLUMNS.split(',').count();
    let mut lines = csv.lines();
    assert_eq!(lines.next().unwrap().strip_prefix("# "), Some(csv::COLUMNS));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1 + 7 + 1);
    for line in lines {
        let mut quoted = false;
        let separators = line.chars().filter(|c| {
            quoted ^= *c == '"';
            *c == ',' && !quoted
        });
        assert_eq!(separators.count() + 1, columns, "{line}");
    }
}

#[test]
fn json_keeps_names_as_they_are() {
    let value: serde_json::Value = serde_json::from_str(&json::write(&snapshot(HOSTILE), false)).unwrap();
    assert_eq!(value["upstreams"][0]["endpoints"][3]["name"], HOSTILE);
    assert_eq!(value["upstreams"][0]["endpoints"][3]["state"], "drain");
    assert_eq!(value["listeners"][0]["responses"]["4xx"], 404);
    assert_eq!(value["upstreams"][0]["tunnels"]["endpoint_close_codes"]["4xxx"], 1);
}

#[test]
fn metrics_are_grouped_and_typed_whatever_the_names() {
    let text = metrics::write(&snapshot(HOSTILE));
    let mut seen: Vec<&str> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(!seen.contains(&name), "{name} stands in two places");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            seen.push(name);
        } else if !line.starts_with("# HELP ") {
            let name = line.split(['{', ' ']).next().unwrap();
            assert_eq!(Some(&name), seen.last(), "{line}");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(seen.len() > 40, "{seen:?}");
}
