//! The numbers as a page for people: HAProxy's columns, rendered here, without script.

use std::fmt::Write as _;
use std::time::Duration;

use super::counters::{Count, Time, Totals};
use super::snapshot::{Checked, EndpointRow, LimitRow, ListenerRow, Queue, Snapshot, State, UpstreamRow};

mod text;

use text::{Escaped, grouped, short_bytes, span};

const STYLE: &str = include_str!("html/style.css");

/// The groups of columns of the tables, with the columns of each.
const GROUPS: [(&str, &[&str]); 11] = [
    ("State", &["Status", "LastChk"]),
    ("Queue", &["Cur", "Max", "Limit"]),
    ("Request rate", &["Cur", "Max"]),
    ("In progress", &["Cur", "Max", "Limit", "Total", "Last"]),
    ("Engine.IO sessions", &["Polling", "WebSocket"]),
    ("Tunnels", &["Live", "Total", "Msg in", "Msg out"]),
    ("Bytes", &["In", "Out"]),
    ("Denied", &["Req", "Resp"]),
    ("Errors", &["Req", "Conn", "Resp"]),
    ("Warnings", &["Retr", "Redis"]),
    ("Server", &["Wght", "Act", "Bck", "Chk", "Dwn", "Dwntme", "Thrtle"]),
];

/// The columns with words.
const TEXTS: [&str; 4] = ["Status", "LastChk", "Rate", "When"];

/// What the page says about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look<'a> {
    /// Leaves the version out.
    pub hide_version: bool,
    /// The time after which browsers load it anew.
    pub refresh: Option<Duration>,
    /// Where it lies, for the links to its other forms.
    pub place: &'a str,
}

/// Writes the page.
pub fn write(snapshot: &Snapshot, look: Look<'_>) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.begin(snapshot, look);
    page.listeners(snapshot);
    snapshot.upstreams.iter().for_each(|upstream| page.upstream(upstream));
    page.limits(&snapshot.limits);
    page.put("<footer>Averages are over about the last 1,024 exchanges of each worker. ");
    page.put("Bytes are those of heads, bodies and tunnels, live ones among them.</footer></main></body></html>\n");
    page.0
}

struct Page(String);

impl Page {
    fn put(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(arguments);
    }

