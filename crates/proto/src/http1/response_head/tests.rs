use super::*;

fn parse(head: &str, method: Method) -> Result<(u16, Framing, bool), HeadError> {
    let mut slots = Slots::new();
    ResponseHead::parse(head.as_bytes(), method, &mut slots).map(|head| (head.status, head.framing, head.keeps_alive()))
}

#[test]
fn framing_follows_method_and_status() {
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(parse(length, Method::Get), Ok((200, Framing::Length(5), true)));
    assert_eq!(parse(length, Method::Head), Ok((200, Framing::Empty, true)));
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(parse(chunked, Method::Get), Ok((200, Framing::Chunked, true)));
    assert_eq!(parse("HTTP/1.1 200 OK\r\n\r\n", Method::Get), Ok((200, Framing::UntilClose, false)));
    assert_eq!(
        parse("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", Method::Get),
        Ok((304, Framing::Empty, true))
    );
    assert_eq!(parse("HTTP/1.1 204\r\n\r\n", Method::Post), Ok((204, Framing::Empty, true)));
    assert_eq!(
        parse("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", Method::Get),
        Ok((200, Framing::Length(1), false))
    );
}

#[test]
fn ambiguous_responses_are_refused() {
    for (headers, error) in [
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HeadError::LengthAndEncoding),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", HeadError::ContentLength),
        ("Transfer-Encoding: gzip\r\n", HeadError::TransferEncoding),
        ("A: b\r\n c\r\n", HeadError::Header),
    ] {
        assert_eq!(parse(&format!("HTTP/1.1 200 OK\r\n{headers}\r\n"), Method::Get), Err(error), "{headers:?}");
    }
    assert!(parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Method::Get).is_err());
    assert!(parse("garbage\r\n\r\n", Method::Get).is_err());
}

#[test]
fn the_keep_alive_timeout_is_read() {
    let mut slots = Slots::new();
    let head = "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5\r\n\r\n";
    let head = ResponseHead::parse(head.as_bytes(), Method::Get, &mut slots).unwrap();
    assert_eq!(head.keep_alive_timeout, Some(5));
}
