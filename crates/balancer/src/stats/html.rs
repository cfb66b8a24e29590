//! The numbers as a page for people: HAProxy's columns, rendered here, without script.

use std::fmt::Write as _;
use std::time::Duration;

use super::counters::Count;
use super::snapshot::{LimitRow, ListenerRow, Snapshot};

mod text;
mod upstream;

use text::{Escaped, grouped, short_bytes, span};

const STYLE: &str = include_str!("html/style.css");

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
