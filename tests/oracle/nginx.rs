//! nginx's hashes of the client's address, its body limit and its PROXY protocol.

use limpet_testkit::oracle::{Body, Comparison, Habits, Looks, Random, Recorders, Script, Step};

use crate::example::Example;
use crate::program::{Program, wait_until_used};
use crate::{ENOUGH, With, assert_all_equal, seed};

fn compare(example: &Example, looks: Looks, with: With) -> (Comparison, [Program; 2]) {
    let programs = example.start(with);
    let named = programs.each_ref().map(|program| (program.name(), program.address()));
    (Comparison::new(example.name, seed(), None, looks, named), programs)
}

/// Compares a hash of the client's address while endpoints go down and up.
fn hashed(example: &Example, recorders: &Recorders, looks: Looks, with: With) -> Comparison {
    let (mut comparison, _programs) = compare(example, looks, with);
    let habits = Habits {
        clients: 90,
        targets: &["/socket.io/?EIO=4&transport=polling", "/socket.io/", "/", "/chat?room=1"],
        upgrades: 20,
        ..Habits::default()
    };
    let mut script = Script::new(habits, seed());
    comparison.run(script.steps(450)).unwrap();
    for recorder in recorders.all() {
        // A client whose requests go there while it is up.
        let clients = script.clients().to_vec();
        let asks = clients.into_iter().map(|client| Step::get(client, "/"));
        let name = Some(recorder.name().to_owned());
        let ask = asks.into_iter().find(|ask| comparison.ask(0, ask).unwrap().endpoint == name).unwrap();
        recorder.down().unwrap();
        comparison.run(script.steps(150)).unwrap();
        recorder.up().unwrap();
        wait_until_used(&comparison, recorder.name(), &ask);
        comparison.run(script.steps(150)).unwrap();
    }
    comparison
}

fn ip_hash(with: With) -> Comparison {
    let recorders = Recorders::start(&["app01", "app02", "app03"]).unwrap();
    let example = Example::read("nginx-ip-hash", "nginx.conf").endpoints(&recorders, ":3000");
    let example = example.original("listen 3000", "listen {listen}").limpet("0.0.0.0:3000", "127.0.0.1:0");
    hashed(&quick(example, &recorders), &recorders, Looks::ALL, with)
}

fn hash_remote_addr(with: With) -> Comparison {
    let recorders = Recorders::start(&["webapp-1", "webapp-2"]).unwrap();
    let example = Example::read("nginx-hash-remote-addr", "nginx.conf").endpoints(&recorders, "");
    let example = example.original("listen 80", "listen {listen}").limpet("0.0.0.0:80", "127.0.0.1:0");
    hashed(&quick(example, &recorders), &recorders, Looks::ALL, with)
}

/// Lets both programs try a failed endpoint again after a second, instead of ten.
fn quick(mut example: Example, recorders: &Recorders) -> Example {
    for recorder in recorders.all() {
        let server = format!("server {}", recorder.address);
        example = example.original(&server, &format!("{server} fail_timeout=1s"));
    }
    example.limpet("ejection = \"10s\"", "ejection = \"1s\"")
}

fn two_locations(with: With) -> Comparison {
    let recorders = Recorders::start(&["loadbalancer"]).unwrap();
    let address = recorders.named("loadbalancer").address.to_string();
    let example = Example::read("nginx-two-locations", "nginx.conf")
        .original("loadbalancer:80", &address)
        .original("listen 80", "listen {listen}")
        .limpet("loadbalancer:80", &address)
        .limpet("0.0.0.0:80", "127.0.0.1:0");
    let (mut comparison, _programs) = compare(&example, Looks::ALL, with);
    let habits = Habits {
        // What is in neither location is for nginx's own files, of which it has none here.
        targets: &["/sticky", "/sticky/mypage", "/stickyfoo", "/socket.io/?EIO=4", "/other", "/Sticky", "/sock"],
        upgrades: 20,
        ..Habits::default()
    };
    let mut script = Script::new(habits, seed());
    comparison.run(script.steps(995)).unwrap();
    let megabyte = 1024 * 1024;
    let bodies = [
        Body::Announced(20 * 1024 * 1024 + 1),
        Body::Announced(u64::from(u32::MAX)),
        Body::Length(20 * megabyte),
        Body::Chunked(20 * megabyte),
        Body::Chunked(20 * megabyte + 1),
        Body::Chunked(21 * megabyte),
    ];
    for body in bodies {
        let step = Step { method: "POST", body, ..Step::get(script.clients()[0], "/socket.io/") };
        comparison.run([step]).unwrap();
    }
    comparison
}

