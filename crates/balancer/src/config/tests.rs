//! Files, environments and flags, with what they mean or which errors they give.

mod affinity;
mod errors;
mod routes;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use limpet_proto::http1::Version;

use super::*;

/// The smallest file that is right.
const SMALL: &str = "[listener.web]\nbind = \":8000\"\n[upstream.app]\nendpoints = [\"app01:3000\"]\n";

fn nothing(_: &str) -> Option<String> {
    None
}

/// Reads a file called limpet.toml in an empty environment.
fn load(text: &str) -> Result<Config, String> {
    Draft::from_file("limpet.toml", text, &nothing).check(&nothing).map_err(|errors| errors.to_string())
}

fn all(port: u16) -> SocketAddr {
    SocketAddr::new("::".parse().unwrap(), port)
}

fn endpoint(host: &str, port: u16) -> EndpointConfig {
    EndpointConfig::new(host, port)
}

fn everything_to(upstream: &str) -> RouteConfig {
    RouteConfig::to(upstream)
}

fn small() -> Config {
    Config {
        listeners: vec![ListenerConfig::new("web", all(8000))],
        routes: vec![everything_to("app")],
        upstreams: vec![UpstreamConfig::new("app", vec![endpoint("app01", 3000)])],
        ..Config::default()
    }
}

#[test]
fn a_small_file_has_the_defaults() {
    assert_eq!(load(SMALL), Ok(small()));
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let printed = defaults::text().replace("endpoints = []", "endpoints = [\"app01:3000\"]");
    assert_eq!(load(&printed), Ok(small()));
}

#[test]
fn the_printed_defaults_hold_when_every_key_is_switched_on() {
    let printed = defaults::text().replace("endpoints = []", "endpoints = [\"app01:3000\"]");
    let mut keys = 0;
    let text: Vec<&str> = printed
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.is_empty() && !key.starts_with(' ') => {
                keys += 1;
                key
            }
            _ => line,
        })
        .collect();
    let mut expected = small();
    // The examples, which are no defaults.
    expected.key = KeySource::File(PathBuf::from("/run/secrets/limpet.key"));
    expected.admin = Some("127.0.0.1:9000".parse().unwrap());
    let prefix = |path: &str| Condition::PathPrefix(path.to_owned());
    let header = |name: &str, value| Condition::Header(HeaderRule { name: name.to_owned(), value });
    let websocket = || header("Upgrade", ValueRule::Equal("websocket".to_owned()));
    expected.routes = vec![
        RouteConfig {
            listener: Some("web".to_owned()),
            when: Condition::All(vec![
                Condition::Host(HostRule::new("*.example.com")),
                Condition::Path("/socket.io/".to_owned()),
                prefix("/socket.io"),
                websocket(),
                Condition::Any(["GET", "POST"].map(|method| Condition::Method(method.to_owned())).to_vec()),
                Condition::Query { name: "transport".to_owned(), value: Some("websocket".to_owned()) },
                Condition::Source(vec!["10.0.0.0/8".parse().unwrap()]),
                Condition::All(vec![header("Origin", ValueRule::Present), header("Upgrade", ValueRule::Present)]),
                Condition::Any(vec![prefix("/socket.io"), websocket()]),
                Condition::Not(Box::new(Condition::Source(vec!["10.9.0.0/16".parse().unwrap()]))),
            ]),
            request_headers: HeaderEdits::of(&[("X-Forwarded-Proto", "https")], &[("Via", "limpet")], &["X-Debug"]),
            response_headers: HeaderEdits::of(&[("X-Served-By", "%{endpoint}")], &[], &["X-Powered-By"]),
            max_body_bytes: Some(20 * 1024 * 1024),
            rate_limits: vec![RateLimitConfig {
                delay: None,
                ..RateLimitConfig::new(RateKey::Client, "100/s".parse().unwrap())
            }],
            ..everything_to("app")
        },
        RouteConfig {
            when: Condition::All(vec![prefix("/old")]),
            ..RouteConfig::new(ActionConfig::Redirect(RedirectConfig {
                status: 302,
                to: Template::for_redirect("https://%{host}%{path}%{query}").unwrap(),
            }))
        },
        RouteConfig {
            when: Condition::All(vec![Condition::Path("/maintenance".to_owned())]),
            ..RouteConfig::new(ActionConfig::Respond(RespondConfig {
                body: "down for an hour".to_owned(),
                ..RespondConfig::default()
            }))
        },
        RouteConfig {
            when: Condition::All(vec![Condition::All(vec![
                Condition::Path("/haproxy".to_owned()),
                Condition::QueryPrefix("stats".to_owned()),
            ])]),
            ..RouteConfig::new(ActionConfig::Stats(StatsPage::default()))
        },
    ];
    expected.upstreams[0].endpoints_file = Some(PathBuf::from("/etc/limpet/app.toml"));
    expected.upstreams[0].replicas = Some(ReplicasConfig::new(vec!["node".to_owned(), "server.js".to_owned()]));
    expected.upstreams[0].probe = Some(ProbeConfig {
        http: Some(HttpProbe {
            host: Some("app.example.com".to_owned()),
            body: Some("ok".to_owned()),
            ..HttpProbe::new(ProbeMethod::Get, "/health")
        }),
        port: Some(9000),
        fast_interval: Some(Duration::from_millis(500)),
        down_interval: Some(Duration::from_secs(5)),
        ..ProbeConfig::default()
    });
    assert_eq!(load(&text.join("\n")), Ok(expected));
    assert!(keys > 50, "only {keys} keys were switched on");
}

