//! Modes of affinity: what they mean, and what makes no sense.

use std::time::Duration;

use super::{
    Affinity, ClientAffinity, CookieAffinity, CookieMode, CookieValue, Hash, HeaderAffinity, QueryAffinity, SameSite,
    StickySessionAffinity, WhenGone,
};
use super::{SMALL, load};

/// Reads a file whose upstream has these lines.
fn with(lines: &str) -> Result<super::UpstreamConfig, String> {
    load(&format!("{SMALL}{lines}\n")).map(|config| config.upstreams[0].clone())
}

fn modes(modes: &str) -> Vec<Affinity> {
    with(&format!("affinity = [{modes}]")).unwrap().affinity
}

#[test]
fn every_mode_has_its_keys() {
    assert_eq!(modes("{ by = \"cookie\", name = \"S\" }"), [Affinity::Cookie(CookieAffinity::new("S"))]);
    let cookie = modes(
        "{ by = \"cookie\", name = \"__Host-S\", mode = \"insert\", value = \"plain\", indirect = true, nocache = true, \
         preserve = true, postonly = true, max_idle = \"30m\", max_life = \"8h\", http_only = true, secure = true, \
         same_site = \"none\", max_age = \"1day\" }",
    );
    let expected = CookieAffinity {
        mode: CookieMode::Insert,
        value: CookieValue::Plain,
        indirect: true,
        nocache: true,
        preserve: true,
        postonly: true,
        max_idle: Some(Duration::from_secs(1800)),
        max_life: Some(Duration::from_secs(8 * 3600)),
        http_only: true,
        secure: true,
        same_site: Some(SameSite::None),
        max_age: Some(Duration::from_secs(86_400)),
        ..CookieAffinity::new("__Host-S")
    };
    assert_eq!(cookie, [Affinity::Cookie(expected)]);
    let learned = CookieAffinity {
        mode: CookieMode::Learn,
        max_idle: Some(Duration::from_secs(60)),
        capacity: 5,
        ..CookieAffinity::new("JSESSIONID")
    };
    let sticky = StickySessionAffinity { name: "R".to_owned(), separator: b'!', set_cookie: true };
    let client = ClientAffinity { prefix_v4: 24, prefix_v6: 64, hash: Hash::IpHash, ..ClientAffinity::default() };
    assert_eq!(
        modes(
            "{ by = \"sid\" }, { by = \"cookie\", name = \"JSESSIONID\", mode = \"learn\", max_idle = \"1m\", capacity = 5 }, \
             { by = \"stickysession\", name = \"R\", separator = \"!\", set_cookie = true }, \
             { by = \"header\", name = \"X-User\" }, { by = \"header\", name = \"X-Room\", hash = \"ring\" }, \
             { by = \"query\", name = \"room\", hash = \"ketama\" }, \
             { by = \"client\", prefix_v4 = 24, prefix_v6 = 64, hash = \"ip_hash\" }"
        ),
        [
            Affinity::Sid,
            Affinity::Cookie(learned),
            Affinity::StickySession(sticky),
            Affinity::Header(HeaderAffinity { name: "X-User".to_owned(), hash: Hash::Rendezvous }),
            Affinity::Header(HeaderAffinity { name: "X-Room".to_owned(), hash: Hash::Ring }),
            Affinity::Query(QueryAffinity { name: "room".to_owned(), hash: Hash::Ketama }),
            Affinity::Client(client),
        ]
    );
    assert_eq!(modes("{ by = \"path\", hash = \"modulo\" }"), [Affinity::Path(Hash::Modulo)]);
    for (remember, seconds) in [("true", 10_800), ("\"3h\"", 10_800), ("\"1m\"", 60)] {
        let Affinity::Client(client) = &modes(&format!("{{ by = \"client\", remember = {remember} }}"))[0] else {
            panic!("not by client");
        };
        assert_eq!(client.remember, Some(Duration::from_secs(seconds)));
    }
}

