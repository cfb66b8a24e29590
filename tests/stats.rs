//! What the statistics say, against what was sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use limpet_testkit::http;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::oracle::Recorders;
use limpet_testkit::peers;
use limpet_testkit::process::Process;
use limpet_testkit::raw::RawClient;
use limpet_testkit::raw::websocket::{Frame, RawWebSocket};
use limpet_testkit::wait::{self, PATIENCE};
use serde_json::Value;

const BINARY: &str = env!("CARGO_BIN_EXE_limpet");

/// A balancer with a listener for traffic, one for the page and one for programs.
struct Watched {
    limpet: Limpet,
    page: SocketAddr,
    admin: SocketAddr,
}

impl Watched {
    /// Starts one with these upstreams; each is reached by the path of its name.
    fn start(upstreams: &str, stats: &str) -> Self {
        let names = upstreams.lines().filter_map(|line| line.strip_prefix("[upstream.")?.strip_suffix(']'));
        let routes: String = names
            .map(|name| format!("[[route]]\nlistener = \"web\"\npath_prefix = \"/{name}\"\nupstream = \"{name}\"\n"))
            .collect();
        let configuration = format!(
            "[listener.web]\nbind = \"127.0.0.1:0\"\n[listener.page]\nbind = \"127.0.0.1:0\"\n\
             [admin]\nbind = \"127.0.0.1:0\"\n\
             [[route]]\nlistener = \"page\"\nserve = \"stats\"\npath_prefix = \"/haproxy?stats\"\nstats = {{ {stats} }}\n{routes}{upstreams}"
        );
        let limpet = Launch::run(BINARY, configuration).start().expect("the balancer starts");
        let address = |what: &str| {
            let find = |line: &str| line.split_once(what)?.1.trim().parse().ok();
            limpet.process.wait_for(what, find).expect("an address")
        };
        let (page, admin) = (address("listener page http://"), address("admin http://"));
        Self { limpet, page, admin }
    }

    fn json(&self) -> Value {
        http::get_json(self.page, "/haproxy?stats;json").expect("a page")
    }

    /// Waits until the numbers are right, and returns them.
    fn wait_for(&self, what: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        wait::until_seen(what, || self.json(), is_right)
    }

    /// Reads the CSV by the names of its columns: each row under its two names.
    fn csv(&self) -> BTreeMap<(String, String), BTreeMap<String, String>> {
        let answer = http::get(self.page, "/haproxy?stats;csv", &[]).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.head);
        let mut lines = answer.body.lines();
        let columns: Vec<&str> =
            lines.next().and_then(|line| line.strip_prefix("# ")).expect("a head").split(',').collect();
        let rows = lines.map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(fields.len(), columns.len(), "{line}");
            let row: BTreeMap<_, _> =
                columns.iter().zip(fields).map(|(column, field)| (column.to_string(), field.to_owned())).collect();
            ((row["pxname"].clone(), row["svname"].clone()), row)
        });
        rows.collect()
    }

    /// Reads a metric: the sum of its samples that have all of these labels.
    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let answer = http::get(self.admin, "/metrics", &[]).expect("an answer");
        assert!(answer.head.to_ascii_lowercase().contains("text/plain; version=0.0.4"), "{}", answer.head);
        let samples = answer.body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (sample, value) = line.rsplit_once(' ')?;
            let of_name = sample.split('{').next() == Some(name);
            (of_name && labels.iter().all(|label| sample.contains(label)))
                .then(|| value.parse::<f64>().expect("a number"))
        });
        samples.sum()
    }
}

/// Sends one request on a connection of its own and returns how many bytes came back.
fn exchange(address: SocketAddr, path: &str, body: &str) -> u64 {
    let mut client = RawClient::connect(address).expect("a connection");
    let length = body.len();
    let request =
        format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    client.send(request.as_bytes()).expect("sent");
    client.read_to_end().expect("a response").len() as u64
}