fn proxy_protocol(with: With) -> Comparison {
    let recorders = Recorders::start(&["SOCKET_SERVER"]).unwrap();
    let address = recorders.named("SOCKET_SERVER").address.to_string();
    let example = Example::read("nginx-proxy-protocol", "nginx.conf")
        .original("server SOCKET_SERVER", &format!("server {address}"))
        .original("listen 80", "listen {listen}")
        .limpet("SOCKET_SERVER:80", &address)
        .limpet("0.0.0.0:80", "127.0.0.1:0");
    let (mut comparison, _programs) = compare(&example, Looks::ALL, with);
    let habits = Habits { targets: &["/socket.io/?EIO=4", "/", "/chat"], upgrades: 20, ..Habits::default() };
    let mut script = Script::new(habits, seed());
    let mut random = Random::new(seed());
    for _ in 0..ENOUGH {
        let step = Step { preface: header(&mut random), ..script.step() };
        comparison.run([step]).unwrap();
    }
    // nginx only closes, Limpet says why: neither serves.
    for preface in REFUSED {
        let step = Step { preface: preface.to_vec(), ..script.step() };
        for program in 0..2 {
            let outcome = comparison.ask(program, &step).unwrap();
            assert!([0, 400].contains(&outcome.status), "{step}: {outcome}");
            assert_ne!(outcome.endpoint.as_deref(), Some("SOCKET_SERVER"), "{step}");
        }
    }
    comparison
}

/// Beginnings of a connection that are no PROXY header: none, one that ends early, an unknown version.
const REFUSED: [&[u8]; 3] = [
    b"",
    b"PROXY TCP4 198.51.100.1\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\xcb\0\x71\x01\xc0\0\x02\x01\x9c\x40\0\x50",
];

/// The beginning of a connection: a PROXY header of either version.
fn header(random: &mut Random) -> Vec<u8> {
    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    let mut octet = || u8::try_from(random.below(256)).unwrap_or(0);
    let (a, b) = (octet(), octet());
    match random.below(100) {
        0..45 => format!("PROXY TCP4 198.51.{a}.{b} 192.0.2.1 40{} 80\r\n", 100 + u32::from(a)).into_bytes(),
        45..60 => format!("PROXY TCP6 2001:db8::{a:x}:{b:x} 2001:db8::1 40000 80\r\n").into_bytes(),
        60..65 => b"PROXY UNKNOWN\r\n".to_vec(),
        65..90 => [SIGNATURE, &[0x21, 0x11, 0, 12, 203, 0, a, b, 192, 0, 2, 1, 0x9c, 0x40, 0, 80]].concat(),
        // LOCAL: the balancer in front speaks for itself.
        _ => [SIGNATURE, &[0x20, 0x00, 0, 0]].concat(),
    }
}

#[test]
fn hashes_of_the_address_as_nginx() {
    type Hashed = fn(With) -> Comparison;
    let cases: [(Hashed, With); 4] = [
        (ip_hash, With::Limpet),
        (ip_hash, With::Itself),
        (hash_remote_addr, With::Limpet),
        (hash_remote_addr, With::Itself),
    ];
    assert_all_equal(ENOUGH, &cases, |(compare, with)| compare(with));
}

#[test]
fn locations_and_body_limit_as_nginx() {
    two_locations(With::Limpet).assert_equal(ENOUGH);
}

#[test]
fn proxy_protocol_as_nginx() {
    proxy_protocol(With::Limpet).assert_equal(ENOUGH);
}

#[test]
fn nginx_answers_as_itself() {
    for compare in [two_locations, proxy_protocol] {
        compare(With::Itself).assert_equal(ENOUGH);
    }
}
