//! Configurations and the remarks that they deserve, each with its line and key.

use super::super::Draft;

fn lint(text: &str) -> (super::super::Config, super::Lint) {
    let lookup = |_: &str| None;
    Draft::from_file("limpet.toml", text, &lookup).check_and_lint(&lookup).unwrap()
}

fn remarks(text: &str) -> Vec<String> {
    lint(text).1.into_remarks().iter().map(ToString::to_string).collect()
}

/// The keys of an upstream begin at line 4.
fn of_upstream(lines: &str) -> Vec<String> {
    remarks(&format!("[listener.web]\nbind = \":8000\"\n[upstream.app]\n{lines}\n"))
}

/// The keys of a listener begin at line 4, those of the route at line 5 if that is one line.
fn of_listener_and_route(listener: &str, route: &str) -> Vec<String> {
    remarks(&format!(
        "[upstream.app]\nendpoints = [\"app01:3000\"]\n[listener.web]\n{listener}\n[[route]]\nupstream = \"app\"\n{route}\n"
    ))
}

/// Expects one remark for each pair of a place and a word, in this order.
#[track_caller]
fn assert_remarks(found: &[String], expected: &[(&str, &str)]) {
    let fits = |(remark, (place, word)): (&String, &(&str, &str))| {
        remark.starts_with(&format!("limpet.toml:{place}: ")) && remark.contains(word)
    };
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(fits), "{found:#?}\n{expected:#?}");
}

#[test]
fn what_is_right_has_no_remarks() {
    for lines in [
        "endpoints = [\"app01:3000\", \"app02:3000\"]",
        "affinity = []\nendpoints = [\"10.0.0.1:80\"]",
        "endpoints = [\"app01:3000\"]\nbalance = \"source\"\nhash = \"ring\"\nhash_balance_factor = 125",
        "endpoints = [\"app01:3000\"]\naffinity = [{ by = \"client\" }]\nhash_balance_factor = 125",
        "endpoints = [\"app01:3000\"]\nslow_start = \"10s\"\nresponse_timeout = \"46s\"",
        "endpoints = [{ address = \"a:1\", cookie = \"a\" }]\naffinity = [{ by = \"stickysession\", name = \"S\" }]",
        "endpoints_file = \"/etc/limpet/app.toml\"\nmax_queue = 7",
    ] {
        assert_remarks(&of_upstream(lines), &[]);
    }
    let printed = super::super::defaults::text().replace("endpoints = []", "endpoints = [\"app01:3000\"]");
    assert_remarks(&remarks(&printed), &[]);
}

#[test]
fn each_mistake_of_an_upstream_has_its_line() {
    for (lines, place, word) in [
        ("endpoints = [\"a:1\", \"b:1\"]\naffinity = []", "5: upstream.app.affinity", "Session ID unknown"),
        ("endpoints_file = \"/a\"\naffinity = []", "5: upstream.app.affinity", "{ by = \"sid\" }"),
        ("endpoints = [\"a:1\"]\nresponse_timeout = \"3s\"", "5: upstream.app.response_timeout", "60s"),
        ("endpoints = [\"a:1\"]\ntunnel_timeout = \"45s\"", "5: upstream.app.tunnel_timeout", "45 s"),
        ("endpoints = [{ address = \"a:1\", weight = 0 }]", "4: upstream.app.endpoints", "503"),
        ("endpoints = [{ address = \"a:1\", state = \"drain\" }]", "4: upstream.app.endpoints", "503"),
        ("endpoints = [{ address = \"a:1\", backup = true }]", "4: upstream.app.endpoints", "backup"),
        (
            "endpoints = [\n\"a:1\",\n{ address = \"b:1\", max_conn = 1024 },\n]",
            "6: upstream.app.endpoints[2].max_conn",
            "one of the 1024",
        ),
        ("endpoints = [\"chat.shop.svc.cluster.local:80\"]", "4: upstream.app.endpoints[1]", "headless"),
        ("endpoints = [\"a:1\"]\nqueue_timeout = \"1s\"", "5: upstream.app.queue_timeout", "max_conn"),
        ("endpoints = [\"a:1\"]\nmax_queue = 7", "5: upstream.app.max_queue", "max_conn"),
        ("endpoints = [\"a:1\"]\nall_backups = true", "5: upstream.app.all_backups", "backup = true"),
        ("endpoints = [\"a:1\"]\nslow_start = \"9s\"\nprobe = false", "5: upstream.app.slow_start", "probes"),
        ("endpoints = [{ address = \"a:1\", cookie = \"a\" }]", "4: upstream.app.endpoints[1].cookie", "plain"),
        ("endpoints = [\"a:1\"]\nhash = \"ketama\"", "5: upstream.app.hash", "\"least_conn\""),
        ("endpoints = [\"a:1\"]\nhash_key = \"path\"", "5: upstream.app.hash_key", "\"hash\""),
        (
            "endpoints = [\"a:1\"]\nbalance = \"source\"\nhash = \"ip_hash\"\nhash_balance_factor = 125",
            "7: upstream.app.hash_balance_factor",
            "hash = \"ip_hash\"",
        ),
    ] {
        assert_remarks(&of_upstream(lines), &[(place, word)]);
    }
}