/// Returns the bytes of the requests that an endpoint has got.
fn received(endpoint: &Endpoint) -> u64 {
    endpoint.requests().iter().map(|request| (request.head.len() + 4 + request.body.len()) as u64).sum()
}

#[test]
fn every_number_is_what_was_sent() {
    let answers = Endpoint::start(Conduct::Answers("hello")).expect("it starts");
    let refuses = Endpoint::start(Conduct::Refuses).expect("it starts");
    let silent = Endpoint::start(Conduct::ClosesBeforeResponse).expect("it starts");
    let breaks = Endpoint::start(Conduct::ClosesMidBody).expect("it starts");
    let gone = Endpoint::start(Conduct::Answers("")).expect("it starts");
    gone.stop();
    let upstream = |name: &str, endpoints: &[&Endpoint]| {
        let endpoints: Vec<String> = endpoints.iter().map(|endpoint| format!("\"{}\"", endpoint.address())).collect();
        format!("[upstream.{name}]\nprobe = false\nendpoints = [{}]\n", endpoints.join(", "))
    };
    let upstreams = upstream("answers", &[&answers])
        + &upstream("refuses", &[&refuses])
        + &upstream("silent", &[&silent])
        + &upstream("breaks", &[&breaks])
        + &upstream("gone", &[&gone])
        + &(upstream("moves", &[&gone, &answers]) + "balance = \"round_robin\"\n");
    let watched = Watched::start(&upstreams, "");
    let send = |path: &str, times: usize| -> u64 {
        (0..times).map(|at| exchange(watched.limpet.address, path, &"x".repeat(at * 100))).sum()
    };
    let from_answers = send("/answers", 20);
    let bytes_in = received(&answers);
    let all = from_answers
        + send("/refuses", 3)
        + send("/silent", 2)
        + send("/breaks", 2)
        + send("/gone", 4)
        + send("/none", 5);
    let json = watched.wait_for("36 requests", |json| json["listeners"][0]["requests"] == 36);
    let of = |name: &str| {
        let all = json["upstreams"].as_array().expect("upstreams");
        all.iter().find(|upstream| upstream["name"] == name).expect("the upstream").clone()
    };

    let good = &of("answers")["endpoints"][0];
    assert_eq!((&good["requests"], &good["responses"]["2xx"]), (&20.into(), &20.into()), "{good:#}");
    assert_eq!((&good["bytes_in"], &good["bytes_out"]), (&bytes_in.into(), &from_answers.into()), "{good:#}");
    assert_eq!((&good["in_progress"]["current"], &good["in_progress"]["max"]), (&0.into(), &1.into()));
    assert_eq!(good["new_connections"].as_u64().zip(good["reused_connections"].as_u64()).map(|(a, b)| a + b), Some(20));
    assert!(good["average_seconds"]["total"].as_f64() >= good["average_seconds"]["response"].as_f64(), "{good:#}");
    assert_eq!(good["state"], "not_probed");
    let refused = of("refuses");
    assert_eq!((&refused["responses"]["5xx"], &refused["answered_here"]), (&3.into(), &0.into()));
    let silent = of("silent");
    assert_eq!((&silent["endpoints"][0]["response_errors"], &silent["answered_here"]), (&2.into(), &2.into()));
    assert_eq!(of("breaks")["endpoints"][0]["server_aborts"], 2);
    let gone = of("gone");
    assert_eq!((&gone["connect_errors"], &gone["responses"]["5xx"]), (&4.into(), &4.into()));
    let web = &json["listeners"][0];
    assert_eq!((&web["responses"]["2xx"], &web["responses"]["4xx"]), (&22.into(), &5.into()), "{web:#}");
    assert_eq!((&web["responses"]["5xx"], &web["bytes_out"]), (&(3 + 2 + 4).into(), &all.into()), "{web:#}");
    assert_eq!(web["connections"]["total"], 36);
    // They come one after the other; on a busy machine some come before the end of earlier ones is seen.
    assert!((1..=12).contains(&web["connections"]["max"].as_u64().expect("a number")), "{web:#}");

    // A connection that fails moves a request on.
    send("/moves", 2);
    let moves = watched.wait_for("two more", |json| json["listeners"][0]["requests"] == 38)["upstreams"][5].clone();
    assert_eq!((&moves["responses"]["2xx"], &moves["answered_here"]), (&2.into(), &0.into()));
    assert!(moves["redispatches"].as_u64() > Some(0) && moves["redispatches"] == moves["connect_errors"], "{moves:#}");

    let csv = watched.csv();
    let row = |proxy: &str, service: &str| csv[&(proxy.to_owned(), service.to_owned())].clone();
    let name = answers.address().to_string();
    let (server, backend, frontend) = (row("answers", &name), row("answers", "BACKEND"), row("web", "FRONTEND"));
    for row in [&server, &backend] {
        assert_eq!((row["stot"].as_str(), row["hrsp_2xx"].as_str()), ("20", "20"));
        assert_eq!((row["bin"].parse(), row["bout"].parse()), (Ok(bytes_in), Ok(from_answers)));
        assert_eq!((row["scur"].as_str(), row["smax"].as_str()), ("0", "1"));
    }
    assert_eq!((server["status"].as_str(), backend["status"].as_str()), ("no check", "UP"));
    assert_eq!((server["type"].as_str(), backend["type"].as_str(), frontend["type"].as_str()), ("2", "1", "0"));
    assert_eq!((frontend["req_tot"].as_str(), frontend["hrsp_5xx"].as_str()), ("38", "9"));
    assert_eq!(row("gone", "BACKEND")["econ"], "4");

    let labels = ["upstream=\"answers\"", &format!("endpoint=\"{name}\"")];
    assert_eq!(watched.metric("limpet_endpoint_requests_total", &labels), 20.0);
    assert_eq!(watched.metric("limpet_endpoint_received_bytes_total", &labels), bytes_in as f64);
    assert_eq!(watched.metric("limpet_listener_requests_total", &["listener=\"web\""]), 38.0);
    let classes = ["upstream=\"refuses\"", "status=\"5xx\""];
    assert_eq!(watched.metric("limpet_endpoint_responses_total", &classes), 3.0);
    // Rates come from samples, one a second.
    watched.wait_for("a rate", |json| json["upstreams"][0]["requests_per_second"]["max"].as_u64() > Some(0));
}

