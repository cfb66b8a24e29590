//! Files that are wrong, with the whole text that says so.

use super::{SMALL, load};

/// Reads the text and returns its errors without the name of the file.
fn errors(text: &str) -> Vec<String> {
    let errors = load(text).expect_err(text);
    errors.lines().map(|line| line.strip_prefix("limpet.toml:").expect("named file").to_owned()).collect()
}

#[test]
fn values_say_what_would_be_right() {
    // Line 3 belongs to the listener, line 6 to the upstream.
    for (line, key, expected) in [
        (3, "max_head = \"33KiB\"", "listener.web.max_head: must be from \"1KiB\" to \"32KiB\""),
        (
            3,
            "max_head = \"16k\"",
            "listener.web.max_head: \"16k\" is not a size; write for example \"16KiB\", \"1MiB\" or a number of bytes",
        ),
        (
            3,
            "max_head = \"99999999999GiB\"",
            "listener.web.max_head: \"99999999999GiB\" is not a size; write for example \"16KiB\", \"1MiB\" or a number of bytes",
        ),
        (3, "max_connections = -1", "listener.web.max_connections: \"-1\" is not a whole number from 0"),
        (
            3,
            "max_connections = 1.5",
            "listener.web.max_connections: expected a single value, found a number with a fraction",
        ),
        (3, "head_timeout = 30", "listener.web.head_timeout: 30 lacks a unit; write for example \"30s\" or \"30ms\""),
        (
            3,
            "head_timeout = \"soon\"",
            "listener.web.head_timeout: \"soon\" is not a duration; write for example \"30s\", \"500ms\" or \"1h 30m\"",
        ),
        (3, "idle_timeout = \"0s\"", "listener.web.idle_timeout: must be longer than zero"),
        (3, "idle_timeout = \"500years\"", "listener.web.idle_timeout: must be at most \"365days\""),
        (
            3,
            "trusted = [\"10.0.0.0/8\", \"10.0.0/8\"]",
            "listener.web.trusted[2]: \"10.0.0/8\" is not a network; write CIDR, such as \"10.0.0.0/8\" or \"fd00::/8\"",
        ),
        (3, "trusted = { a = 1 }", "listener.web.trusted: expected a single value, found a table"),
        (
            3,
            "trusted = \"${NETWORKS}\"",
            "listener.web.trusted: the environment variable NETWORKS is not set; set it or write ${NETWORKS:-default}",
        ),
        (
            6,
            "balance = \"leastconn\"",
            "upstream.app.balance: unknown algorithm \"leastconn\"; use one of least_conn, round_robin, random2, source, hash, first",
        ),
        (6, "sid_tag = \"yes\"", "upstream.app.sid_tag: \"yes\" is neither true nor false"),
        (
            6,
            "probe = \"http\"",
            "upstream.app.probe: \"http\" is not a probe; write off, on or a table such as { interval = \"2s\" }",
        ),
        (6, "probe = { rise = 0 }", "upstream.app.probe.rise: \"0\" is not a whole number from 1"),
        (
            6,
            "probe = { http = \"POST /\" }",
            "upstream.app.probe.http: \"POST /\" is not a request; write GET, HEAD or OPTIONS and a path, as in \"GET /health\"",
        ),
        (
            6,
            "probe = { expect = \"200\" }",
            "upstream.app.probe: describes a response and lacks its request; add http = \"GET /health\"",
        ),
        (
            6,
            "probe = { http = \"HEAD /\", body = \"ok\" }",
            "upstream.app.probe: body cannot be looked for, since a HEAD has none; write http = \"GET ...\"",
        ),
        (
            6,
            "probe = { http = \"/\", expect = \"20x\" }",
            "upstream.app.probe.expect: \"20x\" is not a status; write for example \"200\", \"2xx\" or \"200-299\"",
        ),
        (6, "send_proxy = \"any\"", "upstream.app.send_proxy: unknown PROXY version \"any\"; use one of off, v1, v2"),
        (
            3,
            "accept_proxy = \"v3\"",
            "listener.web.accept_proxy: unknown PROXY version \"v3\"; use one of off, v1, v2, any",
        ),
        (
            3,
            "proxy_from = \"10.0.0.0/8\"",
            "listener.web.proxy_from: has no effect while no PROXY header is accepted; add accept_proxy = \"any\"",
        ),
        (6, "probe = { intervall = \"2s\" }", "upstream.app.probe.intervall: unknown key; did you mean \"interval\"?"),
        (
            6,
            "outlier = 5",
            "upstream.app.outlier: expected a table, found a number; write { failures = 5, ejection = \"10s\" }",
        ),
        (6, "max_held_body = \"65MiB\"", "upstream.app.max_held_body: must be from 0 to \"64MiB\""),
        (
            6,
            "forwarded = [\"via\"]",
            "upstream.app.forwarded[1]: unknown kind of header \"via\"; use one of x-forwarded, x-real-ip, rfc7239",
        ),
        (6, "blance = \"least_conn\"", "upstream.app.blance: unknown key; did you mean \"balance\"?"),
        (6, "interval = \"2s\"", "upstream.app.interval: unknown key here; it belongs in [upstream.NAME.probe]"),
        (
            6,
            "max_connections = 5",
            "upstream.app.max_connections: unknown key here; it belongs in the top of the file or [listener.NAME]",
        ),
        (
            3,
            "zzz = 1",
            "listener.web.zzz: unknown key; use one of bind, trusted, accept_proxy, proxy_from, proxy_required, max_connections, max_connections_per_client, max_requests_per_client, max_upgrades_per_client, max_head, head_timeout, body_timeout, idle_timeout",
        ),
    ] {
        let mut lines: Vec<&str> = SMALL.lines().collect();
        let at = if line == 3 { 2 } else { 4 };
        lines.insert(at, key);
        let expected = format!("{}: {expected}", at + 1);
        assert_eq!(errors(&lines.join("\n")), [expected], "{key}");
    }
}

