//! Files, environments and flags, with what they mean or which errors they give.

mod errors;
mod sources;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{
    AccessLog, ActionConfig, Balance, Condition, Config, Draft, EndpointConfig, Forwarded, HostRule, KeySource,
    ListenerConfig, OutlierConfig, ProbeConfig, RouteConfig, StatsPage, UpstreamConfig, defaults, remarks,
};

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
    expected.routes = vec![RouteConfig {
        listener: Some("web".to_owned()),
        when: Condition::All(vec![
            Condition::Host(HostRule::new("*.example.com")),
            Condition::PathPrefix("/socket.io".to_owned()),
            Condition::Source(vec!["10.0.0.0/8".parse().unwrap()]),
        ]),
        ..everything_to("app")
    }];
    assert_eq!(load(&text.join("\n")), Ok(expected));
    assert!(keys > 30, "only {keys} keys were switched on");
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
        [listener.web]
        bind = "127.0.0.1:8000"
        trusted = ["10.0.0.0/8", "::1"]
        max_connections = 7
        max_connections_per_client = 8
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
        [[route]]
        upstream = "app"
        [upstream.chat]
        balance = "round_robin"
        affinity = []
        sid_tag = false
        endpoints = [{ address = "app01:3000", id = "one" }, "[::1]:3000", "10.0.0.1:80"]
        probe = { interval = "4s", timeout = "5s", rise = 6, fall = 7 }
        outlier = { failures = 0, ejection = "8s" }
        connect_timeout = "9s"
        response_timeout = "500ms"
        tunnel_timeout = "2h"
        max_held_body = 0
        forwarded = ["rfc7239"]
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
        listeners: vec![
            ListenerConfig {
                name: "web".to_owned(),
                bind: "127.0.0.1:8000".parse().unwrap(),
                trusted: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
                max_connections: 7,
                max_connections_per_client: 8,
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
                ..everything_to("chat")
            },
            everything_to("app"),
        ],
        upstreams: vec![
            UpstreamConfig {
                name: "chat".to_owned(),
                balance: Balance::RoundRobin,
                affinity: vec![],
                sid_tag: false,
                endpoints: vec![
                    EndpointConfig { id: Some("one".to_owned()), ..endpoint("app01", 3000) },
                    endpoint("::1", 3000),
                    endpoint("10.0.0.1", 80),
                ],
                probe: Some(ProbeConfig { interval: seconds(4), timeout: seconds(5), rise: 6, fall: 7 }),
                outlier: OutlierConfig { failures: 0, ejection: seconds(8) },
                connect_timeout: seconds(9),
                response_timeout: Duration::from_millis(500),
                tunnel_timeout: seconds(7200),
                max_held_body_bytes: 0,
                forwarded: Forwarded { x_forwarded: false, x_real_ip: false, rfc7239: true },
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
fn remarks_name_what_looks_like_a_mistake() {
    let text = format!(
        "{SMALL}[upstream.old]\nendpoints = [\"old:1\"]\n[[route]]\nupstream = \"app\"\n[listener.open]\nbind = \":1\"\ntrusted = [\"0.0.0.0/0\"]\n"
    );
    let expected =
        ["no route leads to upstream old", "listener open trusts everybody, so any client can claim any address"];
    assert_eq!(remarks(&load(&text).unwrap()), expected);
    assert!(remarks(&small()).is_empty());
}

#[test]
fn a_route_can_show_statistics() {
    let load_page = |stats: &str| {
        let route = format!("{SMALL}[[route]]\nserve = \"stats\"\n{stats}\n[[route]]\nupstream = \"app\"\n");
        load(&route).map(|config| config.routes[0].clone())
    };
    let page = |page: StatsPage| RouteConfig {
        listener: None,
        when: Condition::All(vec![Condition::Uri(page.uri.clone())]),
        action: ActionConfig::Stats(page),
    };
    assert_eq!(load_page(""), Ok(page(StatsPage::default())));
    // What the documentation shows are the defaults.
    let printed = defaults::text();
    let shown = printed.lines().find_map(|line| line.strip_prefix("# stats = ")).unwrap();
    assert_eq!(load_page(&format!("stats = {shown}")), Ok(page(StatsPage::default())));
    let everything = "stats = { uri = \"/s?\", realm = \"Haproxy Statistics\", auth = [\"123:123\", \"a:b:c\"], \
        hide_version = true, refresh = \"10s\" }";
    let expected = StatsPage {
        uri: "/s?".to_owned(),
        realm: "Haproxy Statistics".to_owned(),
        auth: vec!["123:123".to_owned(), "a:b:c".to_owned()],
        hide_version: true,
        refresh: Some(Duration::from_secs(10)),
    };
    assert!(!format!("{expected:?}").contains("b:c"), "passwords are not shown");
    assert_eq!(load_page(everything), Ok(page(expected)));
    for (stats, error) in [
        ("stats = { uri = \"haproxy\" }", "is not the place of a page"),
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

#[test]
fn statistics_for_everybody_are_remarked() {
    let text =
        format!("{SMALL}[admin]\nbind = \":9000\"\n[[route]]\nserve = \"stats\"\n[[route]]\nupstream = \"app\"\n");
    let remarks = remarks(&load(&text).unwrap()).join("\n");
    assert!(remarks.contains("everybody can see the statistics at /haproxy?stats"), "{remarks}");
    assert!(remarks.contains("whoever reaches the admin address [::]:9000"), "{remarks}");
}