#[test]
fn sessions_count_while_they_live() {
    let endpoint = Endpoint::start(Conduct::Handshakes).expect("it starts");
    let watched =
        Watched::start(&format!("[upstream.app]\nprobe = false\nendpoints = [\"{}\"]\n", endpoint.address()), "");
    let mut client = RawClient::connect(watched.limpet.address).expect("a connection");
    let sids: Vec<String> = (0..3)
        .map(|_| {
            let opened = client.get("/app/?EIO=4&transport=polling").expect("a handshake").text();
            opened.split("\"sid\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a sid").to_owned()
        })
        .collect();
    let live = |json: &Value| json["upstreams"][0]["sessions"]["polling"].clone();
    let json = watched.wait_for("three sessions", |json| live(json) == 3);
    assert_eq!(json["upstreams"][0]["handshakes"]["polling"], 3);
    assert_eq!(json["upstreams"][0]["endpoints"][0]["sessions"]["polling"], 3);
    let close =
        format!("POST /app/?EIO=4&transport=polling&sid={} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n1", sids[0]);
    client.send(close.as_bytes()).expect("sent");
    assert_eq!(client.response().expect("an answer").status, 200);
    let unknown = client.get("/app/?EIO=4&transport=polling&sid=nobodyknowsthissid00").expect("an answer");
    assert_eq!(unknown.status, 400);
    let json = watched.wait_for("two sessions", |json| live(json) == 2);
    let affinity = &json["upstreams"][0]["affinity"];
    assert_eq!((&affinity["none"], &affinity["tag"], &affinity["unknown"]), (&3.into(), &1.into(), &1.into()));
    assert_eq!(json["upstreams"][0]["unknown_sessions"], 1);
    assert_eq!(watched.metric("limpet_endpoint_sessions", &["transport=\"polling\""]), 2.0);
}

