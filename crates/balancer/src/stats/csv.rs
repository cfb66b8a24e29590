//! The numbers as HAProxy writes them: its columns in its order, so that what reads HAProxy's statistics reads these.

use super::counters::{Count, Time, Totals};
use super::snapshot::{EndpointRow, ListenerRow, Queue, Rates, Snapshot, UpstreamRow};

/// The columns of HAProxy 2.6, as its own output names them.
pub const COLUMNS: &str = "pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,\
    wredis,status,weight,act,bck,chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,\
    rate_lim,rate_max,check_status,check_code,check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,\
    hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt,comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,\
    last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration,check_desc,agent_desc,check_rise,\
    check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate,conn_rate_max,conn_tot,\
    intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max,rtime_max,\
    ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status,\
    agg_server_check_status,agg_check_status,-,ssl_sess,ssl_reused_sess,ssl_failed_handshake,h2_headers_rcvd,\
    h2_data_rcvd,h2_settings_rcvd,h2_rst_stream_rcvd,h2_goaway_rcvd,h2_detected_conn_protocol_errors,\
    h2_detected_strm_protocol_errors,h2_rst_stream_resp,h2_goaway_resp,h2_open_connections,h2_backend_open_streams,\
    h2_total_connections,h2_backend_total_streams,h1_open_connections,h1_open_streams,h1_total_connections,\
    h1_total_streams,h1_bytes_in,h1_bytes_out,h1_spliced_bytes_in,h1_spliced_bytes_out,";

/// HAProxy's number for a row of a listener, of an upstream and of an endpoint.
const FRONTEND: &str = "0";
const BACKEND: &str = "1";
const SERVER: &str = "2";

/// Writes the numbers as CSV.
pub fn write(snapshot: &Snapshot) -> String {
    let mut out = format!("# {COLUMNS}\n");
    let first_upstream = snapshot.listeners.len() + 2;
    for (iid, listener) in (2..).zip(&snapshot.listeners) {
        frontend(listener, snapshot, iid).end(&mut out);
    }
    for (iid, upstream) in (first_upstream..).zip(&snapshot.upstreams) {
        for (sid, endpoint) in (1..).zip(&upstream.endpoints) {
            let mut row = server(upstream, endpoint);
            row.set("iid", iid);
            row.set("sid", sid);
            row.end(&mut out);
        }
        let mut row = backend(upstream);
        row.set("iid", iid);
        row.end(&mut out);
    }
    out
}

/// One line in the making.
struct Row(Vec<String>);

impl Row {
    fn new(proxy: &str, service: &str, kind: &str) -> Self {
        let mut row = Self(vec![String::new(); COLUMNS.split(',').count() - 1]);
        row.set("pxname", proxy);
        row.set("svname", service);
        row.set("type", kind);
        row.set("pid", 1);
        row.set("mode", "http");
        row
    }

    fn set(&mut self, column: &str, value: impl ToString) {
        let place = COLUMNS.split(',').position(|name| name == column);
        debug_assert!(place.is_some(), "HAProxy has no column {column}");
        if let Some(slot) = place.and_then(|place| self.0.get_mut(place)) {
            *slot = field(&value.to_string());
        }
    }

    fn set_count(&mut self, column: &str, totals: &Totals, count: Count) {
        self.set(column, totals.get(count));
    }

    fn set_statuses(&mut self, totals: &Totals) {
        let columns = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
        for (column, class) in columns.into_iter().zip(Count::STATUSES) {
            self.set_count(column, totals, class);
        }
    }

    fn set_rate(&mut self, rates: Rates) {
        self.set("rate", rates.current);
        self.set("rate_max", rates.max);
    }

    /// What endpoints and their upstream have in common.
    fn set_exchanges(&mut self, totals: &Totals, queue: Queue, peak: u64, idle: Option<u64>) {
        self.set("qcur", queue.current);
        self.set("qmax", queue.max);
        self.set("smax", peak);
        self.set("lastsess", idle.map_or_else(|| "-1".to_owned(), |idle| idle.to_string()));
        for (column, count) in [
            ("scur", Count::Current),
            ("stot", Count::Requests),
            ("lbtot", Count::Requests),
            ("bin", Count::BytesIn),
            ("bout", Count::BytesOut),
            ("econ", Count::ConnectErrors),
            ("eresp", Count::ResponseErrors),
            ("wretr", Count::Retries),
            ("wredis", Count::Redispatches),
            ("cli_abrt", Count::ClientAborts),
            ("srv_abrt", Count::ServerAborts),
            ("req_tot", Count::Requests),
            ("connect", Count::NewConnections),
            ("reuse", Count::ReusedConnections),
        ] {
            self.set_count(column, totals, count);
        }
        for (column, time) in
            [("qtime", Time::Queue), ("ctime", Time::Connect), ("rtime", Time::Response), ("ttime", Time::Total)]
        {
            self.set(column, totals.average(time).unwrap_or_default().as_millis());
        }
        self.set_count("dresp", totals, Count::DeniedResponses);
        self.set_statuses(totals);
    }