#[test]
fn replicas_say_what_would_be_right() {
    for (replicas, expected) in [
        ("4", ": expected a table, found a number; write { command = [\"node\", \"server.js\"], count = 4 }"),
        ("{}", ": no command to start; write for example command = [\"node\", \"server.js\"]"),
        (
            "{ command = \"node server.js\" }",
            ".command: expected a list, found a string; write [\"node\", \"server.js\"]",
        ),
        ("{ command = [\"a\"], count = 257 }", ".count: \"257\" is not a number of processes from 0 to 256"),
        (
            "{ command = [\"a\"], base_port = 70000 }",
            ".base_port: \"70000\" is not a port; ports are numbers up to 65535",
        ),
        (
            "{ command = [\"a\"], count = 2, base_port = 65533 }",
            ".base_port: the ports end before twice the number of replicas; choose a lower one, or 0 for free ones",
        ),
    ] {
        let text = format!("{SMALL}replicas = {replicas}\n");
        assert_eq!(errors(&text), [format!("5: upstream.app.replicas{expected}")], "{replicas}");
    }
    let fits = "replicas = { command = [\"a\"], count = 2, base_port = 65532 }\n";
    let alone = SMALL.replace("endpoints = [\"app01:3000\"]\n", fits);
    assert_eq!(load(&alone).unwrap().upstreams[0].replicas.as_ref().unwrap().base_port, 65_532);
}

#[test]
fn rate_limits_say_what_would_be_right() {
    for (limit, expected) in [
        ("5", ": expected a table, found a number; write { per = \"client\", rate = \"100/s\" }"),
        ("{}", ": lacks its rate; write for example rate = \"100/s\""),
        (
            "{ rate = \"5\" }",
            ".rate: \"5\" is not a rate; write requests per second or minute, such as \"100/s\" or \"30/m\"",
        ),
        ("{ rate = \"0/s\" }", ".rate: \"0/s\" is out of range; rates are from \"1/m\" to \"4000000/s\""),
        (
            "{ rate = \"5/s\", per = \"ip\" }",
            ".per: \"ip\" cannot be counted by; use \"client\", \"route\" or \"header:NAME\"",
        ),
        (
            "{ rate = \"5/s\", per = \"header:a b\" }",
            ".per: \"a b\" is not the name of a header; write for example \"header:X-Api-Key\"",
        ),
        ("{ rate = \"5/s\", burst = -1 }", ".burst: \"-1\" is not a number of requests from 0 to 1000000"),
        (
            "{ rate = \"5/s\", status = 200 }",
            ".status: \"200\" is not the status of a refusal; write 503 or 429, or another from 400 to 599",
        ),
        ("{ rate = \"5/s\", keys = 0 }", ".keys: \"0\" is not a number of keys from 1 to 10000000"),
        ("{ rate = \"5/s\", delay = 1, nodelay = true }", ": has delay and nodelay; keep one of them"),
        ("{ rate = \"5/s\", nodelai = 1 }", ".nodelai: unknown key; did you mean \"nodelay\"?"),
        ("{ rate = \"5/s\", brust = 1 }", ".brust: unknown key; did you mean \"burst\"?"),
    ] {
        let text = format!("{SMALL}[[route]]\nupstream = \"app\"\nrate_limit = {limit}\n");
        assert_eq!(errors(&text), [format!("7: route[1].rate_limit{expected}")], "{limit}");
    }
    let many = "{ rate = \"5/s\" }, ".repeat(9);
    let text = format!("{SMALL}[[route]]\nupstream = \"app\"\nrate_limit = [{many}]\n");
    assert_eq!(errors(&text), ["7: route[1].rate_limit: 9 limits are too many; a route has at most 8"]);
}

