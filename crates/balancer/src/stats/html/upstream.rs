//! The tables of an upstream: its endpoints in HAProxy's columns, and what fits none of them.

use std::fmt::Write as _;

use super::super::counters::{Count, Time, Totals};
use super::super::snapshot::{Checked, EndpointRow, Queue, State, UpstreamRow};
use super::Page;
use super::text::{Escaped, grouped, span};

/// Groups of columns, with the columns of each.
type Groups = [(&'static str, &'static [&'static str])];

/// What goes through. One table of all that HAProxy shows would be wider than most screens.
const TRAFFIC: &Groups = &[
    ("State", &["Status", "LastChk"]),
    ("Queue", &["Cur", "Max", "Limit"]),
    ("Request rate", &["Cur", "Max"]),
    ("In progress", &["Cur", "Max", "Limit", "Total", "Last"]),
    ("Engine.IO sessions", &["Polling", "WebSocket"]),
    ("Bytes", &["In", "Out"]),
];

/// What becomes of it.
const CONDUCT: &Groups = &[
    ("Tunnels", &["Live", "Total", "Msg in", "Msg out"]),
    ("Denied", &["Req", "Resp"]),
    ("Errors", &["Req", "Conn", "Resp"]),
    ("Warnings", &["Retr", "Redis"]),
    ("Server", &["Wght", "Act", "Bck", "Chk", "Dwn", "Dwntme", "Thrtle"]),
];

impl Page {
    pub(super) fn upstream(&mut self, upstream: &UpstreamRow) {
        let name = Escaped(&upstream.name);
        self.write(format_args!("<section><h2>{name}<small>balance {}</small></h2>", Escaped(upstream.balance)));
        self.heads(TRAFFIC);
        for row in &upstream.endpoints {
            self.name(row);
            self.traffic(row);
        }
        self.traffic_sum(upstream);
        self.put("</tbody></table></div>");
        self.heads(CONDUCT);
        for row in &upstream.endpoints {
            self.name(row);
            self.conduct(&row.totals, false);
            self.server(row);
            self.put("</tr>");
        }
        self.conduct_sum(upstream);
        self.put("</tbody></table></div><details><summary>Responses, times, tunnels and affinity</summary>");
        self.details(upstream);
        self.put("</details></section>");
    }

    /// Begins a table of endpoints.
    fn heads(&mut self, groups: &Groups) {
        self.put("<div class=\"scroll\"><table><thead><tr><th class=\"name\"></th>");
        for (group, columns) in groups {
            self.write(format_args!("<th class=\"g\" colspan=\"{}\">{group}</th>", columns.len()));
        }
        self.put("</tr><tr><th class=\"name\">Endpoint</th>");
        groups.iter().for_each(|(_, columns)| self.columns(columns));
        self.put("</tr></thead><tbody>");
    }

    /// Begins the row of an endpoint.
    fn name(&mut self, row: &EndpointRow) {
        let (id, name) = (Escaped(&row.id), Escaped(&row.name));
        self.write(format_args!("<tr><th scope=\"row\" title=\"{} id {id}\">{name}</th>", row.address));
    }

    fn traffic(&mut self, row: &EndpointRow) {
        self.state(row);
        let limit = (row.max_conn > 0).then_some(u64::from(row.max_conn));
        let rate = (row.request_rate.current, row.request_rate.max);
        self.exchanges(&row.totals, row.queue, (row.peak, limit), rate, row.idle);
    }

    fn traffic_sum(&mut self, row: &UpstreamRow) {
        self.put("<tr class=\"sum\"><th scope=\"row\">All</th>");
        let (class, word) = if row.is_usable() { ("up", "UP") } else { ("down", "DOWN") };
        self.write(format_args!("<td class=\"g text\"><span class=\"state {class}\">{word}</span></td><td></td>"));
        let rate = (row.request_rate.current, row.request_rate.max);
        self.exchanges(&row.totals, row.queue, (row.peak, None), rate, row.idle);
    }

    /// The columns from the queue on, to the end of the row.
    fn exchanges(
        &mut self,
        totals: &Totals,
        queue: Queue,
        (peak, limit): (u64, Option<u64>),
        (rate, max_rate): (u64, u64),
        idle: Option<u64>,
    ) {
        let get = |count| totals.get(count);
        self.numbers(&[Some(queue.current), Some(queue.max), queue.limit]);
        self.numbers(&[Some(rate), Some(max_rate)]);
        self.numbers(&[Some(get(Count::Current)), Some(peak), limit, Some(get(Count::Requests))]);
        self.write(format_args!("<td>{}</td>", idle.map_or_else(|| "–".to_owned(), span)));
        self.numbers(&[Some(get(Count::LivePolling)), Some(get(Count::LiveWebsocket))]);
        self.sizes(&[get(Count::BytesIn), get(Count::BytesOut)]);
        self.put("</tr>");
    }

    /// The columns of tunnels, refusals and errors.
    fn conduct(&mut self, totals: &Totals, of_upstream: bool) {
        let tunnels = [Count::LiveTunnels, Count::Tunnels, Count::MessagesIn, Count::MessagesOut];
        self.numbers(&tunnels.map(|count| Some(totals.get(count))));
        self.errors(totals, of_upstream);
    }

    fn conduct_sum(&mut self, row: &UpstreamRow) {
        self.put("<tr class=\"sum\"><th scope=\"row\">All</th>");
        self.conduct(&row.totals, true);
        let (active, backup) = row.usable();
        self.put("<td class=\"g\"></td>");
        self.write(format_args!("<td>{active}</td><td>{backup}</td><td></td><td></td><td></td><td></td></tr>"));
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
