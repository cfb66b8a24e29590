//! Rate limits of routes, and what a client may have in progress, seen from outside.

use std::thread;
use std::time::{Duration, Instant};

use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::misbehave::{Conduct, Endpoint};
use limpet_testkit::peers;
use limpet_testkit::raw::websocket::RawWebSocket;
use limpet_testkit::raw::{RawClient, RawError, Response};
use limpet_testkit::wait::{self, PATIENCE};

fn balancer(endpoint: std::net::SocketAddr, listener: &str, routes: &str) -> Limpet {
    let configuration = format!(
        "workers = 2\n[listener.web]\nbind = \"127.0.0.1:0\"\ntrusted = [\"127.0.0.0/8\"]\n{listener}\n\
         {routes}\n[upstream.app]\nprobe = \"off\"\nendpoints = [\"{endpoint}\"]\n"
    );
    Launch::run(env!("CARGO_BIN_EXE_limpet"), configuration).start().expect("it starts")
}

fn endpoint() -> Endpoint {
    Endpoint::start(Conduct::Answers("hello")).expect("a port")
}

fn ask(client: &mut RawClient, target: &str, header: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{header}\r\n").as_bytes()).expect("sent");
    client.response().expect("an answer")
}

fn connect(limpet: &Limpet) -> RawClient {
    RawClient::connect(limpet.address).expect("it accepts")
}

/// Asks until the answer has this status, each time on a new connection.
fn ask_until(limpet: &Limpet, target: &str, status: u16) {
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = connect(limpet).get(target).expect("an answer").status;
        if answer == status {
            return;
        }
        assert!(Instant::now() < end, "{target} still gets {answer}");
        thread::yield_now();
    }
}

#[test]
fn who_asks_too_often_is_refused_and_told_when_to_come_back() {
    let endpoint = endpoint();
    let limpet = balancer(
        endpoint.address(),
        "",
        "[[route]]\nupstream = \"app\"\npath_prefix = \"/slow\"\nrate_limit = { rate = \"2/m\" }\n\
         [[route]]\nupstream = \"app\"\npath_prefix = \"/kind\"\n\
         rate_limit = { rate = \"1/m\", burst = 1, nodelay = true, status = 429 }\n\
         [[route]]\nupstream = \"app\"\n",
    );
    let mut client = connect(&limpet);
    assert_eq!(ask(&mut client, "/slow", "").status, 200);
    let refused = ask(&mut client, "/slow", "");
    let retry_after = |response: &Response| response.header("retry-after").and_then(|text| text.parse::<u32>().ok());
    assert_eq!((refused.status, refused.text().as_str()), (503, "too many requests for the rate limit\n"));
    assert!((29..=31).contains(&retry_after(&refused).expect("seconds")), "{refused:?}");
    // The connection lives on, and other routes are not limited by this one.
    assert_eq!(ask(&mut client, "/kind", "").status, 200);
    assert_eq!(ask(&mut client, "/kind", "").status, 200);
    let refused = ask(&mut client, "/kind", "");
    // 16 thousandths of a request per second: 62.5 s.
    assert_eq!(refused.status, 429);
    assert!((60..=63).contains(&retry_after(&refused).expect("seconds")), "{refused:?}");
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "/", "").status, 200);
    }
    // Another client has its own bucket: the address behind trusted proxies counts.
    assert_eq!(ask(&mut client, "/slow", "X-Forwarded-For: 192.0.2.7\r\n").status, 200);
    assert_eq!(ask(&mut client, "/slow", "X-Forwarded-For: 192.0.2.7\r\n").status, 503);
    let of_slow = endpoint.requests().iter().filter(|request| request.target == "/slow").count();
    assert_eq!(of_slow, 2, "refused requests reach no endpoint");
}