    fn begin(&mut self, snapshot: &Snapshot, look: Look<'_>) {
        self.put("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
        self.put("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">");
        self.put("<meta name=\"robots\" content=\"noindex\"><title>Limpet statistics</title>");
        if let Some(refresh) = look.refresh {
            self.write(format_args!("<meta http-equiv=\"refresh\" content=\"{}\">", refresh.as_secs().max(1)));
        }
        self.write(format_args!("<style>{STYLE}</style></head><body><main><header><h1>Limpet"));
        if !look.hide_version {
            self.write(format_args!(" {}", Escaped(snapshot.version)));
        }
        self.put("</h1>");
        let ending = if snapshot.stopping { ", stopping" } else { "" };
        let uptime = span(u64::from(snapshot.uptime.0));
        self.write(format_args!("<p>process {}, up {uptime}{ending}</p><nav>", snapshot.pid));
        let place = Escaped(look.place);
        if look.refresh.is_some() {
            self.write(format_args!("<a href=\"{place};norefresh\">Stop refreshing</a>"));
        }
        self.write(format_args!("<a href=\"{place};csv\">CSV</a><a href=\"{place};json\">JSON</a></nav></header>"));
    }

    fn listeners(&mut self, snapshot: &Snapshot) {
        self.put("<section><h2>Listeners</h2><div class=\"scroll\"><table><thead><tr><th class=\"name\"></th>");
        self.put("<th class=\"g\">State</th><th class=\"g\" colspan=\"4\">Connections</th><th class=\"g\" colspan=\"2\">Connection rate</th>");
        self.put("<th class=\"g\" colspan=\"3\">Requests</th><th class=\"g\" colspan=\"2\">Bytes</th>");
        self.put("<th class=\"g\" colspan=\"2\">Denied</th><th class=\"g\" colspan=\"2\">Errors</th>");
        self.put("</tr><tr><th class=\"name\">Listener</th>");
        self.columns(&["Status"]);
        self.columns(&["Cur", "Max", "Limit", "Total"]);
        self.columns(&["Cur", "Max"]);
        self.columns(&["Total", "/s", "Max /s"]);
        self.columns(&["In", "Out"]);
        self.columns(&["Conn", "Req"]);
        self.columns(&["Req", "Abort"]);
        self.put("</tr></thead><tbody>");
        for row in &snapshot.listeners {
            self.listener(row, snapshot.stopping);
        }
        self.put(
            "</tbody></table></div><details><summary>Responses</summary><div class=\"scroll\"><table class=\"fit\">",
        );
        self.put("<thead><tr><th class=\"name\">Listener</th>");
        self.columns(&["1xx", "2xx", "3xx", "4xx", "5xx", "other"]);
        self.put("</tr></thead><tbody>");
        for row in &snapshot.listeners {
            self.write(format_args!("<tr><th scope=\"row\">{}</th>", Escaped(&row.name)));
            self.numbers(&Count::STATUSES.map(|class| Some(row.totals.get(class))));
            self.put("</tr>");
        }
        self.put("</tbody></table></div></details></section>");
    }

    fn limits(&mut self, rows: &[LimitRow]) {
        if rows.is_empty() {
            return;
        }
        self.put("<section><h2>Rate limits</h2><div class=\"scroll\"><table class=\"fit\"><thead><tr><th class=\"name\">Route</th>");
        self.columns(&["Rate"]);
        self.columns(&["When"]);
        self.columns(&["Refused", "Delayed", "Remembered"]);
        self.put("</tr></thead><tbody>");
        for row in rows {
            self.write(format_args!(
                "<tr><th scope=\"row\">{}</th><td class=\"g text\">{}</td><td class=\"g text\">{}</td>",
                row.route,
                Escaped(&row.rate),
                Escaped(&row.when)
            ));
            self.numbers(&[Some(row.refused), Some(row.delayed), Some(row.keys)]);
            self.put("</tr>");
        }
        self.put("</tbody></table></div></section>");
    }

    fn listener(&mut self, row: &ListenerRow, stopping: bool) {
        let get = |count| row.totals.get(count);
        self.write(format_args!("<tr><th scope=\"row\" title=\"{}\">{}</th>", row.address, Escaped(&row.name)));
        let (class, word) = if stopping { ("hold", "STOP") } else { ("up", "OPEN") };
        self.write(format_args!("<td class=\"g text\"><span class=\"state {class}\">{word}</span></td>"));
        self.numbers(&[Some(row.connections), Some(row.peak), row.limit, Some(get(Count::Connections))]);
        self.numbers(&[Some(row.connection_rate.current), Some(row.connection_rate.max)]);
        self.numbers(&[Some(get(Count::Requests)), Some(row.request_rate.current), Some(row.request_rate.max)]);
        self.sizes(&[get(Count::BytesIn), get(Count::BytesOut)]);
        self.numbers(&[Some(get(Count::DeniedConnections)), Some(get(Count::Denied))]);
        self.numbers(&[Some(get(Count::RequestErrors)), Some(get(Count::ClientAborts))]);
        self.put("</tr>");
    }

    fn upstream(&mut self, upstream: &UpstreamRow) {
        let name = Escaped(&upstream.name);
        self.write(format_args!("<section><h2>{name}<small>balance {}</small></h2>", Escaped(upstream.balance)));
        self.put("<div class=\"scroll\"><table><thead><tr><th class=\"name\"></th>");
        for (group, columns) in GROUPS {
            self.write(format_args!("<th class=\"g\" colspan=\"{}\">{group}</th>", columns.len()));
        }
        self.put("</tr><tr><th class=\"name\">Endpoint</th>");
        GROUPS.iter().for_each(|(_, columns)| self.columns(columns));
        self.put("</tr></thead><tbody>");
        upstream.endpoints.iter().for_each(|endpoint| self.endpoint(endpoint));
        self.sum(upstream);
        self.put("</tbody></table></div><details><summary>Responses, times, tunnels and affinity</summary>");
        self.details(upstream);
        self.put("</details></section>");
    }

    fn endpoint(&mut self, row: &EndpointRow) {
        self.write(format_args!(
            "<tr><th scope=\"row\" title=\"{} id {}\">{}</th>",
            row.address,
            Escaped(&row.id),
            Escaped(&row.name)
        ));
        self.state(row);
        let limit = (row.max_conn > 0).then_some(u64::from(row.max_conn));
        self.exchanges(
            &row.totals,
            row.queue,
            row.peak,
            limit,
            row.request_rate.current,
            row.request_rate.max,
            row.idle,
        );
        self.errors(&row.totals, false);
        self.server(row);
        self.put("</tr>");
    }

    fn sum(&mut self, row: &UpstreamRow) {
        self.put("<tr class=\"sum\"><th scope=\"row\">All</th>");
        let (class, word) = if row.is_usable() { ("up", "UP") } else { ("down", "DOWN") };
        self.write(format_args!("<td class=\"g text\"><span class=\"state {class}\">{word}</span></td><td></td>"));
        self.exchanges(
            &row.totals,
            row.queue,
            row.peak,
            None,
            row.request_rate.current,
            row.request_rate.max,
            row.idle,
        );
        self.errors(&row.totals, true);
        let (active, backup) = row.usable();
        self.put("<td class=\"g\"></td>");
        self.write(format_args!("<td>{active}</td><td>{backup}</td><td></td><td></td><td></td><td></td></tr>"));
    }

    #[expect(clippy::too_many_arguments, reason = "one per group of columns, for endpoints and their sum")]
    fn exchanges(
        &mut self,
        totals: &Totals,
        queue: Queue,
        peak: u64,
        limit: Option<u64>,
        rate: u64,
        max_rate: u64,
        idle: Option<u64>,
    ) {
        let get = |count| totals.get(count);
        self.numbers(&[Some(queue.current), Some(queue.max), queue.limit]);
        self.numbers(&[Some(rate), Some(max_rate)]);
        self.numbers(&[Some(get(Count::Current)), Some(peak), limit, Some(get(Count::Requests))]);
        self.write(format_args!("<td>{}</td>", idle.map_or_else(|| "–".to_owned(), span)));
        self.numbers(&[Some(get(Count::LivePolling)), Some(get(Count::LiveWebsocket))]);
        let tunnels = [Count::LiveTunnels, Count::Tunnels, Count::MessagesIn, Count::MessagesOut];
        self.numbers(&tunnels.map(|count| Some(get(count))));
        self.sizes(&[get(Count::BytesIn), get(Count::BytesOut)]);
    }

    fn errors(&mut self, totals: &Totals, of_upstream: bool) {
        let get = |count| Some(totals.get(count));
        let own = |count| if of_upstream { get(count) } else { None };
        self.numbers(&[own(Count::Denied), get(Count::DeniedResponses)]);
        self.numbers(&[own(Count::RequestErrors), get(Count::ConnectErrors), get(Count::ResponseErrors)]);
        self.numbers(&[get(Count::Retries), get(Count::Redispatches)]);
    }

    fn state(&mut self, row: &EndpointRow) {
        let class = match row.state {
            State::Up => "up",
            State::NotProbed | State::Maintenance => "off",
            State::NoNew | State::Drain => "hold",
            State::Ejected | State::Down => "down",
        };
        let word = if row.state == State::Ejected { "EJECTED" } else { row.state.as_haproxy() };
        self.write(format_args!("<td class=\"g text\"><span class=\"state {class}\">{word}</span></td>"));
        match &row.checked {
            Some(checked) => {
                let said = [last_check(checked).as_str(), checked.text.as_str()].join(": ");
                let said = said.trim_end_matches(": ");
                self.write(format_args!(
                    "<td class=\"text\" title=\"{}\">{}</td>",
                    Escaped(said),
                    Escaped(&last_check(checked))
                ));
            }
            None => self.put("<td class=\"text\">–</td>"),
        }
    }

    fn server(&mut self, row: &EndpointRow) {
        let mark = |is: bool| if is { "Y" } else { "–" };
        self.write(format_args!(
            "<td class=\"g\">{}</td><td>{}</td><td>{}</td>",
            row.weight,
            mark(!row.backup),
            mark(row.backup)
        ));
        match &row.checked {
            Some(checked) => {
                self.plain(&[checked.failed, checked.downs]);
                self.write(format_args!("<td>{}</td>", span(checked.downtime)));
            }
            None => self.put("<td>–</td><td>–</td><td>–</td>"),
        }
        match row.throttle {
            Some(percent) => self.write(format_args!("<td>{percent}%</td>")),
            None => self.put("<td>–</td>"),
        }
    }

    /// What fits no column of HAProxy's, or only its tooltips.
    fn details(&mut self, upstream: &UpstreamRow) {
        self.put("<div class=\"scroll\"><table><thead><tr><th class=\"name\"></th><th class=\"g\" colspan=\"6\">Responses</th>");
        self.put("<th class=\"g\" colspan=\"4\">Average ms</th><th class=\"g\" colspan=\"2\">Aborts</th>");
        self.put("<th class=\"g\" colspan=\"2\">Connections</th><th class=\"g\" colspan=\"2\">Handshakes</th>");
        self.put("<th class=\"g\">Upgrades</th><th class=\"g\" colspan=\"2\">Close codes</th></tr>");
        self.put("<tr><th class=\"name\">Endpoint</th>");
        self.columns(&["1xx", "2xx", "3xx", "4xx", "5xx", "other"]);
        self.columns(&["Queue", "Connect", "Response", "Total"]);
        self.columns(&["Client", "Server"]);
        self.columns(&["New", "Reused"]);
        self.columns(&["Polling", "WebSocket"]);
        self.columns(&["Failed"]);
        self.columns(&["Clients", "Endpoint"]);
        self.put("</tr></thead><tbody>");
        for row in &upstream.endpoints {
            self.write(format_args!("<tr><th scope=\"row\">{}</th>", Escaped(&row.name)));
            self.more(&row.totals);
        }
        self.put("<tr class=\"sum\"><th scope=\"row\">All</th>");
        self.more(&upstream.totals);
        self.put("</tbody></table></div>");
        let bound: Vec<String> = upstream
            .totals
            .evidence()
            .filter(|(_, number)| *number > 0)
            .map(|(evidence, number)| format!("{} {}", evidence.as_str(), grouped(number)))
            .collect();
        let bound = if bound.is_empty() { "no request yet".to_owned() } else { bound.join(", ") };
        self.write(format_args!("<p>Bound by: {}", Escaped(&bound)));
        let ends: Vec<String> = upstream
            .totals
            .closes()
            .filter(|(_, number)| *number > 0)
            .map(|(reason, number)| format!("{} {}", reason.as_str(), grouped(number)))
            .collect();
        if !ends.is_empty() {
            self.write(format_args!(". Tunnels ended: {}", Escaped(&ends.join(", "))));
        }
        let get = |count| grouped(upstream.totals.get(count));
        self.write(format_args!(
            ". Answered by the balancer: {}; unknown sessions: {}.</p>",
            get(Count::AnsweredHere),
            get(Count::UnknownSessions)
        ));
    }

    fn more(&mut self, totals: &Totals) {
        let get = |count| Some(totals.get(count));
        self.numbers(&Count::STATUSES.map(get));
        for (at, time) in [Time::Queue, Time::Connect, Time::Response, Time::Total].into_iter().enumerate() {
            let class = if at == 0 { " class=\"g\"" } else { "" };
            match totals.average(time) {
                Some(average) => self.write(format_args!("<td{class}>{:.1}</td>", average.as_secs_f64() * 1000.0)),
                None => self.write(format_args!("<td{class}>–</td>")),
            }
        }
        self.numbers(&[get(Count::ClientAborts), get(Count::ServerAborts)]);
        self.numbers(&[get(Count::NewConnections), get(Count::ReusedConnections)]);
        self.numbers(&[get(Count::PollingHandshakes), get(Count::WebsocketHandshakes)]);
        self.numbers(&[get(Count::FailedUpgrades)]);
        let codes = |codes: &mut dyn Iterator<Item = (&'static str, u64)>| {
            let codes: Vec<String> =
                codes.filter(|(_, number)| *number > 0).map(|(code, number)| format!("{code}×{number}")).collect();
            if codes.is_empty() { "–".to_owned() } else { codes.join(" ") }
        };
        let (clients, endpoints) = (codes(&mut totals.client_codes()), codes(&mut totals.endpoint_codes()));
        self.write(format_args!("<td class=\"g\">{clients}</td><td>{endpoints}</td></tr>"));
    }

    /// The heads of a group of columns.
    fn columns(&mut self, columns: &[&str]) {
        for (at, column) in columns.iter().enumerate() {
            let group = if at == 0 { "g" } else { "" };
            let kind = if TEXTS.contains(column) { " text" } else { "" };
            self.write(format_args!("<th class=\"{group}{kind}\">{column}</th>"));
        }
    }

    /// A group of numbers; `None` is shown as a dash.
    fn numbers(&mut self, numbers: &[Option<u64>]) {
        for (at, number) in numbers.iter().enumerate() {
            let group = if at == 0 { "g" } else { "" };
            match number {
                Some(0) => self.write(format_args!("<td class=\"{group} zero\">0</td>")),
                Some(number) => self.write(format_args!("<td class=\"{group}\">{}</td>", grouped(*number))),
                None => self.write(format_args!("<td class=\"{group} zero\">–</td>")),
            }
        }
    }

    /// Numbers within a group.
    fn plain(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.write(format_args!("<td>{}</td>", grouped(*number)));
        }
    }

    /// A group of sizes, short, with all digits for those who ask.
    fn sizes(&mut self, sizes: &[u64]) {
        for (at, size) in sizes.iter().enumerate() {
            let group = if at == 0 { " class=\"g\"" } else { "" };
            self.write(format_args!("<td{group} title=\"{size} bytes\">{}</td>", short_bytes(*size)));
        }
    }
}

fn last_check(checked: &Checked) -> String {
    let mut said = checked.status.clone();
    if let Some(code) = checked.code {
        let _ = write!(said, "/{code}");
    }
    if let Some(took) = checked.took {
        let _ = write!(said, " in {}ms", took.as_millis());
    }
    if said.is_empty() { "–".to_owned() } else { said }
}
