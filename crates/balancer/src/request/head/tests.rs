use limpet_proto::http1::Method;
use limpet_proto::http1::request_head::Slots;

use super::*;

fn request(head: &str, trusted: bool, forwarded: Forwarded) -> String {
    let mut slots = Slots::new();
    let request = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
    let origin = Origin::new("192.0.2.7:1234".parse().unwrap(), trusted, 0);
    let rewrite = Rewrite { sid: None, default_host: "chat", drop_accept_encoding: false, forwarded, cookies: None };
    let mut out = Vec::new();
    write_request(&request, &origin, &rewrite, &mut out);
    String::from_utf8(out).unwrap()
}

const NONE: Forwarded = Forwarded { x_forwarded: false, x_real_ip: false, rfc7239: false };
const X: Forwarded = Forwarded { x_forwarded: true, x_real_ip: true, rfc7239: false };
const RFC: Forwarded = Forwarded { x_forwarded: false, x_real_ip: false, rfc7239: true };

#[test]
fn hop_by_hop_headers_end_here() {
    let head = "GET /a?b HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
                Proxy-Connection: x\r\nTE: trailers\r\nTrailer: x\r\nUpgrade: h2c\r\nAccept: */*\r\n\r\n";
    assert_eq!(request(head, false, NONE), "GET /a?b HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n");
}

#[test]
fn an_upgrade_is_asked_for_anew() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
    assert_eq!(
        request(head, false, NONE),
        "GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    );
}

#[test]
fn what_an_untrusted_client_says_about_itself_is_replaced() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
                X-Real-IP: 10.0.0.1\r\nForwarded: for=x\r\n\r\n";
    assert_eq!(
        request(head, false, X),
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\n\
         X-Forwarded-Host: h\r\nX-Real-IP: 192.0.2.7\r\n\r\n"
    );
    assert_eq!(
        request(head, false, RFC),
        "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=192.0.2.7;host=\"h\";proto=http\r\n\r\n"
    );
}

#[test]
fn what_a_trusted_peer_says_is_kept_and_extended() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
                X-Real-IP: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n\r\n";
    assert_eq!(
        request(head, true, X),
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 10.0.0.1\r\n\
         X-Forwarded-For: 10.0.0.1, 10.0.0.2, 192.0.2.7\r\nX-Forwarded-Host: h\r\n\r\n"
    );
    let head = "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=10.0.0.1\r\n\r\n";
    assert_eq!(
        request(head, true, RFC),
        "GET / HTTP/1.1\r\nHost: h\r\nForwarded: for=10.0.0.1, for=192.0.2.7;host=\"h\";proto=http\r\n\r\n"
    );
}

#[test]
fn the_sid_is_replaced_in_place() {
    let head = "GET /s/?EIO=4&sid=abcTAG&t=1 HTTP/1.0\r\n\r\n";
    let mut slots = Slots::new();
    let request = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
    let origin = Origin::new("[2001:db8::1]:1".parse().unwrap(), false, 0);
    let rewrite = Rewrite {
        sid: Some((10..16, "abc")),
        default_host: "chat",
        drop_accept_encoding: false,
        forwarded: RFC,
        cookies: None,
    };
    let mut out = Vec::new();
    write_request(&request, &origin, &rewrite, &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "GET /s/?EIO=4&sid=abc&t=1 HTTP/1.1\r\nHost: chat\r\nForwarded: for=\"[2001:db8::1]\";proto=http\r\n\r\n"
    );
}

#[test]
fn responses_get_the_framing_of_the_clients_side() {
    let write = |head: &str, framed: Framed| {
        let mut slots = Slots::new();
        let response = ResponseHead::parse(head.as_bytes(), Method::Get, &mut slots).unwrap();
        let mut out = Vec::new();
        write_response(&response, framed, &mut out);
        String::from_utf8(out).unwrap()
    };
    let framed = Framed { framing: Framing::Length(25), rewritten: true, version: Version::Http11, keep_alive: true };
    let head = "HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nConnection: close\r\nA: b\r\n\r\n";
    assert_eq!(write(head, framed), "HTTP/1.1 200 Fine\r\nA: b\r\nContent-Length: 25\r\n\r\n");
    let framed = Framed { framing: Framing::Chunked, rewritten: false, version: Version::Http11, keep_alive: false };
    let head = "HTTP/1.0 200 OK\r\nA: b\r\n\r\n";
    assert_eq!(
        write(head, framed),
        "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn the_length_is_written_in_one_spelling() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: \t 5 \t\r\nA: b\r\n\r\n";
    assert_eq!(request(head, false, NONE), "POST / HTTP/1.1\r\nHost: h\r\nA: b\r\nContent-Length: 5\r\n\r\n");
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(request(head, false, NONE), "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
}