#[test]
fn every_key_has_its_place() {
    let config = load(
        r#"
        workers = 3
        max_connections = 1_000
        shutdown_timeout = "1m 30s"
        access_log = "json"
        state_directory = "/srv/limpet"
        admin = { bind = "127.0.0.1:9000" }
        [dns]
        servers = ["127.0.0.1:5353", "::1"]
        family = "ipv4"
        timeout = "3s"
        min_ttl = "4s"
        max_ttl = "5m"
        hold = "6s"
        [listener.web]
        bind = "127.0.0.1:8000"
        trusted = ["10.0.0.0/8", "::1"]
        accept_proxy = "v2"
        proxy_from = "10.1.0.0/16"
        proxy_required = true
        max_connections = 7
        max_connections_per_client = 8
        max_requests_per_client = 9
        max_upgrades_per_client = 10
        max_head = "32KiB"
        head_timeout = "1s"
        body_timeout = "2s"
        idle_timeout = "3s"
        [listener.other]
        bind = 8001
        [[route]]
        listener = "other"
        host = "*.Example.COM"
        path_prefix = "/socket.io"
        upstream = "chat"
        rate_limit = [
            { per = "header:X-Api-Key", rate = "30/m", burst = 7, delay = 3, status = 429, keys = 100 },
            { per = "route", rate = "50/s", nodelay = "on" },
        ]
        [[route]]
        upstream = "app"
        rate_limit = { rate = "5/s" }
        [upstream.chat]
        balance = "hash"
        hash = "ketama"
        hash_key = "header:X-User"
        hash_balance_factor = 125
        all_backups = true
        slow_start = "30s"
        queue_timeout = "6s"
        max_queue = 10
        affinity = []
        sid_tag = false
        endpoints = [{ address = "app01:3000", id = "one" }, "[::1]:3000", "10.0.0.1:80", "srv:_http._tcp.app"]
        endpoints_file = "chat.json"
        probe = { interval = "4s", timeout = "5s", rise = 6, fall = 7, spread = 0, http = "HEAD /up", version = "1.0", host = "a.b:80", expect = "200-299, 304", drain_on_404 = true, port = 81, fast_interval = "1s", down_interval = "9s" }
        outlier = { failures = 0, ejection = "8s" }
        replicas = { command = ["node", "a server.js"], count = 3, base_port = 4000, start_timeout = "11s", drain_timeout = "12s", kill_after = "13s" }
        connect_timeout = "9s"
        response_timeout = "500ms"
        tunnel_timeout = "2h"
        max_held_body = 0
        max_body = "5KiB"
        forwarded = ["rfc7239"]
        send_proxy = "v1"
        [upstream.app]
        endpoints = "a:1, b:2 c:3"
        probe = false
        "#,
    );
    let seconds = Duration::from_secs;
    let expected = Config {
        workers: 3,
        max_connections: 1000,
        shutdown_timeout: seconds(90),
        key: KeySource::StateDirectory(PathBuf::from("/srv/limpet")),
        access_log: AccessLog::Json,
        admin: Some("127.0.0.1:9000".parse().unwrap()),
        dns: DnsConfig {
            servers: vec!["127.0.0.1:5353".parse().unwrap(), "[::1]:53".parse().unwrap()],
            family: DnsFamily::Ipv4,
            timeout: seconds(3),
            min_ttl: seconds(4),
            max_ttl: seconds(300),
            hold: seconds(6),
        },
        listeners: vec![
            ListenerConfig {
                name: "web".to_owned(),
                bind: "127.0.0.1:8000".parse().unwrap(),
                trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                accept_proxy: AcceptProxy::V2,
                proxy_from: vec!["10.1.0.0/16".parse().unwrap()],
                proxy_required: true,
                max_connections: 7,
                max_connections_per_client: 8,
                max_requests_per_client: 9,
                max_upgrades_per_client: 10,
                max_head_bytes: 32 * 1024,
                head_timeout: seconds(1),
                body_timeout: seconds(2),
                idle_timeout: seconds(3),
            },
            ListenerConfig::new("other", all(8001)),
        ],
        routes: vec![
            RouteConfig {
                listener: Some("other".to_owned()),
                when: Condition::All(vec![
                    Condition::Host(HostRule::new("*.example.com")),
                    Condition::PathPrefix("/socket.io".to_owned()),
                ]),
                rate_limits: vec![
                    RateLimitConfig {
                        burst: 7,
                        delay: Some(3),
                        status: 429,
                        keys: 100,
                        ..RateLimitConfig::new(RateKey::Header("X-Api-Key".to_owned()), "30/m".parse().unwrap())
                    },
                    RateLimitConfig { delay: None, ..RateLimitConfig::new(RateKey::Route, "50/s".parse().unwrap()) },
                ],
                ..everything_to("chat")
            },
            RouteConfig {
                rate_limits: vec![RateLimitConfig::new(RateKey::Client, "5/s".parse().unwrap())],
                ..everything_to("app")
            },
        ],
        upstreams: vec![
            UpstreamConfig {
                name: "chat".to_owned(),
                balance: Balance::Hash,
                hash: Hash::Ketama,
                hash_key: HashKey::Header("X-User".to_owned()),
                hash_balance_factor: 125,
                all_backups: true,
                slow_start: seconds(30),
                queue_timeout: seconds(6),
                max_queue: 10,
                affinity: vec![],
                when_gone: WhenGone::Move,
                wait: seconds(5),
                fails_after_wait: false,
                sid_tag: false,
                endpoints: vec![
                    EndpointConfig { id: Some("one".to_owned()), ..endpoint("app01", 3000) },
                    endpoint("::1", 3000),
                    endpoint("10.0.0.1", 80),
                    EndpointConfig::service("_http._tcp.app"),
                ],
                endpoints_file: Some(PathBuf::from("chat.json")),
                probe: Some(ProbeConfig {
                    http: Some(HttpProbe {
                        method: ProbeMethod::Head,
                        path: "/up".to_owned(),
                        host: Some("a.b:80".to_owned()),
                        version: Version::Http10,
                        expect: vec![200..=299, 304..=304],
                        body: None,
                        drain_on_404: true,
                    }),
                    port: Some(81),
                    interval: seconds(4),
                    timeout: seconds(5),
                    fast_interval: Some(seconds(1)),
                    down_interval: Some(seconds(9)),
                    rise: 6,
                    fall: 7,
                    spread_percent: 0,
                }),
                outlier: OutlierConfig { failures: 0, ejection: seconds(8) },
                replicas: Some(ReplicasConfig {
                    count: 3,
                    base_port: 4000,
                    start_timeout: seconds(11),
                    drain_timeout: seconds(12),
                    kill_after: seconds(13),
                    ..ReplicasConfig::new(vec!["node".to_owned(), "a server.js".to_owned()])
                }),
                connect_timeout: seconds(9),
                response_timeout: Duration::from_millis(500),
                tunnel_timeout: seconds(7200),
                max_held_body_bytes: 0,
                max_body_bytes: 5 * 1024,
                forwarded: Forwarded { x_forwarded: false, x_real_ip: false, rfc7239: true },
                send_proxy: SendProxy::V1,
            },
            UpstreamConfig {
                probe: None,
                ..UpstreamConfig::new("app", vec![endpoint("a", 1), endpoint("b", 2), endpoint("c", 3)])
            },
        ],
    };
    assert_eq!(config, Ok(expected));
}

