//! One request and its response for each row: what the endpoint sees, what the client gets, and HAProxy's letters.

use std::time::Duration;

use limpet_proto::http1::Method;
use limpet_proto::http1::request_head::{RequestHead, Slots};
use limpet_proto::http1::response_head::ResponseHead;

use super::answer::{Answer, letters, write};
use super::*;
use crate::affinity::key::{KeyRing, generate_line};
use crate::config::{AdminState, EndpointConfig, UpstreamConfig};

const NOW: u32 = 1_700_000_000;

/// Three endpoints with the plain ids s1, s2 and s2; a fourth without.
fn upstream() -> Upstream {
    let upstream = Upstream::new(UpstreamConfig::new("app", Vec::new()));
    let endpoints = [(1, Some("s1")), (2, Some("s2")), (3, Some("s2")), (4, None)].map(|(port, cookie)| {
        let mut config = EndpointConfig::new("127.0.0.1", port);
        config.cookie = cookie.map(str::to_owned);
        let address = ([127, 0, 0, 1], port).into();
        Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &config))
    });
    upstream.set_endpoints(endpoints.into());
    upstream
}

fn plain(mode: CookieMode) -> CookieAffinity {
    CookieAffinity { mode, value: CookieValue::Plain, ..CookieAffinity::new("S") }
}

struct Seen {
    /// What the endpoint gets.
    cookies: Vec<String>,
    /// What the client gets beside the status line.
    lines: Vec<String>,
    letters: String,
    /// The endpoint that was named, by its place.
    named: Option<usize>,
}

struct Peers {
    upstream: Upstream,
    keys: CookieKeys,
}

impl Peers {
    fn new() -> Self {
        Self { upstream: upstream(), keys: CookieKeys::new(&KeyRing::parse(&generate_line(1), "test").unwrap()) }
    }

    /// Sends a request with these Cookie headers. Whatever the cookies name answers, or else the first endpoint.
    fn exchange(&self, cookie: &Cookie, method: Method, cookies: &[&[u8]], response: &str) -> Seen {
        self.exchange_at(cookie, method, cookies, response, NOW, None)
    }