#[test]
fn a_gone_endpoint_is_waited_for_or_not() {
    let cookie = "affinity = [{ by = \"cookie\", name = \"S\" }]";
    let upstream = with(&format!("{cookie}\nwhen_gone = \"wait\"\nwait = \"2s\"\nafter_wait = \"fail\"")).unwrap();
    assert_eq!((upstream.when_gone, upstream.fails_after_wait), (WhenGone::Wait, true));
    assert_eq!(upstream.wait, Duration::from_secs(2));
    for (lines, expected) in [
        (
            "when_gone = \"fail\"".to_owned(),
            "5: upstream.app.when_gone: has no effect: no mode of affinity here remembers an endpoint; sids have \
             Engine.IO's own error",
        ),
        (format!("wait = \"2s\"\n{cookie}"), "5: upstream.app.wait: has no effect without when_gone = \"wait\""),
    ] {
        assert_eq!(with(&lines).unwrap_err().trim(), format!("limpet.toml:{expected}"));
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_reason() {
    let cookie = "{ by = \"cookie\", name = \"S\" }";
    let cases = [
        ("affinity = \"sid\"", "affinity: expected a list of tables, found a string; write [{ by = \"sid\" }]"),
        ("affinity = [{}]", "affinity[1]: lacks its mode; write { by = \"sid\" }"),
        ("affinity = [{ by = \"sid\" }, { by = \"sid\" }]", "affinity[2]: is listed twice"),
        (
            "affinity = [{ by = \"ip\" }]",
            "affinity[1].by: unknown affinity \"ip\"; use one of sid, cookie, stickysession, client, header, query, path",
        ),
        (
            &format!("affinity = [{cookie}, {{ by = \"sid\" }}]"),
            "affinity[2]: must come first: a request with a sid can be served only where its session is",
        ),
        (
            &format!("affinity = [{{ by = \"client\" }}, {cookie}]"),
            "affinity[2]: is never reached; client names an endpoint for every request. Put it last",
        ),
        (
            &format!("affinity = [{cookie}, {{ by = \"stickysession\", name = \"S\" }}]"),
            "affinity[2]: reads and writes the cookie S that another mode has already; rename one",
        ),
        (
            "affinity = [{ by = \"cookie\" }]",
            "affinity[1]: lacks its name; write { by = \"cookie\", name = \"SERVERID\" }",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"a;b\" }]",
            "affinity[1].name: \"a;b\" is not the name of a cookie; write letters, digits, \"-\" and \"_\", such as \"SERVERID\"",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"S\", mode = \"prefix\", postonly = true }]",
            "affinity[1]: postonly has no effect with mode = \"prefix\"; it belongs to insert",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"S\", mode = \"learn\", value = \"plain\" }]",
            "affinity[1]: value has no effect with mode = \"learn\"; it belongs to insert, rewrite, prefix",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"S\", same_site = \"none\" }]",
            "affinity[1]: browsers drop a cookie with same_site = \"none\" that is not secure; add secure = true",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"__Host-S\", secure = true, path = \"/chat\" }]",
            "affinity[1]: browsers drop a __Host- cookie with a domain or another path than \"/\"",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"S\", max_idle = \"2h\", max_life = \"1h\" }]",
            "affinity[1]: max_idle has no effect above max_life; make it shorter or leave it out",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"S\", path = \"/a; Domain=evil.test\" }]",
            "affinity[1].path: \"/a; Domain=evil.test\" is not a path; begin it with \"/\" and leave out blanks and \";\"",
        ),
        (
            "affinity = [{ by = \"cookie\", name = \"S\", domain = \"a.test\\r\\nX: y\" }]",
            "affinity[1].domain: \"a.test\\r\\nX: y\" is not a domain; write a name such as \"example.com\"",
        ),
        (
            "affinity = [{ by = \"client\", indirect = true }]",
            "affinity[1].indirect: unknown key here; it belongs in affinity by cookie",
        ),
        (
            "affinity = [{ by = \"client\", remember = \"3h\", hash = \"ring\" }]",
            "affinity[1]: hash has no effect with remember: a new address is balanced; drop one",
        ),
        (
            "affinity = [{ by = \"client\", prefix_v4 = 33 }]",
            "affinity[1].prefix_v4: \"33\" is not a length of a prefix; write a number of bits from 1 to 32",
        ),
        (
            "affinity = [{ by = \"stickysession\", name = \"S\", separator = \"::\" }]",
            "affinity[1].separator: \"::\" is not a separator; write one character, such as \".\" or \"!\"",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(with(line).unwrap_err().trim(), format!("limpet.toml:5: upstream.app.{expected}"), "{line}");
    }
}

#[test]
fn plain_ids_cannot_end_the_cookie_they_stand_in() {
    for (mode, id, fine) in [
        ("by = \"cookie\", name = \"S\", value = \"plain\"", "a;b", false),
        ("by = \"cookie\", name = \"S\", value = \"plain\"", "a b", false),
        ("by = \"cookie\", name = \"S\", value = \"plain\"", "a|b", false),
        ("by = \"cookie\", name = \"S\", value = \"plain\"", "a~b", true),
        ("by = \"cookie\", name = \"S\", mode = \"prefix\", value = \"plain\"", "a~b", false),
        ("by = \"stickysession\", name = \"S\"", "a,b", false),
        ("by = \"stickysession\", name = \"S\"", "app01", true),
        ("by = \"cookie\", name = \"S\"", "a;b", true),
    ] {
        let text = SMALL.replace("\"app01:3000\"", &format!("{{ address = \"app01:3000\", cookie = \"{id}\" }}"));
        let read = load(&format!("{text}affinity = [{{ {mode} }}]\n"));
        assert_eq!(read.is_ok(), fine, "{mode} {id}: {read:?}");
        if let Err(errors) = read {
            assert!(errors.contains("upstream.app.endpoints[1].cookie") && errors.contains("cannot stand"), "{errors}");
        }
    }
}