    fn end(self, out: &mut String) {
        out.push_str(&self.0.join(","));
        out.push_str(",\n");
    }
}

fn frontend(listener: &ListenerRow, snapshot: &Snapshot, iid: usize) -> Row {
    let mut row = Row::new(&listener.name, "FRONTEND", FRONTEND);
    row.set("iid", iid);
    row.set("sid", 0);
    row.set("status", if snapshot.stopping { "STOP" } else { "OPEN" });
    row.set("scur", listener.connections);
    row.set("smax", listener.peak);
    if let Some(limit) = listener.limit {
        row.set("slim", limit);
    }
    for (column, count) in [
        ("stot", Count::Connections),
        ("conn_tot", Count::Connections),
        ("req_tot", Count::Requests),
        ("bin", Count::BytesIn),
        ("bout", Count::BytesOut),
        ("dreq", Count::Denied),
        ("dresp", Count::DeniedResponses),
        ("dcon", Count::DeniedConnections),
        ("ereq", Count::RequestErrors),
        ("intercepted", Count::AnsweredHere),
    ] {
        row.set_count(column, &listener.totals, count);
    }
    row.set("dses", 0);
    row.set("rate_lim", 0);
    row.set_rate(listener.connection_rate);
    row.set("conn_rate", listener.connection_rate.current);
    row.set("conn_rate_max", listener.connection_rate.max);
    row.set("req_rate", listener.request_rate.current);
    row.set("req_rate_max", listener.request_rate.max);
    row.set_statuses(&listener.totals);
    row
}

fn server(upstream: &UpstreamRow, endpoint: &EndpointRow) -> Row {
    let mut row = Row::new(&upstream.name, &endpoint.name, SERVER);
    row.set_exchanges(&endpoint.totals, endpoint.queue, endpoint.peak, endpoint.idle);
    row.set_rate(endpoint.request_rate);
    row.set("status", endpoint.state.as_haproxy());
    row.set("weight", endpoint.weight);
    row.set("uweight", endpoint.weight);
    row.set("act", u8::from(!endpoint.backup));
    row.set("bck", u8::from(endpoint.backup));
    row.set("addr", endpoint.address);
    if let Some(cookie) = &endpoint.cookie {
        row.set("cookie", cookie);
    }
    row.set("hanafail", endpoint.ejections);
    if let Some(percent) = endpoint.throttle {
        row.set("throttle", percent);
    }
    if endpoint.max_conn > 0 {
        row.set("slim", endpoint.max_conn);
    }
    if let Some(limit) = endpoint.queue.limit {
        row.set("qlimit", limit);
    }
    let Some(checked) = &endpoint.checked else {
        return row;
    };
    row.set("chkfail", checked.failed);
    row.set("chkdown", checked.downs);
    row.set("lastchg", checked.since_change);
    row.set("downtime", checked.downtime);
    row.set("check_status", &checked.status);
    row.set("last_chk", &checked.text);
    row.set("check_rise", checked.rise);
    row.set("check_fall", checked.fall);
    if let Some(code) = checked.code {
        row.set("check_code", code);
    }
    if let Some(took) = checked.took {
        row.set("check_duration", took.as_millis());
    }
    row
}

fn backend(upstream: &UpstreamRow) -> Row {
    let mut row = Row::new(&upstream.name, "BACKEND", BACKEND);
    let (active, backup) = upstream.usable();
    let usable = || upstream.endpoints.iter().filter(|endpoint| endpoint.state.takes_new());
    row.set_exchanges(&upstream.totals, upstream.queue, upstream.peak, upstream.idle);
    row.set_rate(upstream.request_rate);
    row.set("sid", 0);
    row.set("status", if upstream.is_usable() { "UP" } else { "DOWN" });
    row.set("weight", usable().map(|endpoint| endpoint.weight).sum::<u32>());
    row.set("act", active);
    row.set("bck", backup);
    row.set_count("dreq", &upstream.totals, Count::Denied);
    row.set("algo", upstream.balance);
    let checks = || upstream.endpoints.iter().filter_map(|endpoint| endpoint.checked.as_ref());
    row.set("chkdown", checks().map(|checked| checked.downs).sum::<u64>());
    row.set("lastchg", checks().map(|checked| checked.since_change).min().unwrap_or_default());
    row.set("downtime", checks().map(|checked| checked.downtime).min().unwrap_or_default());
    row
}

/// Quotes a value where CSV needs it (RFC 4180). Line ends become spaces, since HAProxy's readers go by lines.
fn field(value: &str) -> String {
    let value = value.replace(|c: char| c.is_control(), " ");
    if value.contains([',', '"']) { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_in_their_fields() {
        for (value, written) in [
            ("app01:3000", "app01:3000"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb\r\nFRONTEND", "a b  FRONTEND"),
        ] {
            assert_eq!(field(value), written);
        }
    }
}