#[test]
fn tunnels_count_while_they_live() {
    let server = peers::ws_server("a", &[]).expect("it starts");
    let watched = Watched::start(&format!("[upstream.app]\nprobe = false\nendpoints = [\"{}\"]\n", server.address), "");
    let mut socket = RawWebSocket::connect(watched.limpet.address, "/app").expect("it accepts").expect("an upgrade");
    let of = |json: &Value| json["upstreams"][0]["endpoints"][0].clone();
    let number = |json: &Value, pointer: &str| of(json).pointer(pointer).and_then(Value::as_u64).expect("a number");
    let begun = watched.wait_for("a tunnel", |json| of(json)["tunnels"]["current"] == 1);
    assert_eq!(number(&begun, "/in_progress/current"), 1, "a tunnel is in progress");
    let text = "x".repeat(1000);
    let frame = Frame::text(&text);
    let frame_bytes = frame.encode(Some([0; 4])).len() as u64;
    for sent in 1..=5 {
        socket.send(&frame).expect("sent");
        let bytes = number(&begun, "/bytes_in") + sent * frame_bytes;
        let json = watched.wait_for("the message", |json| number(json, "/bytes_in") == bytes);
        assert_eq!(number(&json, "/tunnels/messages_in"), sent, "it lives still, and counts");
        assert_eq!(number(&json, "/tunnels/current"), 1);
    }
    let listener_bytes = |json: &Value| json["listeners"][0]["bytes_in"].as_u64().expect("a number");
    assert!(listener_bytes(&watched.json()) > 5 * frame_bytes, "the listener's count too");
    socket.send(&Frame::close(1001)).expect("sent");
    while socket.frame().is_ok() {}
    drop(socket);
    let ended = watched.wait_for("the end", |json| of(json)["tunnels"]["current"] == 0);
    assert_eq!(of(&ended)["tunnels"]["client_close_codes"]["1001"], 1);
    assert_eq!(of(&ended)["tunnels"]["ends"]["client_closed"], 1);
    assert_eq!(number(&ended, "/in_progress/current"), 0);
    assert_eq!(watched.metric("limpet_endpoint_client_close_codes_total", &["code=\"1001\""]), 1.0);
}

#[test]
fn upgraded_sessions_live_on_their_websocket() {
    let servers = peers::node_servers(&["a"], &peers::QUICK_HEARTBEATS).expect("it starts");
    let watched = Watched::start(&format!("[upstream.socket]\nendpoints = [\"{}\"]\n", servers[0].address), "");
    let url = format!("http://{}", watched.limpet.address);
    let mut client = peers::node_client(&url, &["--count", "3", "--heartbeats", "1", "--hold"]).expect("it starts");
    client.connected().expect("they connect");
    let of = |json: &Value| json["upstreams"][0].clone();
    let json = watched.wait_for("three on a WebSocket", |json| {
        of(json)["sessions"]["websocket"] == 3 && of(json)["sessions"]["polling"] == 0
    });
    assert_eq!((&of(&json)["tunnels"]["total"], &of(&json)["handshakes"]["polling"]), (&3.into(), &3.into()));
    assert_eq!(of(&json)["endpoints"][0]["state"], "up");
    client.finish().expect("it is told");
    client.verdict().expect("a verdict").assert_good();
    watched.wait_for("none", |json| of(json)["sessions"]["websocket"] == 0);
}