#[test]
fn a_factor_without_a_hash_is_what_haproxy_has_without_balance() {
    // What a tutorial makes of `hash-type consistent` and `hash-balance-factor 150` without `balance`.
    let found = of_upstream(
        "endpoints = [\"a:1\", \"b:1\"]\nbalance = \"round_robin\"\nhash = \"ring\"\nhash_balance_factor = 150",
    );
    assert_remarks(
        &found,
        &[("6: upstream.app.hash", "modes of affinity"), ("7: upstream.app.hash_balance_factor", "HAProxy")],
    );
    // A cookie hashes nothing either.
    let found =
        of_upstream("endpoints = [\"a:1\"]\nhash_balance_factor = 150\naffinity = [{ by = \"cookie\", name = \"S\" }]");
    assert_remarks(&found, &[("5: upstream.app.hash_balance_factor", "\"least_conn\"")]);
}

#[test]
fn an_upstream_for_websockets_alone_needs_no_affinity() {
    let text = |route: &str| {
        format!(
            "[listener.web]\nbind = \":8000\"\n[upstream.app]\nendpoints = [\"a:1\", \"b:1\"]\naffinity = []\n\
             [[route]]\nupstream = \"app\"\n{route}\n"
        )
    };
    for route in [
        "header = \"Upgrade: websocket\"",
        "query = \"transport=websocket\"\npath_prefix = \"/socket.io\"",
        "any = [{ header = \"Upgrade: WebSocket\" }, { query = \"transport=websocket\" }]",
    ] {
        assert_remarks(&remarks(&text(route)), &[]);
    }
    for route in ["path_prefix = \"/socket.io\"", "any = [{ header = \"Upgrade: websocket\" }, { host = \"ws*\" }]"] {
        assert_remarks(&remarks(&text(route)), &[("5: upstream.app.affinity", "Session ID unknown")]);
    }
}

#[test]
fn what_goes_by_clients_needs_to_see_them() {
    const LOCAL: &str = "bind = \"127.0.0.1:8000\"";
    let limit = "rate_limit = { per = \"client\", rate = \"100/s\" }";
    let found = of_listener_and_route(LOCAL, limit);
    assert_remarks(&found, &[("7: route[1].rate_limit", "trusted = [\"127.0.0.1\"]")]);
    let found = of_listener_and_route("bind = \"10.0.0.7:8000\"", limit);
    assert_remarks(&found, &[("7: route[1].rate_limit", "if a proxy stands before listener web")]);
    for listener in [
        "bind = \"127.0.0.1:8000\"\ntrusted = [\"127.0.0.1\"]",
        "bind = \"127.0.0.1:8000\"\naccept_proxy = \"v1\"",
        "bind = \":8000\"",
        "bind = \"203.0.113.7:80\"",
    ] {
        assert_remarks(&of_listener_and_route(listener, limit), &[]);
    }
    for key in ["max_connections_per_client", "max_requests_per_client", "max_upgrades_per_client"] {
        let found = of_listener_and_route(&format!("{LOCAL}\n{key} = 5"), "");
        assert_remarks(&found, &[(&format!("5: listener.web.{key}"), "counts everybody together")]);
    }
    let found =
        of_listener_and_route(&format!("{LOCAL} # front\ntrusted = [\"::1\"]\nmax_connections_per_client = 5"), "");
    assert_remarks(&found, &[("6: listener.web.max_connections_per_client", "max_requests_per_client")]);
    let by_address = |lines: &str| {
        remarks(&format!("[listener.web]\n{LOCAL}\n[upstream.app]\nendpoints = [\"app01:3000\"]\n{lines}\n"))
    };
    assert_remarks(
        &by_address("affinity = [{ by = \"sid\" }, { by = \"client\" }]"),
        &[("5: upstream.app.affinity", "all go to one endpoint")],
    );
    assert_remarks(&by_address("balance = \"source\""), &[("5: upstream.app.balance", "all go to one endpoint")]);
    assert_remarks(&by_address("balance = \"hash\""), &[("5: upstream.app.balance", "127.0.0.1")]);
    assert_remarks(&by_address("balance = \"hash\"\nhash_key = \"path\""), &[]);
}

#[test]
fn nobody_can_play_a_proxy() {
    let found = of_listener_and_route("bind = \":8000\"\ntrusted = [\"0.0.0.0/0\"]\naccept_proxy = \"any\"", "");
    assert_remarks(&found, &[("5: listener.web.trusted", "everybody"), ("6: listener.web.accept_proxy", "proxy_from")]);
    let found = of_listener_and_route("bind = \":8000\"\naccept_proxy = \"v2\"\nproxy_from = [\"::/0\"]", "");
    assert_remarks(&found, &[("5: listener.web.accept_proxy", "proxy_from")]);
    let found = of_listener_and_route("bind = \":8000\"\naccept_proxy = \"v2\"\nproxy_from = [\"10.0.0.0/8\"]", "");
    assert_remarks(&found, &[]);
}