#[test]
fn keys_of_a_header_are_counted_apart() {
    let endpoint = endpoint();
    let limit = "rate_limit = { per = \"header:X-Api-Key\", rate = \"1/m\" }";
    let limpet = balancer(endpoint.address(), "", &format!("[[route]]\nupstream = \"app\"\n{limit}\n"));
    let mut client = connect(&limpet);
    for (header, status) in [
        ("X-Api-Key: a\r\n", 200),
        ("x-api-key: a\r\n", 503),
        ("X-Api-Key: b\r\n", 200),
        ("", 200),
        ("", 200),
        ("X-Api-Key:\r\n", 200),
        ("X-Api-Key:\r\n", 200),
    ] {
        assert_eq!(ask(&mut client, "/", header).status, status, "{header:?}");
    }
}

#[test]
fn the_route_as_a_whole_has_a_limit_on_all_workers_together() {
    let endpoint = endpoint();
    let limit = "rate_limit = { per = \"route\", rate = \"1/m\", burst = 9, nodelay = true }";
    let limpet = balancer(endpoint.address(), "", &format!("[[route]]\nupstream = \"app\"\n{limit}\n"));
    // New connections are spread over the workers.
    let statuses: Vec<u16> = (0..20).map(|_| connect(&limpet).get("/").expect("an answer").status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 10, "{statuses:?}");
}

#[test]
fn requests_wait_so_that_the_rate_holds_and_hold_up_nobody_else() {
    let endpoint = endpoint();
    let limpet = balancer(
        endpoint.address(),
        "",
        "[[route]]\nupstream = \"app\"\npath_prefix = \"/slow\"\nrate_limit = { rate = \"30/m\", burst = 1 }\n\
         [[route]]\nupstream = \"app\"\npath_prefix = \"/rare\"\nrate_limit = { rate = \"1/m\", burst = 1 }\n\
         [[route]]\nupstream = \"app\"\n",
    );
    let began = Instant::now();
    let mut first = connect(&limpet);
    assert_eq!(ask(&mut first, "/slow", "").status, 200);
    assert_eq!(ask(&mut connect(&limpet), "/slow", "").status, 200);
    assert!(began.elapsed() >= Duration::from_millis(1900), "it did not wait");
    // Others do not wait for one that has a minute to wait.
    assert_eq!(ask(&mut first, "/rare", "").status, 200);
    let mut waiting = connect(&limpet);
    waiting.send(b"GET /rare HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    for _ in 0..20 {
        assert_eq!(ask(&mut first, "/", "").status, 200);
    }
    waiting.set_limit(Duration::from_millis(50));
    assert!(matches!(waiting.response(), Err(RawError::TimedOut(_))), "it did not wait");
}

#[test]
fn a_client_that_leaves_does_not_wait() {
    let endpoint = endpoint();
    let limpet = balancer(
        endpoint.address(),
        "max_requests_per_client = 1\n",
        "[[route]]\nupstream = \"app\"\nrate_limit = { per = \"header:X-Key\", rate = \"1/m\", burst = 1 }\n",
    );
    assert_eq!(ask(&mut connect(&limpet), "/", "X-Key: a\r\n").status, 200);
    let mut waiting = connect(&limpet);
    waiting.send(b"GET /waiting HTTP/1.1\r\nHost: h\r\nX-Key: a\r\n\r\n").expect("sent");
    // It holds its client's only place while it waits, and gives it back when its client leaves.
    ask_until(&limpet, "/", 429);
    drop(waiting);
    ask_until(&limpet, "/", 200);
    assert!(endpoint.requests().iter().all(|request| request.target != "/waiting"));
}