    fn exchange_at(
        &self,
        cookie: &Cookie,
        method: Method,
        cookies: &[&[u8]],
        response: &str,
        unix: u32,
        by: Option<usize>,
    ) -> Seen {
        let endpoints = self.upstream.endpoints();
        let mut head = b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec();
        for value in cookies {
            head.extend_from_slice(b"Cookie: ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        let mut slots = Slots::new();
        let request = RequestHead::parse(&head, &mut slots).unwrap();
        let around =
            Surroundings { upstream: &self.upstream, endpoints: &endpoints, keys: &self.keys, now: Seconds(0), unix };
        let (said, named, edit) = cookie.read(&request.lines, around);
        let mut seen = Vec::new();
        match edit {
            Some(edit) => edit.write(&request.lines, &mut seen),
            None => request.lines.copy_without(Default::default(), |known| known != Known::Cookie, &mut seen),
        }
        let named = match named {
            Named::Usable(endpoint) => endpoints.iter().position(|other| other.id() == endpoint.id()),
            _ => None,
        };
        let response = format!("HTTP/1.1 200 OK\r\n{response}\r\n").into_bytes();
        let mut slots = Slots::new();
        let parsed = ResponseHead::parse(&response, method, &mut slots).unwrap();
        let mut out = response.clone();
        let answer = Answer {
            endpoint: &endpoints[by.or(named).unwrap_or(0)],
            upstream: &self.upstream,
            head: &parsed,
            method,
            by_sid: false,
            keys: &self.keys,
            now: Seconds(0),
            unix,
        };
        let done = write(cookie, &said, answer, &mut out);
        let out = String::from_utf8_lossy(&out).into_owned();
        let lines = out.strip_suffix("\r\n\r\n").expect("one empty line at the end").split("\r\n").skip(1);
        Seen {
            cookies: String::from_utf8_lossy(&seen).lines().map(|line| line.replacen("Cookie: ", "", 1)).collect(),
            lines: lines.map(str::to_owned).collect(),
            letters: letters(said.found, done).iter().collect(),
            named,
        }
    }
}

/// Cookie headers, what the endpoint sees of them, which endpoint they name, what the client gets, and the letters.
type Row<'a> = (&'a [&'a str], &'a [&'a str], Option<usize>, &'a [&'a str], &'a str);

fn check(peers: &Peers, config: &CookieAffinity, response: &str, rows: &[Row<'_>]) {
    let cookie = Cookie::new(config);
    for (cookies, seen, named, lines, letters) in rows {
        let cookies: Vec<&[u8]> = cookies.iter().map(|cookie| cookie.as_bytes()).collect();
        let found = peers.exchange(&cookie, Method::Get, &cookies, response);
        let found = (found.cookies, found.named, found.lines, found.letters);
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(found, (owned(seen), *named, owned(lines), (*letters).to_owned()), "{cookies:?} {response:?}");
    }
}

const SET_1: &[&str] = &["Set-Cookie: S=s1; path=/"];

#[test]
fn an_inserted_cookie_as_haproxy_has_it() {
    let config = CookieAffinity { indirect: true, ..plain(CookieMode::Insert) };
    check(
        &Peers::new(),
        &config,
        "",
        &[
            (&[], &[], None, SET_1, "NI"),
            (&["S=s1"], &[], Some(0), &[], "VN"),
            (&["a=b; S=s2; c=d"], &["a=b; c=d"], Some(1), &[], "VN"),
            (&["S=; c=d"], &["c=d"], None, SET_1, "II"),
            (&["S=s9"], &[], None, SET_1, "II"),
            (&["S=\"s1\""], &[], None, SET_1, "II"),
            (&["s=s1"], &["s=s1"], None, SET_1, "NI"),
            (&["S"], &["S"], None, SET_1, "NI"),
            (&["S=zz; S=s2"], &[], Some(1), &[], "VN"),
            (&["S=s2; S=zz"], &[], Some(1), &[], "UN"),
            (&["a=b", "S=s1; S=s2; x=y"], &["a=b", "x=y"], Some(0), &[], "UN"),
            (&["S=s1|"], &[], Some(0), &[], "VN"),
            (&["S=s1\u{e9}"], &[], None, SET_1, "II"),
        ],
    );
}

#[test]
fn an_endpoint_that_is_not_usable_is_skipped() {
    let peers = Peers::new();
    let config = plain(CookieMode::Insert);
    peers.upstream.endpoints()[1].set_state(AdminState::Maintenance);
    peers.upstream.endpoints()[0].set_state(AdminState::Drain);
    check(
        &peers,
        &config,
        "",
        &[(&["S=s2"], &["S=s2"], Some(2), &[], "VN"), (&["S=s1"], &["S=s1"], Some(0), &[], "VN")],
    );
    peers.upstream.endpoints()[2].set_state(AdminState::Maintenance);
    check(&peers, &config, "", &[(&["S=s2"], &["S=s2"], None, SET_1, "DI")]);
}

#[test]
fn an_endpoint_without_an_id_makes_the_client_forget() {
    let (peers, cookie) = (Peers::new(), Cookie::new(&plain(CookieMode::Insert)));
    let seen = peers.exchange_at(&cookie, Method::Get, &[b"S=s1"], "", NOW, Some(3));
    assert_eq!(seen.lines, ["Set-Cookie: S=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/"]);
}

#[test]
fn the_endpoints_own_cookie_goes_or_stays() {
    let own = "Set-Cookie: S=zz; path=/x\r\nset-cookie: T=1\r\n";
    let peers = Peers::new();
    let insert = plain(CookieMode::Insert);
    let gone = "set-cookie: T=1";
    check(&peers, &insert, own, &[(&["S=s1"], &["S=s1"], Some(0), &[gone], "VD")]);
    check(&peers, &insert, own, &[(&[], &[], None, &[gone, "Set-Cookie: S=s1; path=/"], "NI")]);
    let preserve = CookieAffinity { preserve: true, ..insert };
    let both: &[&str] = &["Set-Cookie: S=zz; path=/x", gone];
    check(&peers, &preserve, own, &[(&[], &[], None, both, "NP"), (&["S=s2"], &["S=s2"], Some(1), both, "VP")]);
    check(&peers, &preserve, "", &[(&[], &[], None, SET_1, "NI")]);
}

#[test]
fn postonly_inserts_in_answers_to_post() {
    let config = CookieAffinity { postonly: true, ..plain(CookieMode::Insert) };
    let (peers, cookie) = (Peers::new(), Cookie::new(&config));
    assert_eq!(peers.exchange(&cookie, Method::Get, &[], "").letters, "NN");
    assert_eq!(peers.exchange(&cookie, Method::Post, &[], "").letters, "NI");
}

#[test]
fn rewriting_and_prefixing_touch_the_value_alone() {
    let peers = Peers::new();
    let own = "X: y\r\nSet-Cookie: S=zz; path=/; HttpOnly\r\nSet-Cookie: T=S=1\r\n";
    let rewritten: &[&str] = &["X: y", "Set-Cookie: S=s1; path=/; HttpOnly", "Set-Cookie: T=S=1"];
    let prefixed: &[&str] = &["X: y", "Set-Cookie: S=s1~zz; path=/; HttpOnly", "Set-Cookie: T=S=1"];
    let dropped: &[&str] = &["X: y", "Set-Cookie: T=S=1"];
    let rewrite = plain(CookieMode::Rewrite);
    check(
        &peers,
        &rewrite,
        own,
        &[(&[], &[], None, rewritten, "NR"), (&["S=s1"], &["S=s1"], Some(0), rewritten, "VR")],
    );
    check(&peers, &rewrite, "", &[(&[], &[], None, &[], "NN")]);
    let prefix = plain(CookieMode::Prefix);
    check(
        &peers,
        &prefix,
        own,
        &[
            (&[], &[], None, prefixed, "NR"),
            (&["S=s1~zz; x=y"], &["S=zz; x=y"], Some(0), prefixed, "VR"),
            (&["S=s9~zz~a"], &["S=zz~a"], None, prefixed, "IR"),
            (&["S=s1"], &["S=s1"], Some(0), prefixed, "VR"),
            (&["S=s1~"], &["S="], Some(0), prefixed, "VR"),
            (&["S=~zz"], &["S=zz"], None, prefixed, "IR"),
        ],
    );
    let indirect = CookieAffinity { indirect: true, ..prefix };
    check(
        &peers,
        &indirect,
        own,
        &[(&["S=s1~zz"], &["S=zz"], Some(0), dropped, "VD"), (&[], &[], None, prefixed, "NR")],
    );
    check(&peers, &indirect, "Set-Cookie: S=\r\n", &[(&[], &[], None, &["Set-Cookie: S=s1~"], "NR")]);
    check(&peers, &indirect, "Set-Cookie: S\r\n", &[(&[], &[], None, &["Set-Cookie: S"], "NN")]);
}

#[test]
fn attributes_come_in_haproxys_order() {
    let config = CookieAffinity {
        domain: Some("x.y".to_owned()),
        http_only: true,
        secure: true,
        same_site: Some(crate::config::SameSite::Lax),
        max_age: Some(Duration::from_secs(60)),
        path: "/chat".to_owned(),
        ..plain(CookieMode::Insert)
    };
    let line = "Set-Cookie: S=s1; path=/chat; domain=x.y; HttpOnly; Secure; SameSite=Lax; Max-Age=60";
    check(&Peers::new(), &config, "", &[(&[], &[], None, &[line], "NI")]);
}

#[test]
fn nocache_marks_what_could_be_cached() {
    let config = CookieAffinity { nocache: true, ..plain(CookieMode::Insert) };
    let (peers, cookie) = (Peers::new(), Cookie::new(&config));
    for (method, response, private) in [
        (Method::Get, "", false),
        (Method::Get, "Cache-Control: max-age=10\r\n", true),
        (Method::Get, "Expires: 0\r\n", true),
        (Method::Get, "Cache-Control: public\r\n", false),
        (Method::Get, "ETag: x\r\n", true),
        (Method::Post, "Cache-Control: max-age=10\r\n", false),
        (Method::Get, "Cache-Control: max-age=0\r\n", false),
        (Method::Get, "Cache-Control: no-store, max-age=9\r\n", false),
        (Method::Get, "ETag: x\r\nPragma: no-cache\r\n", false),
    ] {
        let seen = peers.exchange(&cookie, method, &[], response);
        assert_eq!(seen.lines.contains(&"Cache-Control: private".to_owned()), private, "{response}");
        let seen = peers.exchange(&cookie, method, &[b"S=s1"], response);
        assert!(!seen.lines.contains(&"Cache-Control: private".to_owned()), "nothing is set");
    }
}

#[test]
fn dates_expire_and_are_refreshed() {
    let config = CookieAffinity {
        max_idle: Some(Duration::from_secs(1800)),
        max_life: Some(Duration::from_secs(8 * 3600)),
        ..plain(CookieMode::Insert)
    };
    let (peers, cookie) = (Peers::new(), Cookie::new(&config));
    let value = |last: u32, first: u32| {
        let mut value = "S=s1".to_owned();
        plain::write_date(last, &mut value);
        plain::write_date(first, &mut value);
        value
    };
    let new = format!("Set-Cookie: {}; path=/", value(NOW, NOW));
    let kept = format!("Set-Cookie: {}; path=/", value(NOW, NOW - 3600));
    for (given, letters, line) in [
        ("S=s1".to_owned(), "VU", Some(&new)),
        (value(NOW, NOW), "VN", None),
        (value(NOW - 60, NOW - 3600), "VU", Some(&kept)),
        (value(NOW - 1804, NOW - 3600), "EI", Some(&new)),
        (value(NOW - 60, NOW - 8 * 3600 - 4), "OI", Some(&new)),
        (value(NOW + 2 * 86_400, NOW + 2 * 86_400), "OI", Some(&new)),
        (value(NOW + 2 * 86_400, NOW), "EI", Some(&new)),
        ("S=s1|!!!!!|!!!!!".to_owned(), "VU", Some(&new)),
    ] {
        let seen = peers.exchange(&cookie, Method::Get, &[given.as_bytes()], "");
        assert_eq!((seen.letters.as_str(), seen.lines.first()), (letters, line), "{given}");
    }
    let undated = Cookie::new(&plain(CookieMode::Insert));
    let seen = peers.exchange(&undated, Method::Get, &[value(NOW, NOW).as_bytes()], "");
    assert_eq!((seen.letters.as_str(), seen.lines), ("VU", vec!["Set-Cookie: S=s1; path=/".to_owned()]), "dates go");
}

fn value_of(seen: &Seen) -> String {
    let line = seen.lines.first().expect("a cookie is set");
    line.strip_prefix("Set-Cookie: ").and_then(|line| line.split(';').next()).expect("a pair").to_owned()
}

#[test]
fn a_signed_cookie_names_its_endpoint_and_nobody_else_can() {
    let config = CookieAffinity {
        max_idle: Some(Duration::from_secs(1800)),
        max_life: Some(Duration::from_secs(8 * 3600)),
        ..CookieAffinity::new("S")
    };
    let (peers, cookie) = (Peers::new(), Cookie::new(&config));
    let at = |cookies: &[&[u8]], unix: u32| peers.exchange_at(&cookie, Method::Get, cookies, "", unix, None);
    let first = peers.exchange_at(&cookie, Method::Get, &[], "", NOW, Some(2));
    assert_eq!(first.letters, "NI");
    let value = value_of(&first);
    for (age, named, letters) in
        [(0, Some(2), "VN"), (4, Some(2), "VU"), (1800, Some(2), "VU"), (1804, None, "EI"), (8 * 3600 + 4, None, "OI")]
    {
        let seen = at(&[value.as_bytes()], NOW + age);
        assert_eq!((seen.named, seen.letters.as_str()), (named, letters), "{age}");
    }
    // Its life does not grow by being used.
    let mut used = value.clone();
    for minutes in (20..480).step_by(20) {
        used = value_of(&at(&[used.as_bytes()], NOW + 60 * minutes));
    }
    assert_eq!(at(&[used.as_bytes()], NOW + 8 * 3600 + 4).letters, "OI");
    // Forged, cut, oversized, of another cookie, no text.
    let mut forged = value.clone().into_bytes();
    forged[10] ^= 1;
    let huge = format!("S={}", "A".repeat(7000));
    let other = peers.exchange_at(&Cookie::new(&CookieAffinity::new("T")), Method::Get, &[], "", NOW, Some(2));
    let stolen = value_of(&other).replace("T=", "S=");
    for wrong in [&forged[..], &value.as_bytes()[..20], huge.as_bytes(), stolen.as_bytes(), b"S=s1", b"S=\xff\xfe"] {
        let seen = at(&[wrong], NOW);
        assert_eq!((seen.named, seen.letters.as_str()), (None, "II"), "{}", wrong.escape_ascii());
    }
    let seen = at(&[b"S=forged; S=", value.as_bytes()], NOW);
    assert_eq!(seen.named, Some(2), "a forged one does not hide the real one");
}

#[test]
fn a_learned_cookie_is_the_applications_own() {
    let config = CookieAffinity { mode: CookieMode::Learn, ..CookieAffinity::new("S") };
    let (peers, cookie) = (Peers::new(), Cookie::new(&config));
    assert_eq!(peers.exchange(&cookie, Method::Get, &[b"S=abc"], "").letters, "IN");
    let own = "Set-Cookie: S=abc; path=/\r\n";
    let seen = peers.exchange_at(&cookie, Method::Get, &[], own, NOW, Some(2));
    assert_eq!((seen.letters.as_str(), seen.lines), ("NP", vec!["Set-Cookie: S=abc; path=/".to_owned()]));
    let seen = peers.exchange(&cookie, Method::Get, &[b"S=abc"], "");
    assert_eq!((seen.named, seen.letters.as_str(), seen.cookies), (Some(2), "VN", vec!["S=abc".to_owned()]));
}