#[test]
fn a_bind_may_be_a_port_alone() {
    for (bind, expected) in [("8000", all(8000)), (":8000", all(8000)), ("[::]:0", all(0))] {
        let config = load(&SMALL.replace(":8000", bind)).unwrap();
        assert_eq!(config.listeners[0].bind, expected, "{bind}");
    }
}

#[test]
fn no_routes_are_as_good_as_an_empty_list_of_them() {
    assert_eq!(load(&format!("route = []\n{SMALL}")), Ok(small()));
}

#[test]
fn a_probe_is_on_or_off_or_a_table() {
    for (probe, expected) in [
        ("true", Some(ProbeConfig::default())),
        ("\"on\"", Some(ProbeConfig::default())),
        ("false", None),
        ("\"off\"", None),
        ("{ fall = 9 }", Some(ProbeConfig { fall: 9, ..ProbeConfig::default() })),
    ] {
        let config = load(&format!("{SMALL}probe = {probe}\n")).unwrap();
        assert_eq!(config.upstreams[0].probe, expected, "{probe}");
    }
}

#[test]
fn keys_never_show_in_debug_output() {
    let config = Config { key: KeySource::Inline("0:c2VjcmV0".to_owned()), ..Config::default() };
    assert!(!format!("{config:?}").contains("c2VjcmV0"));
}