#[test]
fn addresses_say_what_would_be_right() {
    let wrong = |text: &str, hint: &str| {
        format!("4: upstream.app.endpoints[1]: {text:?} is not the address of an endpoint; {hint}")
    };
    for (text, hint) in [
        ("app01", "add a port, as in \"app01:3000\""),
        ("app01:0", "the port is a number from 1 to 65535"),
        ("app01:http", "the port is a number from 1 to 65535"),
        ("app01:99999", "the port is a number from 1 to 65535"),
        ("http://app01:3000", "write \"HOST:PORT\" without \"http://\""),
        ("::1:3000", "write IPv6 addresses in brackets, as in \"[::1]:3000\""),
        ("[::1]", "write \"[IPV6]:PORT\""),
        ("[app01]:3000", "write \"[IPV6]:PORT\""),
        (":3000", "write \"HOST:PORT\", such as \"app01:3000\""),
        ("app 01:3000", "write \"HOST:PORT\", such as \"app01:3000\""),
        ("", "add a port, as in \"app01:3000\""),
    ] {
        assert_eq!(errors(&SMALL.replace("app01:3000", text)), [wrong(text, hint)], "{text}");
    }
    for text in ["localhost:8000", "1.2.3.4", "", "0.0.0.0:99999", "::", ":-1"] {
        let expected = format!(
            "2: listener.web.bind: {text:?} is not an address to bind; write \"IP:PORT\" or \":PORT\", such as \"0.0.0.0:8000\""
        );
        assert_eq!(errors(&SMALL.replace(":8000", text)), [expected], "{text}");
    }
    let expected = "2: listener.web.bind: 80000 is not a port; ports go up to 65535";
    assert_eq!(errors(&SMALL.replace("8000", "80000")), [expected]);
}