#[test]
fn limits_queues_and_probes_are_in_the_numbers() {
    let (up, held) = (
        Endpoint::start(Conduct::Answers("hello")).expect("it starts"),
        Endpoint::start(Conduct::AcceptsAndStalls).expect("it starts"),
    );
    let watched = Watched::start(
        &format!(
            "[upstream.app]\nprobe = {{ interval = \"100ms\", fall = 1, http = \"GET /health\" }}\n\
             endpoints = [{{ address = \"{}\", cookie = \"s1\" }}]\n\
             [upstream.held]\nprobe = false\nendpoints = [{{ address = \"{}\", max_conn = 1 }}]\n\
             [[route]]\nlistener = \"web\"\npath_prefix = \"/slow\"\nserve = \"respond\"\n\
             rate_limit = {{ rate = \"1/m\", status = 429 }}\n",
            up.address(),
            held.address()
        ),
        "",
    );
    let statuses: Vec<u16> =
        (0..3).map(|_| http::get(watched.limpet.address, "/slow", &[]).expect("an answer").status).collect();
    assert_eq!(statuses, [200, 429, 429]);
    let json = watched.wait_for("the requests", |json| json["listeners"][0]["requests"] == 3);
    assert_eq!(json["listeners"][0]["denied"], 2);
    let limit = &json["rate_limits"][0];
    assert_eq!((&limit["refused"], &limit["delayed"], &limit["keys"]), (&2.into(), &0.into(), &1.into()), "{limit:#}");
    assert_eq!(watched.metric("limpet_rate_limit_refused_total", &[]), 2.0);

    let mut clients: Vec<RawClient> =
        (0..3).map(|_| RawClient::connect(watched.limpet.address).expect("a connection")).collect();
    for client in &mut clients {
        client.send(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    }
    let json = watched.wait_for("two that wait", |json| json["upstreams"][1]["queue"]["current"] == 2);
    assert_eq!(json["upstreams"][1]["queue"]["max"], 2);
    assert_eq!(json["upstreams"][1]["endpoints"][0]["in_progress"]["current"], 1, "who waits is at no endpoint");
    assert_eq!(watched.csv()[&("held".to_owned(), "BACKEND".to_owned())]["qcur"], "2");
    drop(clients);
    watched.wait_for("nobody", |json| json["upstreams"][1]["queue"]["current"] == 0);

    let name = ("app".to_owned(), up.address().to_string());
    let row = watched.csv()[&name].clone();
    assert_eq!((row["status"].as_str(), row["cookie"].as_str()), ("UP", "s1"));
    assert_eq!((row["check_status"].trim_start_matches("* "), row["check_code"].as_str()), ("L7OK", "200"));
    up.stop();
    let json = watched.wait_for("an end", |json| json["upstreams"][0]["endpoints"][0]["state"] == "down");
    assert_eq!(json["upstreams"][0]["endpoints"][0]["check"]["downs"], 1);
    let row = watched.csv()[&name].clone();
    assert_eq!((row["status"].as_str(), row["chkdown"].as_str()), ("DOWN", "1"));
    assert_eq!(row["check_status"].trim_start_matches("* "), "L4CON");
}

#[test]
fn columns_of_haproxy_that_only_some_endpoints_fill() {
    let held = Endpoint::start(Conduct::AcceptsAndStalls).expect("it starts");
    let [fails, works] = [Conduct::ClosesBeforeResponse, Conduct::Answers("hello")]
        .map(|conduct| Endpoint::start(conduct).expect("it starts"));
    let switches = Endpoint::start(Conduct::SwitchesUnasked).expect("it starts");
    let doubts = Endpoint::start(Conduct::SendsTwoLengths).expect("it starts");
    let slow = Recorders::start(&["slow"]).expect("it starts");
    let slow_address = slow.all()[0].address;
    let watched = Watched::start(
        &format!(
            "[upstream.queue]\nprobe = false\nbalance = \"source\"\n\
             endpoints = [{{ address = \"{}\", max_conn = 1 }}]\n\
             [upstream.fails]\nbalance = \"first\"\nprobe = {{ interval = \"1h\" }}\n\
             outlier = {{ failures = 1, ejection = \"1h\" }}\nendpoints = [\"{}\", \"{}\"]\n\
             [upstream.switches]\nprobe = false\nendpoints = [\"{}\"]\n\
             [upstream.doubts]\nprobe = false\nendpoints = [\"{}\"]\n\
             [upstream.slow]\nprobe = {{ interval = \"20ms\", fall = 1, rise = 1 }}\nslow_start = \"1h\"\n\
             endpoints = [\"{slow_address}\"]\n",
            held.address(),
            fails.address(),
            works.address(),
            switches.address(),
            doubts.address(),
        ),
        "",
    );
    let of = |upstream: &str, service: &str| watched.csv()[&(upstream.to_owned(), service.to_owned())].clone();
    let endpoint = |json: &Value, upstream: usize| json["upstreams"][upstream]["endpoints"][0].clone();

    // Who waits for the endpoint that its address means, waits for that one alone.
    let mut clients: Vec<RawClient> =
        (0..3).map(|_| RawClient::connect(watched.limpet.address).expect("a connection")).collect();
    let ask = |client: &mut RawClient| client.send(b"GET /queue HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    ask(&mut clients[0]);
    watched.wait_for("one that is served", |json| endpoint(json, 0)["in_progress"]["current"] == 1);
    clients[1..].iter_mut().for_each(ask);
    watched.wait_for("two that wait", |json| endpoint(json, 0)["queue"]["current"] == 2);
    clients.remove(0);
    // Who leaves the queue notes its time a moment later, on a worker of its own.
    let average = |json: &Value| endpoint(json, 0)["average_seconds"]["queue"].as_f64().expect("an average");
    let json =
        watched.wait_for("one that waited", |json| endpoint(json, 0)["queue"]["current"] == 1 && average(json) > 0.0);
    assert_eq!(endpoint(&json, 0)["queue"]["max"], 2);
    // Of two: one that did not wait, and one that did until it was seen.
    let waited = average(&json);
    assert!(waited < PATIENCE.as_secs_f64(), "{waited}");
    let row = of("queue", &held.address().to_string());
    assert_eq!((row["qcur"].as_str(), row["qmax"].as_str()), ("1", "2"));
    assert_eq!(row["qtime"], ((waited * 1000.0) as u64).to_string());
    assert_eq!(watched.metric("limpet_endpoint_queue_max", &["upstream=\"queue\""]), 2.0);
    drop(clients);

    // Probes find nothing wrong with it; real traffic does.
    exchange(watched.limpet.address, "/fails", "");
    watched.wait_for("an ejection", |json| endpoint(json, 1)["state"] == "ejected");
    let row = of("fails", &fails.address().to_string());
    assert_eq!((row["status"].as_str(), row["hanafail"].as_str()), ("DOWN (ejected)", "1"));
    assert_eq!(row["check_status"].trim_start_matches("* "), "L4OK");
    assert_eq!(watched.metric("limpet_endpoint_ejections_total", &["upstream=\"fails\""]), 1.0);
    let row = of("fails", &works.address().to_string());
    assert_eq!((row["status"].as_str(), row["hanafail"].as_str()), ("UP", "0"));

    // A 101 that nobody asked for would let an endpoint speak to somebody else's client; others are just broken.
    exchange(watched.limpet.address, "/switches", "");
    exchange(watched.limpet.address, "/doubts", "");
    let row = of("switches", "BACKEND");
    assert_eq!((row["dresp"].as_str(), row["eresp"].as_str()), ("1", "0"));
    assert_eq!(of("web", "FRONTEND")["dresp"], "1");
    let row = of("doubts", "BACKEND");
    assert_eq!((row["dresp"].as_str(), row["eresp"].as_str()), ("0", "1"));

    assert_eq!(of("slow", &slow_address.to_string())["throttle"], "", "it has always been up");
    slow.all()[0].down().expect("it goes down");
    watched.wait_for("the end", |json| endpoint(json, 4)["state"] == "down");
    assert_eq!(of("slow", &slow_address.to_string())["throttle"], "");
    slow.all()[0].up().expect("it comes back");
    let json = watched.wait_for("its return", |json| endpoint(json, 4)["state"] == "up");
    assert_eq!(endpoint(&json, 4)["slow_start_percent"], 6, "a sixteenth: {json:#}");
    assert_eq!(of("slow", &slow_address.to_string())["throttle"], "6");
}

#[test]
fn the_page_opens_for_those_who_may_see_it() {
    let stats = "realm = \"Haproxy Statistics\", hide_version = true, refresh = \"5s\", \
                 auth = [\"123:123\", \"admin:s3cret:x\"]";
    let watched = Watched::start("[upstream.app]\nprobe = false\nendpoints = [\"127.0.0.1:9\"]\n", stats);
    let get = |target: &str, credentials: Option<&str>| {
        let header = credentials.map(|credentials| format!("Authorization: Basic {credentials}"));
        let headers: Vec<&str> = header.iter().map(String::as_str).collect();
        http::get(watched.page, target, &headers).expect("an answer")
    };
    let page = "/haproxy?stats";
    for (credentials, status) in [
        (None, 401),
        (Some("MTIzOjEyMw=="), 200),
        (Some("YWRtaW46czNjcmV0Ong="), 200),
        (Some("MTIzOjEyNA=="), 401),
        (Some("MTIz"), 401),
        (Some("***"), 401),
    ] {
        let answer = get(page, credentials);
        assert_eq!(answer.status, status, "{credentials:?}: {}", answer.head);
        let asks = answer.head.contains("WWW-Authenticate: Basic realm=\"Haproxy Statistics\"");
        assert_eq!(asks, status == 401);
        assert_eq!(answer.body.contains("app"), status == 200);
        assert!(answer.head.contains("Cache-Control: no-store"), "{}", answer.head);
    }
    let answer = get(page, Some("MTIzOjEyMw=="));
    assert!(!answer.body.contains(env!("CARGO_PKG_VERSION")) && !answer.body.contains("<script"), "{}", answer.body);
    assert!(answer.body.contains("http-equiv=\"refresh\" content=\"5\""));
    assert!(!get("/haproxy?stats;norefresh", Some("MTIzOjEyMw==")).body.contains("http-equiv=\"refresh\""));
    assert_eq!(get("/haproxy?stats;csv", None).status, 401, "every form is guarded");
    assert_eq!(get("/haproxy", Some("MTIzOjEyMw==")).status, 404, "the query is a part of the place");
    let mut client = RawClient::connect(watched.page).expect("a connection");
    client
        .send(b"DELETE /haproxy?stats HTTP/1.1\r\nHost: h\r\nAuthorization: Basic MTIzOjEyMw==\r\n\r\n")
        .expect("sent");
    assert_eq!(client.response().expect("an answer").status, 405);
}

#[test]
fn the_columns_are_those_of_haproxy() {
    let endpoint = Endpoint::start(Conduct::Answers("hello")).expect("it starts");
    let folder = tempfile::tempdir().expect("a folder");
    let (file, socket) = (folder.path().join("haproxy.cfg"), folder.path().join("page.sock"));
    let configuration = format!(
        "defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         frontend web\n bind unix@{}\n stats enable\n default_backend app\n\
         backend app\n server a {}\n",
        socket.display(),
        endpoint.address()
    );
    std::fs::write(&file, configuration).expect("written");
    let mut command = std::process::Command::new("haproxy");
    let _haproxy = Process::spawn("haproxy", command.arg("-db").arg("-f").arg(&file)).expect("it starts");
    let mut stream = wait::until_some("HAProxy's socket", || std::os::unix::net::UnixStream::connect(&socket).ok());
    use std::io::{Read as _, Write as _};
    stream.write_all(b"GET /haproxy?stats;csv HTTP/1.0\r\n\r\n").expect("sent");
    let mut theirs = String::new();
    stream.read_to_string(&mut theirs).expect("an answer");
    let watched =
        Watched::start(&format!("[upstream.app]\nprobe = false\nendpoints = [\"{}\"]\n", endpoint.address()), "");
    let ours = http::get(watched.page, "/haproxy?stats;csv", &[]).expect("an answer").body;
    let head = |csv: &str| csv.lines().find(|line| line.starts_with("# ")).map(str::to_owned);
    assert_eq!(head(&ours), head(&theirs));
    let filled = |csv: &str, service: &str| -> Vec<String> {
        let columns: Vec<String> = head(csv).expect("a head")[2..].split(',').map(str::to_owned).collect();
        let line = csv.lines().find(|line| line.split(',').nth(1) == Some(service)).expect("a row");
        let fields = columns.into_iter().zip(line.split(','));
        fields.filter(|(_, field)| !field.is_empty()).map(|(column, _)| column).collect()
    };
    // Whatever HAProxy's exporters read of a server and of its backend has a value here too.
    for (theirs_service, service) in [("a", endpoint.address().to_string()), ("BACKEND", "BACKEND".to_owned())] {
        let (theirs, ours) = (filled(&theirs, theirs_service), filled(&ours, &service));
        let read = "qcur,qmax,scur,smax,stot,bin,bout,econ,eresp,wretr,wredis,status,weight,act,bck,lbtot,rate,\
                    rate_max,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,cli_abrt,srv_abrt,lastsess,qtime,\
                    ctime,rtime,ttime,type,iid,sid,pid,mode";
        for column in read.split(',') {
            assert!(theirs.iter().any(|name| name == column), "{column} is none of theirs: {theirs:?}");
            assert!(ours.iter().any(|name| name == column), "{column} is missing: {ours:?}");
        }
    }
}

#[test]
fn programs_learn_whether_it_lives_and_whether_it_is_ready() {
    let good = Endpoint::start(Conduct::Answers("hello")).expect("it starts");
    let held = Endpoint::start(Conduct::AcceptsAndStalls).expect("it starts");
    let upstreams = format!(
        "[upstream.good]\nprobe = {{ interval = \"100ms\", fall = 1 }}\nendpoints = [\"{}\"]\n\
         [upstream.held]\nprobe = false\nendpoints = [\"{}\"]\n",
        good.address(),
        held.address()
    );
    let watched = Watched::start(&upstreams, "");
    let get = |path: &str| http::get(watched.admin, path, &[]).expect("an answer");
    assert_eq!((get("/health").status, get("/ready").status, get("/").status), (200, 200, 404));
    good.stop();
    let reason = wait::until_some("it is ready no more", || {
        let answer = get("/ready");
        (answer.status == 503).then_some(answer.body)
    });
    assert!(reason.contains("upstream good has no usable endpoint") && !reason.contains("held"), "{reason}");
    assert_eq!(get("/health").status, 200, "it serves what it can");
    // A request in progress keeps the process for a while after it was told to stop.
    let mut client = RawClient::connect(watched.limpet.address).expect("a connection");
    client.send(b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    held.wait_for("the request", |event| matches!(event, limpet_testkit::misbehave::Event::Request(_)).then_some(()));
    watched.limpet.process.signal(rustix::process::Signal::TERM).expect("a signal");
    let reason = wait::until_some("it is healthy no more", || {
        let answer = get("/health");
        (answer.status == 503).then_some(answer.body)
    });
    assert!(reason.contains("stopping"), "{reason}");
    assert!(get("/ready").body.contains("stopping"));
}