#[test]
fn a_route_can_show_statistics() {
    let load_page = |stats: &str| {
        let route = format!(
            "{SMALL}[[route]]\nserve = \"stats\"\npath_prefix = \"/haproxy?stats\"\n{stats}\n[[route]]\nupstream = \"app\"\n"
        );
        load(&route).map(|config| config.routes[0].clone())
    };
    let page = |page: StatsPage| RouteConfig {
        when: Condition::All(vec![Condition::All(vec![
            Condition::Path("/haproxy".to_owned()),
            Condition::QueryPrefix("stats".to_owned()),
        ])]),
        ..RouteConfig::new(ActionConfig::Stats(page))
    };
    assert_eq!(load_page(""), Ok(page(StatsPage::default())));
    // What the documentation shows are the defaults.
    let printed = defaults::text();
    let shown = printed.lines().find_map(|line| line.strip_prefix("#stats = ")).unwrap();
    assert_eq!(load_page(&format!("stats = {shown}")), Ok(page(StatsPage::default())));
    let everything = "stats = { realm = \"Haproxy Statistics\", auth = [\"123:123\", \"a:b:c\"], \
        hide_version = true, refresh = \"10s\" }";
    let expected = StatsPage {
        realm: "Haproxy Statistics".to_owned(),
        auth: vec!["123:123".to_owned(), "a:b:c".to_owned()],
        hide_version: true,
        refresh: Some(Duration::from_secs(10)),
    };
    assert!(!format!("{expected:?}").contains("b:c"), "passwords are not shown");
    assert_eq!(load_page(everything), Ok(page(expected)));
    for (stats, error) in [
        ("stats = { uri = \"/haproxy?stats\" }", "unknown key"),
        ("status = 200", "has no meaning with serve = \"stats\""),
        ("stats = { auth = [\"secret\"] }", "write \"user:password\""),
        ("stats = { realm = \"\" }", "is not a realm"),
        ("stats = { colour = 1 }", "unknown key"),
        ("stats = 1", "expected a table"),
    ] {
        let errors = load_page(stats).unwrap_err();
        assert!(errors.contains(error) && !errors.contains("secret"), "{errors}");
    }
    let without = load(&format!("{SMALL}[[route]]\nupstream = \"app\"\nstats = {{}}\n")).unwrap_err();
    assert!(without.contains("only with serve = \"stats\""), "{without}");
}