#[test]
fn what_refers_to_nothing_is_an_error() {
    let cases: [(&str, &[&str]); 14] = [
        ("[[route]]\nupstream = \"ap\"", &["6: route[1].upstream: unknown upstream \"ap\"; did you mean \"app\"?"]),
        ("[[route]]\nupstream = \"chat\"", &["6: route[1].upstream: unknown upstream \"chat\"; use app"]),
        (
            "[[route]]\nlistener = \"public\"\nupstream = \"app\"",
            &["6: route[1].listener: unknown listener \"public\"; use web"],
        ),
        (
            "[[route]]\nhost = \"a.b\"",
            &["5: route[1].upstream: is missing; name the upstream of the route, or what it serves"],
        ),
        (
            "[[route]]\nupstream = \"app\"\n[[route]]\nhost = \"a.b\"\nupstream = \"app\"",
            &["7: route[2]: is never reached; route 1 (line 5) takes all its requests. Put it before that"],
        ),
        (
            "[[route]]\nhost = \"*.a.b\"\npath_prefix = \"/s\"\nupstream = \"app\"\n[[route]]\nhost = \"c.A.b\"\npath_prefix = \"/socket.io\"\nupstream = \"app\"",
            &["9: route[2]: is never reached; route 1 (line 5) takes all its requests. Put it before that"],
        ),
        ("[route]\nupstream = \"app\"", &["5: route: expected a list of tables, found a table; write [[route]]"]),
        (
            "[[route]]\nhost = \"https://a.b\"\nupstream = \"app\"\n[[route]]\npath_prefix = \"/\"\nupstream = \"app\"",
            &["6: route[1].host: \"https://a.b\" is not a host; write the name alone, without scheme, port and path"],
        ),
        (
            "[[route]]\npath_prefix = \"socket.io\"\nupstream = \"app\"",
            &["6: route[1].path_prefix: \"socket.io\" is not a path; begin it with \"/\""],
        ),
        (
            "[upstream.b]\nendpoints = [\"a:1\", { address = \"A:1\", id = \"x\" }, { address = \"b:1\", id = \"x\" }]",
            &[
                "3: upstream: 2 upstreams and no route; add [[route]] with upstream = \"app\"",
                "6: upstream.b.endpoints[2]: the address a:1 is that of endpoint 1 already",
                "6: upstream.b.endpoints[3]: the id \"x\" is that of endpoint 2 already",
            ],
        ),
        (
            "[listener.b]\nbind = \"0.0.0.0:8000\"",
            &["6: listener.b.bind: 0.0.0.0:8000 is already bound by listener web"],
        ),
        ("[listener.b]", &["5: listener.b.bind: is missing; write for example bind = \":8000\""]),
        (
            "[listener.\"a b\"]\nbind = \":1\"",
            &["5: listener.a b: \"a b\" is not a name; write 1 to 64 letters, digits, \"_\", \"-\" and \".\""],
        ),
        ("[clutser]", &["5: clutser: unknown key; did you mean \"cluster\"?"]),
    ];
    for (text, expected) in cases {
        assert_eq!(errors(&format!("{SMALL}{text}\n")), expected, "{text}");
    }
}

#[test]
fn what_is_missing_is_an_error() {
    let upstream = "[upstream.app]\nendpoints = [\"app01:3000\"]";
    let no_listener = " no listener; add [listener.web] with bind = \":8000\", or set LIMPET_LISTEN";
    let no_upstream = " no upstream; add [upstream.app] with endpoints = [\"app01:3000\"], or set LIMPET_UPSTREAM";
    let no_endpoints =
        "upstream.app.endpoints: no endpoints; write for example endpoints = [\"app01:3000\", \"app02:3000\"]";
    assert_eq!(errors(upstream), [no_listener]);
    assert_eq!(errors(""), [no_listener, no_upstream]);
    assert_eq!(errors("[listener]\n[upstream]\n"), [no_listener, no_upstream]);
    assert_eq!(errors(&SMALL.replace("\"app01:3000\"", "")), [format!("4: {no_endpoints}")]);
    assert_eq!(errors(&SMALL.replace("endpoints = [\"app01:3000\"]", "")), [format!("3: {no_endpoints}")]);
    assert_eq!(
        errors("listener = \":8000\"\n[upstream]\nendpoints = [\"a:1\"]"),
        [
            "1: listener: expected a table, found a string; write [listener.NAME]",
            "3: upstream.endpoints: expected a table, found a list; write [upstream.NAME]",
        ]
    );
}

#[test]
fn all_errors_come_at_once_in_the_order_of_their_lines() {
    let text = "workers = -1\n[upstream.app]\nbalance = \"x\"\nendpoints = [\n  \"a\",\n  \"b\",\n]\n[listener.web]\nbind = 1.5\n";
    let lines: Vec<String> =
        errors(text).iter().map(|error| error.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "1 workers",
            "3 upstream.app.balance",
            "5 upstream.app.endpoints[1]",
            "6 upstream.app.endpoints[2]",
            "9 listener.web.bind"
        ]
    );
}

#[test]
fn errors_of_the_syntax_have_lines() {
    let found = errors("workers = \n[listener.web]\nbind = \":8000\nmax_head = 1\nworkers == 2\n");
    let lines: Vec<&str> = found.iter().filter_map(|error| error.split(':').next()).collect();
    assert_eq!(lines, ["1", "3", "5"], "{found:?}");
    let found = errors(&format!("{SMALL}[listener.web]\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("5: "), "{found:?}");
}

#[test]
fn a_file_cut_anywhere_is_read_or_refused() {
    let text = format!("{}# ${{X:-ü}}\n", super::super::defaults::text()).replace("\n#", "\n");
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        if let Err(errors) = load(&text[..end]) {
            assert!(!errors.is_empty());
        }
    }
}
