use super::*;

fn parse(head: &str) -> Result<(Framing, bool, bool), HeadError> {
    let mut slots = Slots::new();
    RequestHead::parse(head.as_bytes(), &mut slots).map(|head| (head.framing, head.upgrade, head.keeps_alive()))
}

fn with(headers: &str) -> Result<(Framing, bool, bool), HeadError> {
    parse(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{headers}\r\n"))
}

#[test]
fn framing_is_decided_strictly() {
    assert_eq!(with("").unwrap().0, Framing::Empty);
    assert_eq!(with("Content-Length: 5\r\n").unwrap().0, Framing::Length(5));
    assert_eq!(with("Content-Length: 0\r\n").unwrap().0, Framing::Empty);
    assert_eq!(with("transfer-encoding: Chunked\r\n").unwrap().0, Framing::Chunked);
    for (headers, error) in [
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HeadError::LengthAndEncoding),
        ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", HeadError::LengthAndEncoding),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", HeadError::ContentLength),
        ("Content-Length: 5, 5\r\n", HeadError::ContentLength),
        ("Content-Length: +5\r\n", HeadError::ContentLength),
        ("Content-Length:\r\n", HeadError::ContentLength),
        ("Transfer-Encoding: chunked, chunked\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: gzip, chunked\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: identity\r\n", HeadError::TransferEncoding),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadError::TransferEncoding),
        ("Connection: content-length\r\nContent-Length: 5\r\n", HeadError::ConnectionOption),
        ("Host: h\r\n", HeadError::Host),
        ("A : b\r\n", HeadError::Header),
        ("A: b\r\n c\r\n", HeadError::Header),
        ("A: b\0\r\n", HeadError::Header),
    ] {
        assert_eq!(with(headers), Err(error), "{headers:?}");
    }
    assert_eq!(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(HeadError::EncodingInOldVersion));
}

#[test]
fn first_lines_are_checked() {
    for (line, error) in [
        ("GET / HTTP/1.2", HeadError::Version),
        ("GET / HTTP/2.0", HeadError::Version),
        ("GET / http/1.1", HeadError::FirstLine),
        ("GET  / HTTP/1.1", HeadError::FirstLine),
        ("GET /a b HTTP/1.1", HeadError::FirstLine),
        ("GET /", HeadError::FirstLine),
        ("G(T / HTTP/1.1", HeadError::Method),
        ("CONNECT a:1 HTTP/1.1", HeadError::Connect),
        ("GET a HTTP/1.1", HeadError::Target),
        ("GET * HTTP/1.1", HeadError::Target),
        ("GET /a#b HTTP/1.1", HeadError::Target),
        ("GET /\u{e9} HTTP/1.1", HeadError::Target),
        ("GET ftp://a/ HTTP/1.1", HeadError::Target),
        ("GET http:///a HTTP/1.1", HeadError::Target),
        ("GET http://u@h/a HTTP/1.1", HeadError::Target),
    ] {
        assert_eq!(parse(&format!("{line}\r\nHost: h\r\n\r\n")), Err(error), "{line}");
    }
    assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err(HeadError::Host));
    assert_eq!(parse("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), Err(HeadError::Host));
    assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok());
    assert!(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").is_ok());
    assert!(parse("GET / HTTP/1.1\r\nHost:\r\n\r\n").is_ok());
    let long = "a".repeat(MAX_TARGET_BYTES);
    assert_eq!(parse(&format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n")), Err(HeadError::TargetTooLong));
    let many = "A: b\r\n".repeat(MAX_HEADERS);
    assert_eq!(parse(&format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n")), Err(HeadError::TooManyHeaders));
}

#[test]
fn absolute_form_gives_authority_and_path() {
    let mut slots = Slots::new();
    let head =
        RequestHead::parse(b"GET HTTP://example.com:81/a?b HTTP/1.1\r\nHost: other\r\n\r\n", &mut slots).unwrap();
    assert_eq!(head.authority(), b"example.com:81");
    assert_eq!((head.target.path(), head.target.query()), ("/a", Some("b")));
}

#[test]
fn upgrades_and_keep_alive() {
    let upgrade = |headers: &str| parse(&format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"));
    assert!(upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n").unwrap().1);
    assert!(!upgrade("Connection: upgrade\r\n").unwrap().1, "nginx sends this on every request");
    assert!(!upgrade("Upgrade: websocket\r\n").unwrap().1);
    assert!(!upgrade("Connection: upgrade\r\nUpgrade: h2c\r\n").unwrap().1);
    let body = "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n";
    assert_eq!(upgrade(body), Err(HeadError::UpgradeWithBody));
    assert!(upgrade("").unwrap().2);
    assert!(!upgrade("Connection: close\r\n").unwrap().2);
    assert!(!parse("GET / HTTP/1.0\r\n\r\n").unwrap().2);
    assert!(parse("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap().2);
}

#[test]
fn lines_are_copied_as_they_are_without_the_dropped_ones() {
    let copy = |head: &str| {
        let mut slots = Slots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        let mut out = Vec::new();
        let drop = |kind| matches!(kind, Known::Connection | Known::KeepAlive);
        head.lines.copy_without(head.connection, drop, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        copy("GET / HTTP/1.1\r\nHOST:h\r\nConnection: X-A, close\r\nx-a: 1\r\nB:  2 \r\nKeep-Alive: 3\r\nC: 4\r\n\r\n"),
        "HOST:h\r\nB:  2 \r\nC: 4\r\n"
    );
    assert_eq!(copy("GET / HTTP/1.1\r\nConnection: close\r\nHost: h\r\n\r\n"), "Host: h\r\n");
    assert_eq!(copy("GET / HTTP/1.0\r\n\r\n"), "");
}

#[test]
fn hosts_and_ports_are_checked() {
    for good in ["", "a", "a.b:80", "a:", "[::1]", "[::1]:8000", "127.0.0.1:1"] {
        assert!(is_authority(good.as_bytes()), "{good}");
    }
    for bad in ["a:8x", "a:b:c", "[::1", "[::1]x", "a/b", "a b", "u@h", "a:123456", "::1"] {
        assert!(!is_authority(bad.as_bytes()), "{bad}");
    }
}
