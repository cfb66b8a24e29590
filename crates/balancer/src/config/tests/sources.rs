//! Which of file, environment and flags counts.

use std::path::PathBuf;

use super::super::{
    AcceptProxy, AccessLog, Config, Draft, KeySource, Origin, ProbeConfig, SendProxy, Setting, UpstreamConfig,
};
use super::{SMALL, all, endpoint, everything_to, nothing};

/// Makes a lookup of these variables.
fn variables(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
    move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
}

fn with(text: Option<&str>, pairs: &'static [(&'static str, &'static str)]) -> Result<Config, String> {
    let lookup = variables(pairs);
    let mut draft = text.map_or_else(Draft::default, |text| Draft::from_file("limpet.toml", text, &lookup));
    draft.apply_environment(&lookup);
    draft.check(&lookup).map_err(|errors| errors.to_string())
}

#[test]
fn the_environment_alone_can_configure() {
    let config = with(
        None,
        &[
            ("LIMPET_LISTEN", "8000"),
            ("LIMPET_UPSTREAM", "app01:3000, app02:3000 app03:3000"),
            ("LIMPET_KEY", "0:secret"),
            ("LIMPET_ACCEPT_PROXY", "any"),
            ("LIMPET_PROXY_FROM", "10.0.0.0/8, ::1"),
            ("LIMPET_WORKERS", "2"),
            ("LIMPET_MAX_CONNECTIONS", "500"),
            ("LIMPET_ACCESS_LOG", "text"),
        ],
    )
    .unwrap();
    assert_eq!(config.listeners[0].bind, all(8000));
    assert_eq!((config.listeners[0].accept_proxy, config.listeners[0].proxy_from.len()), (AcceptProxy::Any, 2));
    let endpoints = ["app01", "app02", "app03"].map(|host| endpoint(host, 3000)).to_vec();
    assert_eq!(config.upstreams, [UpstreamConfig::new("default", endpoints)]);
    assert_eq!(config.routes, [everything_to("default")]);
    assert_eq!(config.key, KeySource::Inline("0:secret".to_owned()));
    assert_eq!((config.workers, config.max_connections, config.access_log), (2, 500, AccessLog::Text));
}

#[test]
fn the_environment_counts_before_the_file() {
    let file = format!("workers = 1\naccess_log = \"json\"\n[cluster]\nkey_file = \"/file\"\n{SMALL}");
    let config = with(
        Some(&file),
        &[
            ("LIMPET_LISTEN", "127.0.0.1:9000"),
            ("LIMPET_UPSTREAM", "other:1"),
            ("LIMPET_KEY_FILE", "/environment"),
            ("LIMPET_WORKERS", "2"),
            // Empty counts as unset.
            ("LIMPET_ACCESS_LOG", ""),
            ("LIMPET_KEY", " "),
        ],
    )
    .unwrap();
    assert_eq!(config.listeners[0].bind, "127.0.0.1:9000".parse().unwrap());
    assert_eq!(config.listeners[0].name, "web");
    assert_eq!(config.upstreams, [UpstreamConfig::new("app", vec![endpoint("other", 1)])]);
    assert_eq!(config.key, KeySource::File(PathBuf::from("/environment")));
    assert_eq!((config.workers, config.access_log), (2, AccessLog::Json));
}

#[test]
fn flags_count_before_the_environment() {
    let lookup = variables(&[("LIMPET_WORKERS", "2"), ("LIMPET_KEY", "0:secret"), ("LIMPET_LISTEN", ":1")]);
    let mut draft = Draft::from_file("limpet.toml", SMALL, &lookup);
    draft.apply_environment(&lookup);
    for (flag, setting, value) in [
        ("--accept-proxy", Setting::AcceptProxy, "v1"),
        ("--proxy-from", Setting::ProxyFrom, "10.0.0.0/8"),
        ("--send-proxy", Setting::SendProxy, "v2"),
        ("--workers", Setting::Workers, "3"),
        ("--key-file", Setting::KeyFile, "/flag"),
        ("--trusted", Setting::Trusted, "10.0.0.0/8,fd00::/8"),
        ("--no-sid-tag", Setting::SidTag, "false"),
        ("--no-probe", Setting::Probe, "off"),
        ("--balance", Setting::Balance, "round_robin"),
        ("--response-timeout", Setting::ResponseTimeout, "5s"),
        ("--tunnel-timeout", Setting::TunnelTimeout, "6s"),
    ] {
        draft.set(Origin::Flag(flag), setting, value);
    }
    let config = draft.check(&lookup).unwrap();
    assert_eq!(config.workers, 3);
    assert_eq!(config.key, KeySource::File(PathBuf::from("/flag")));
    assert_eq!(config.listeners[0].bind, all(1));
    assert_eq!(config.listeners[0].trusted.len(), 2);
    assert_eq!((config.listeners[0].accept_proxy, config.listeners[0].proxy_from.len()), (AcceptProxy::V1, 1));
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.send_proxy, SendProxy::V2);
    assert_eq!((upstream.sid_tag, &upstream.probe, upstream.balance.as_str()), (false, &None, "round_robin"));
    assert_eq!((upstream.response_timeout.as_secs(), upstream.tunnel_timeout.as_secs()), (5, 6));
}

