//! Every kind of condition, as a client meets it.

use limpet_testkit::limpet::Limpet;
use limpet_testkit::raw::{RawClient, websocket};

use super::{answering, balancer, upstream};

/// Sends one request, its lines separated by `|`, and returns the body of the answer.
fn ask(limpet: &Limpet, request: &str) -> String {
    let mut client = RawClient::connect(limpet.address).expect("it accepts");
    let request = request.split('|').map(|line| format!("{line}\r\n")).collect::<String>();
    client.send(format!("{request}\r\n").as_bytes()).expect("sent");
    client.response().expect("an answer").text()
}

#[test]
fn the_first_route_whose_conditions_hold_decides() {
    let routes: String = [
        ("exact", "path = \"/exact\""),
        ("prefix", "path_prefix = \"/prefix\""),
        ("stats", "path_prefix = \"/haproxy?stats\""),
        ("host", "host = [\"a.test\", \"*.b.test\"]"),
        ("ws host", "host = \"ws*\""),
        ("both", "all = [{ header = \"A: 1\" }, { header = \"B\" }]"),
        ("upgrade", "header = \"Upgrade: websocket\""),
        ("deletes", "method = \"DELETE\""),
        ("transport", "query = \"transport=websocket\""),
        ("listed", "source = \"203.0.113.0/24\"\nnot = { path_prefix = \"/public\" }"),
        ("rest", ""),
    ]
    .map(|(name, conditions)| format!("[[route]]\n{conditions}\nserve = \"respond\"\nbody = \"{name}\"\n"))
    .concat();
    let limpet = balancer(&format!("trusted = [\"127.0.0.0/8\"]\n{routes}"));
    let from = "GET / HTTP/1.1|Host: h|X-Forwarded-For: ";
    for (request, body) in [
        ("GET /exact HTTP/1.1|Host: h", "exact"),
        ("GET /x/../%65xact?a HTTP/1.1|Host: h", "exact"),
        ("GET /exact/ HTTP/1.1|Host: h", "rest"),
        ("GET /prefixed/x HTTP/1.1|Host: h", "prefix"),
        ("GET /haproxy?stats;csv HTTP/1.1|Host: h", "stats"),
        ("GET /haproxy HTTP/1.1|Host: h", "rest"),
        ("GET / HTTP/1.1|Host: A.test:80", "host"),
        ("GET / HTTP/1.1|Host: c.b.test", "host"),
        ("GET http://a.test/ HTTP/1.1|Host: h", "host"),
        ("GET / HTTP/1.1|Host: b.test", "rest"),
        ("GET / HTTP/1.1|Host: WS3.test", "ws host"),
        ("GET / HTTP/1.1|Host: h|b: |A: 0, 1", "both"),
        ("GET / HTTP/1.1|Host: h|A: 1", "rest"),
        ("GET / HTTP/1.1|Host: h|upgrade: h2c, WebSocket", "upgrade"),
        ("DELETE / HTTP/1.1|Host: h", "deletes"),
        ("GET /?EIO=4&tr%61nsport=websocket HTTP/1.1|Host: h", "transport"),
        ("GET /?transport=polling HTTP/1.1|Host: h", "rest"),
        (&format!("{from}203.0.113.9"), "listed"),
        (&format!("{from}203.0.113.9, 192.0.2.1"), "rest"),
        ("GET /public HTTP/1.1|Host: h|X-Forwarded-For: 203.0.113.9", "rest"),
        ("OPTIONS * HTTP/1.1|Host: h", "rest"),
    ] {
        assert_eq!(ask(&limpet, request), body, "{request}");
    }
}

#[test]
fn who_is_not_trusted_cannot_choose_its_source() {
    let route = "[[route]]\nsource = \"203.0.113.0/24\"\nserve = \"respond\"\nbody = \"inside\"\n";
    let limpet = balancer(&format!("{route}[[route]]\nserve = \"respond\"\nbody = \"outside\"\n"));
    assert_eq!(ask(&limpet, "GET / HTTP/1.1|Host: h|X-Forwarded-For: 203.0.113.9"), "outside");
}

/// Three rules of one name, as HAProxy writes them, are alternatives:
///
/// ```text
/// acl is_websocket path_beg /socket.io
/// acl is_websocket hdr(Upgrade) -i WebSocket
/// acl is_websocket hdr_beg(Host) -i ws
/// use_backend websockets if is_websocket
/// ```
#[test]
fn rules_of_haproxy_with_one_name_are_one_list() {
    let (websockets, web) = (answering("websockets"), answering("web"));
    let limpet = balancer(&format!(
        r#"
        [[route]]
        any = [{{ path_prefix = "/socket.io" }}, {{ header = "Upgrade: WebSocket" }}, {{ header = "Host: ws*" }}]
        upstream = "websockets"
        [[route]]
        upstream = "web"
        {}{}
        "#,
        upstream("websockets", &websockets),
        upstream("web", &web)
    ));
    let upgrade = websocket::handshake("/chat");
    let upgrade = upgrade.trim_end().replace("\r\n", "|");
    for (request, body) in [
        ("GET /socket.io/?EIO=4&transport=polling HTTP/1.1|Host: h", "websockets"),
        ("GET /socket.ioxyz HTTP/1.1|Host: h", "websockets"),
        (upgrade.as_str(), "websockets"),
        ("GET / HTTP/1.1|Host: h|Upgrade: websocket", "websockets"),
        ("GET / HTTP/1.1|Host: Ws1.example.com:8080", "websockets"),
        ("GET / HTTP/1.1|Host: example.com", "web"),
        ("GET / HTTP/1.1|Host: example.com|Upgrade: h2c", "web"),
        ("GET /a/socket.io HTTP/1.1|Host: a.ws", "web"),
    ] {
        assert_eq!(ask(&limpet, request), body, "{request}");
    }
}
