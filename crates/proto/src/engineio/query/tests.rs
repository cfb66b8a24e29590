use proptest::prelude::*;

use super::*;

fn read(query: &str) -> Result<Option<Query<'_>>, QueryError> {
    parse(query.as_bytes())
}

fn found(query: &str) -> Query<'_> {
    read(query).unwrap().unwrap()
}

#[test]
fn reads_a_handshake() {
    let query = found("EIO=4&transport=polling&t=OvZ1k3a");
    let expected = Query {
        version: Version::V4,
        transport: Transport::Polling,
        sid: None,
        sid_range: None,
        jsonp: false,
        base64: false,
    };
    assert_eq!(query, expected);
}

#[test]
fn reads_a_request_of_a_session() {
    let text = "EIO=4&transport=websocket&sid=lv_VI97HAXpY6yYWAAAC";
    let query = found(text);
    assert_eq!((query.version, query.transport), (Version::V4, Transport::Websocket));
    assert_eq!(query.sid, Some("lv_VI97HAXpY6yYWAAAC"));
    assert_eq!(&text[query.sid_range.unwrap()], "lv_VI97HAXpY6yYWAAAC");
}

#[test]
fn finds_the_sid_wherever_it_stands() {
    for text in ["sid=abc&transport=polling", "a=1&s%69d=abc&&transport=polling&b", "transport=polling&%73%69%64=abc"] {
        let query = found(text);
        assert_eq!(query.sid, Some("abc"), "{text}");
        assert_eq!(&text[query.sid_range.unwrap()], "abc");
    }
}

#[test]
fn versions_other_than_four_are_three() {
    for (text, version) in [
        ("EIO=4&transport=polling", Version::V4),
        ("E%49O=%34&transport=polling", Version::V4),
        ("EIO=3&transport=polling", Version::V3),
        ("EIO=&transport=polling", Version::V3),
        ("EIO&transport=polling", Version::V3),
        ("EIO=04&transport=polling", Version::V3),
        ("transport=polling&sid=abc", Version::V3),
    ] {
        assert_eq!(found(text).version, version, "{text}");
    }
}

#[test]
fn names_transports() {
    for (text, transport) in [
        ("EIO=4&transport=polling", Transport::Polling),
        ("EIO=4&transport=websocket", Transport::Websocket),
        ("EIO=4&tr%61nsport=p%6fll%69ng", Transport::Polling),
        ("EIO=4&transport=%77%65%62%73%6f%63%6b%65%74", Transport::Websocket),
        ("EIO=4&transport=webtransport", Transport::Other),
        ("EIO=4&transport=Polling", Transport::Other),
        ("EIO=4&transport=", Transport::Other),
        ("EIO=4&transport", Transport::Other),
        ("EIO=4&transport=%", Transport::Other),
    ] {
        assert_eq!(found(text).transport, transport, "{text}");
    }
}

#[test]
fn knows_limits_of_the_client() {
    let query = found("EIO=3&transport=polling&j=0&b64=1");
    assert!(query.jsonp && query.base64);
    let query = found("EIO=3&transport=polling&b64=&jj=1");
    assert!(!query.jsonp && !query.base64);
}

#[test]
fn other_requests_are_not_judged() {
    for text in [
        "",
        "&&&",
        "=",
        "sid=abc",
        "sid=abc&sid=def",
        "EIO=4",
        "transport=polling",
        "transport=polling&transport=websocket",
        "transport=polling&sid=",
        "transport=polling&sid",
        "transport=polling&SID=abc&eio=4",
        "transport=polling&sid%=abc",
        "transport=polling&s%6gd=abc",
        "transport=polling&s%2569d=abc",
        "transport=polling&sid+=abc",
    ] {
        assert_eq!(read(text), Ok(None), "{text}");
    }
}

#[test]
fn an_empty_sid_is_none() {
    for text in ["EIO=4&transport=polling&sid=", "EIO=4&sid&transport=polling"] {
        let query = found(text);
        assert_eq!((query.sid, query.sid_range), (None, None));
    }
}

#[test]
fn repeated_parameters_are_refused() {
    for (text, error) in [
        ("EIO=4&transport=polling&sid=abc&sid=def", QueryError::RepeatedSid),
        ("EIO=4&transport=polling&sid=abc&sid=abc", QueryError::RepeatedSid),
        ("EIO=4&transport=polling&sid=abc&s%69d=def", QueryError::RepeatedSid),
        ("transport=polling&sid=&sid=def", QueryError::RepeatedSid),
        ("transport=polling&sid=abc&sid", QueryError::RepeatedSid),
        ("EIO=4&transport=polling&transport=polling", QueryError::RepeatedTransport),
        ("EIO=4&EI%4f=3&transport=polling", QueryError::RepeatedVersion),
    ] {
        assert_eq!(read(text), Err(error), "{text}");
    }
}

#[test]
fn a_strange_sid_is_passed_raw() {
    assert_eq!(found("transport=polling&sid=a%2fb c=d").sid, Some("a%2fb c=d"));
    assert_eq!(parse(b"transport=polling&sid=a\xff"), Err(QueryError::SidNotText));
    assert_eq!(parse(b"transport=x\xff&EIO=\xff").unwrap().unwrap().transport, Transport::Other);
}

#[test]
fn debug_hides_the_sid() {
    let shown = format!("{:?}", found("transport=polling&sid=lv_VI97HAXpY6yYWAAAC"));
    assert!(shown.contains("lv_VI9…") && !shown.contains("lv_VI97"), "{shown}");
}

proptest! {
    #[test]
    fn noise_never_panics(query in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse(&query);
    }

    #[test]
    fn the_range_is_the_sid(parts in prop::collection::vec("(sid|s%69d|EIO|transport|j|x)?(=|%|&)?[a-z0-9%&=]{0,6}", 0..6)) {
        let text = format!("transport=polling&EIO=4&{}", parts.join("&"));
        if let Ok(Some(query)) = read(&text) {
            prop_assert_eq!(query.sid_range.map(|range| &text[range]), query.sid);
            prop_assert_ne!(query.sid, Some(""));
        }
    }

    #[test]
    fn any_order_reads_the_same(order in Just(["EIO=4", "transport=polling", "sid=a-b_c", "j=1", "t=x"]).prop_shuffle()) {
        let text = order.join("&");
        let query = found(&text);
        prop_assert_eq!((query.version, query.transport, query.sid, query.jsonp), (Version::V4, Transport::Polling, Some("a-b_c"), true));
    }
}