#[test]
fn a_probe_that_is_switched_on_keeps_its_values() {
    let file = format!("{SMALL}probe = {{ fall = 9 }}\n");
    let mut draft = Draft::from_file("limpet.toml", &file, &nothing);
    draft.set(Origin::Flag("--probe"), Setting::Probe, "on");
    let config = draft.check(&nothing).unwrap();
    assert_eq!(config.upstreams[0].probe, Some(ProbeConfig { fall: 9, ..ProbeConfig::default() }));
}

#[test]
fn variables_in_the_file_are_replaced() {
    let file = SMALL.replace("8000", "${PORT:-8000}").replace("[\"app01:3000\"]", "\"${APPS}\"");
    let file = format!("workers = \"${{WORKERS:-4}}\"\n{file}");
    let config = with(Some(&file), &[("APPS", "app01:3000 app02:3000"), ("PORT", "9000")]).unwrap();
    assert_eq!(config.listeners[0].bind, all(9000));
    assert_eq!(config.upstreams[0].endpoints, [endpoint("app01", 3000), endpoint("app02", 3000)]);
    assert_eq!(config.workers, 4);
}

#[test]
fn a_variable_gives_what_the_file_lacks() {
    let file = "[listener.web]\nidle_timeout = \"5s\"\n[upstream.app]\nbalance = \"round_robin\"\n";
    let config = with(Some(file), &[("LIMPET_LISTEN", ":1"), ("LIMPET_UPSTREAM", "a:1")]).unwrap();
    assert_eq!(config.listeners[0].idle_timeout.as_secs(), 5);
    assert_eq!(config.upstreams[0].endpoints, [endpoint("a", 1)]);
}

#[test]
fn errors_of_variables_and_flags_name_them() {
    let errors =
        with(None, &[("LIMPET_WORKERS", "many"), ("LIMPET_LISTEN", "::1"), ("LIMPET_UPSTREAM", "a:1 b a:1 c:0")]);
    let expected = [
        "LIMPET_LISTEN: \"::1\" is not an address to bind; write \"IP:PORT\" or \":PORT\", such as \"0.0.0.0:8000\"",
        "LIMPET_UPSTREAM: \"b\" is not the address of an endpoint; add a port, as in \"app01:3000\"",
        "LIMPET_UPSTREAM: \"c:0\" is not the address of an endpoint; the port is a number from 1 to 65535",
        "LIMPET_WORKERS: \"many\" is not a whole number from 0",
        "LIMPET_UPSTREAM: the address a:1 is that of endpoint 1 already",
    ];
    assert_eq!(errors, Err(expected.join("\n")));

    let mut draft = Draft::from_file("limpet.toml", SMALL, &nothing);
    draft.set(Origin::Flag("--trusted"), Setting::Trusted, "10.0.0");
    let errors = draft.check(&nothing).unwrap_err().to_string();
    assert!(errors.starts_with("--trusted: \"10.0.0\" is not a network; write CIDR"), "{errors}");

    let two = format!("{SMALL}[listener.b]\nbind = \":1\"\n");
    let expected = "LIMPET_LISTEN: cannot tell which of the 2 listeners of the file is meant; set it there";
    assert_eq!(with(Some(&two), &[("LIMPET_LISTEN", ":2")]), Err(expected.to_owned()));

    let expected = "LIMPET_KEY: is set together with LIMPET_KEY_FILE; set one of them";
    let both = with(Some(SMALL), &[("LIMPET_KEY", "0:x"), ("LIMPET_KEY_FILE", "/x")]);
    assert_eq!(both, Err(expected.to_owned()));
}

#[test]
fn nothing_given_asks_for_both_addresses() {
    let expected = "no listener; give an address to listen on, such as \":8000\", or set LIMPET_LISTEN\n\
        no endpoints; give at least one, such as \"app01:3000\", or set LIMPET_UPSTREAM";
    assert_eq!(with(None, &[]), Err(expected.to_owned()));
}

#[test]
fn state_is_kept_where_the_system_says() {
    for (pairs, expected) in [
        (&[("STATE_DIRECTORY", "/a:/b"), ("XDG_STATE_HOME", "/x"), ("HOME", "/h")][..], "/a"),
        (&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")], "/x/limpet"),
        (&[("XDG_STATE_HOME", "relative"), ("HOME", "/h")], "/h/.local/state/limpet"),
        (&[("HOME", "/")], "/var/lib/limpet"),
        (&[], "/var/lib/limpet"),
        (&[("LIMPET_STATE_DIRECTORY", "/s"), ("STATE_DIRECTORY", "/a")], "/s"),
    ] {
        let config = with(Some(SMALL), pairs).unwrap();
        assert_eq!(config.key, KeySource::StateDirectory(PathBuf::from(expected)), "{pairs:?}");
    }
}