#[test]
fn what_is_declared_should_be_used() {
    let found = remarks(
        "[listener.web]\nbind = \":80\"\n[listener.old]\nbind = \":81\"\n[upstream.app]\nendpoints = [\"a:1\"]\n\
         [upstream.old]\nendpoints = [\"b:1\"]\n[[route]]\nlistener = \"web\"\nupstream = \"app\"\n",
    );
    assert_remarks(
        &found,
        &[("3: listener.old", "no route takes its requests"), ("7: upstream.old", "no route leads here")],
    );
}

#[test]
fn routes_and_limits_can_hold() {
    let route = |lines: &str| of_listener_and_route("bind = \":80\"", lines);
    for lines in [
        "path = \"/a\"\nall = [{ path = \"/b\" }]",
        "method = \"GET\"\nall = [{ method = \"POST\" }]",
        "path_prefix = \"/a\"\nnot = { path_prefix = \"/\" }",
        "host = \"a.example\"\nall = [{ host = \"*.b.example\" }]",
        "source = [\"10.0.0.0/8\"]\nall = [{ source = [\"192.168.0.0/16\"] }]",
    ] {
        assert_remarks(&route(lines), &[("5: route[1]", "holds for no request")]);
    }
    for lines in [
        "path_prefix = \"/a\"\nall = [{ path_prefix = \"/a/b\" }]",
        "host = \"a.example\"\nnot = { path_prefix = \"/b\" }",
        "source = [\"10.0.0.0/8\"]\nall = [{ source = [\"10.1.0.0/16\"] }]",
        "rate_limit = [{ rate = \"10/s\", burst = 9 }, { rate = \"100/m\", burst = 50 }]",
        "rate_limit = [{ rate = \"10/s\" }, { rate = \"20/s\", per = \"route\" }]",
        "rate_limit = [{ rate = \"10/s\", burst = 5, nodelay = true }, { rate = \"20/s\", burst = 5 }]",
    ] {
        assert_remarks(&route(lines), &[]);
    }
    let found = route("rate_limit = [\n{ rate = \"20/s\", burst = 5 },\n{ rate = \"10/s\", burst = 5 }]");
    assert_remarks(&found, &[("8: route[1].rate_limit[1]", "limit 2 of the route")]);
    let found = route("rate_limit = [\n{ rate = \"10/s\" },\n{ rate = \"10/s\" }]");
    assert_remarks(&found, &[("9: route[1].rate_limit[2]", "limit 1 of the route")]);
}

#[test]
fn a_name_with_one_address_may_be_virtual() {
    for (endpoints, addresses, expected) in [
        ("\"chat:3000\"", 1, true),
        ("\"chat:3000\"", 2, false),
        ("\"tasks.chat:3000\"", 3, false),
        ("\"chat:3000\", \"other:3000\"", 1, false),
        ("\"10.0.0.1:3000\"", 1, false),
        ("\"localhost:3000\"", 1, false),
    ] {
        let (config, mut lint) =
            lint(&format!("[listener.web]\nbind = \":8000\"\n[upstream.app]\nendpoints = [{endpoints}]\n"));
        lint.note_addresses(&config.upstreams[0], 1, addresses);
        let found: Vec<String> = lint.into_remarks().iter().map(ToString::to_string).collect();
        let remark = ("4: upstream.app.endpoints[1]", "tasks.NAME");
        assert_remarks(&found, if expected { std::slice::from_ref(&remark) } else { &[] });
    }
}

#[test]
fn without_a_file_remarks_have_their_keys() {
    let config = super::super::Config {
        upstreams: vec![super::super::UpstreamConfig::new("app", Vec::new())],
        ..super::super::Config::default()
    };
    let found = super::remarks(&config);
    assert!(matches!(&found[..], [one] if one.starts_with("upstream.app: no route leads here")), "{found:?}");
}

#[test]
fn numbers_are_not_for_everybody() {
    let page = |bind: &str, page: &str| {
        remarks(&format!(
            "[admin]\nbind = \"{bind}:9000\"\n[upstream.app]\nendpoints = [\"app01:3000\"]\n[listener.web]\nbind = \"{bind}:8000\"\n\
             [[route]]\npath = \"/stats\"\nserve = \"stats\"\nstats = {{ {page} }}\n[[route]]\nupstream = \"app\"\n"
        ))
    };
    assert_remarks(&page("127.0.0.1", ""), &[]);
    let admin = ("2: admin.bind", "can read the metrics");
    assert_remarks(&page("192.0.2.1", ""), &[admin, ("10: route[1].stats", "add auth")]);
    let short = page("192.0.2.1", "auth = [\"123:123\"]");
    assert_remarks(&short, &[admin, ("10: route[1].stats", "the password of 123 is soon found")]);
    assert_remarks(&page("192.0.2.1", "auth = [\"ops:correct horse\"]"), &[admin]);
}