#[test]
fn a_client_has_only_so_many_requests_in_progress() {
    let endpoint = Endpoint::start(Conduct::AcceptsAndStalls).expect("a port");
    let limpet = balancer(endpoint.address(), "max_requests_per_client = 2", "");
    let stall = |target: &str, header: &str| {
        let mut client = connect(&limpet);
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n{header}\r\n").as_bytes()).expect("sent");
        let target = target.to_owned();
        endpoint.wait_for("request", |event| match event {
            limpet_testkit::misbehave::Event::Request(request) if request.target == target => Some(()),
            _ => None,
        });
        client
    };
    let first = stall("/1", "");
    let _second = stall("/2", "");
    let refused = connect(&limpet).get("/3").expect("an answer");
    assert_eq!((refused.status, refused.text().as_str()), (429, "too many requests of this address in progress\n"));
    // Another client is not concerned.
    let _other = stall("/other", "X-Forwarded-For: 192.0.2.7\r\n");
    // An abort gives the place back.
    drop(first);
    let mut third = connect(&limpet);
    third.set_limit(Duration::from_millis(50));
    let again = |third: &mut RawClient| third.send(b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    again(&mut third);
    wait::until("the place is given back", || {
        match third.response() {
            Ok(refused) => {
                assert_eq!(refused.status, 429);
                again(&mut third);
            }
            // It waits for the endpoint, or its refusal is late.
            Err(RawError::TimedOut(_)) => {}
            Err(error) => panic!("{error}"),
        }
        endpoint.requests().iter().any(|request| request.target == "/3")
    });
}

#[test]
fn places_come_back_however_a_request_ends() {
    // One place, taken and given back by every kind of end.
    for conduct in [
        Conduct::Answers("hello"),
        Conduct::Refuses,
        Conduct::ClosesBeforeResponse,
        Conduct::ResetsBeforeResponse,
        Conduct::ClosesMidBody,
        Conduct::ResetsMidBody,
        Conduct::SendsGarbage,
        Conduct::SendsTwoLengths,
        Conduct::SwitchesUnasked,
        Conduct::AnswersEarly,
    ] {
        let endpoint = Endpoint::start(conduct).expect("a port");
        let limpet = balancer(endpoint.address(), "max_requests_per_client = 1\nmax_upgrades_per_client = 1", "");
        for _ in 0..3 {
            // The place is given back just after the last byte of the answer.
            let end = Instant::now() + PATIENCE;
            loop {
                let mut client = connect(&limpet);
                client.send(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
                if !client.read_to_end().expect("the end").starts_with(b"HTTP/1.1 429") {
                    break;
                }
                assert!(Instant::now() < end, "{conduct:?} keeps a place");
            }
            let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
            loop {
                let mut client = connect(&limpet);
                client.send(upgrade.as_bytes()).expect("sent");
                client.set_limit(Duration::from_millis(200));
                let answer = match client.read_to_end() {
                    Ok(answer) | Err(RawError::TimedOut(answer)) => answer,
                    Err(error) => panic!("{error}"),
                };
                if !answer.starts_with(b"HTTP/1.1 429") {
                    break;
                }
                assert!(Instant::now() < end, "{conduct:?} keeps a place of a tunnel");
            }
        }
    }
}

#[test]
fn a_client_has_only_so_many_tunnels() {
    let server = peers::ws_server("a", &[]).expect("it starts");
    let limpet = balancer(server.address, "max_upgrades_per_client = 2\nmax_requests_per_client = 1", "");
    let open = || RawWebSocket::connect(limpet.address, "/").expect("an answer");
    let open_until = || {
        let end = Instant::now() + PATIENCE;
        loop {
            match open() {
                Ok(socket) => return socket,
                Err(refused) => assert_eq!(refused.status, 429),
            }
            assert!(Instant::now() < end, "no place was given back");
        }
    };
    // A tunnel is no request in progress any more.
    let first = open_until();
    let second = open_until();
    let refused = open().expect_err("a third tunnel");
    assert_eq!((refused.status, refused.text().as_str()), (429, "too many tunnels of this address\n"));
    // One that breaks off gives its place back, and so does one whose endpoint dies.
    drop(first);
    let _third = open_until();
    assert_eq!(open().expect_err("a fourth tunnel").status, 429);
    drop(server);
    drop(second);
    let end = Instant::now() + PATIENCE;
    while open().expect_err("no server").status == 429 {
        assert!(Instant::now() < end, "no place was given back");
    }
}
