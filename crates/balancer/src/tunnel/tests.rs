//! The engine between real sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use super::*;
use crate::affinity::key::{KeyRing, generate_line};
use crate::affinity::tag::TagKeys;
use crate::config::{Config, EndpointConfig, UpstreamConfig};
use crate::net::deadline;
use crate::net::limit::Connections;
use crate::route::Routes;
use crate::shared::Shared;
use crate::upstream::Upstream;
use crate::upstream::endpoint::{Endpoint, EndpointId, Load};

const GOING_AWAY: u16 = 1001;
const PATIENCE: Duration = Duration::from_secs(20);

mod berths;
mod endings;

/// A client and an endpoint with a tunnel between them, which another thread relays.
struct Ends {
    client: TcpStream,
    endpoint: TcpStream,
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for stream in [&near, &far] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
    }
    (near, far)
}

fn shared() -> Arc<Shared> {
    let ring = KeyRing::parse(&generate_line(1), "test").unwrap();
    let routes = Routes::new(&[], vec![], &[]).unwrap();
    Arc::new(Shared::new(routes, TagKeys::new(&ring), vec![], None, Config::default().shutdown_timeout))
}

fn record(tunnel_timeout: Duration, expect_open: bool) -> Record {
    let config = UpstreamConfig { tunnel_timeout, ..UpstreamConfig::new("test", vec![]) };
    let address: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let endpoint = Arc::new(Endpoint::new(EndpointId::derive(None, address), address, &EndpointConfig::new("test", 1)));
    let connections = Arc::new(Connections::new(Arc::new(AtomicUsize::new(0)), 0, 0, 0));
    Record {
        sid: None,
        expect_open,
        client: address.into(),
        listener: 0,
        user_agent: 0,
        upstream: Arc::new(Upstream::new(config)),
        load: Load::take(&endpoint),
        limits: None,
        permit: connections.enter(address.ip()).unwrap(),
    }
}

/// Runs tunnels between `count` pairs of ends while `test` works on them in a thread of its own.
fn with_tunnels(
    count: usize,
    head: &[u8],
    tunnel_timeout: Duration,
    close_at_once: bool,
    test: impl FnOnce(Vec<Ends>) + Send + 'static,
) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let engine = std::rc::Rc::new(Engine::new(shared()).unwrap());
        let relaying = std::rc::Rc::clone(&engine);
        let relaying = tokio::task::spawn_local(async move { relaying.run().await });
        let ticking = tokio::task::spawn_local(deadline::run());
        let mut ends = Vec::new();
        for _ in 0..count {
            let ((client, client_far), (endpoint, endpoint_far)) = (pair(), pair());
            for socket in [&client_far, &endpoint_far] {
                socket.set_nonblocking(true).unwrap();
            }
            engine.adopt(Tunnel {
                client: client_far.into(),
                upstream: endpoint_far.into(),
                head: head.to_vec(),
                to_client: None,
                to_upstream: None,
                record: record(tunnel_timeout, false),
            });
            ends.push(Ends { client, endpoint });
        }
        let test = tokio::task::spawn_blocking(move || test(ends));
        if close_at_once {
            engine.close_all(GOING_AWAY, Duration::ZERO).await;
        }
        test.await.unwrap();
        tokio::time::timeout(PATIENCE, engine.wait_until_empty()).await.expect("all tunnels end when their ends do");
        relaying.abort();
        ticking.abort();
    });
}

fn read_exact(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn bytes_pass_both_ways_behind_the_head() {
    with_tunnels(1, b"HTTP/1.1 101 \r\n\r\n", HOUR, false, |mut ends| {
        let Ends { client, endpoint } = &mut ends[0];
        assert_eq!(read_exact(client, 17), b"HTTP/1.1 101 \r\n\r\n");
        for round in 0..100_u8 {
            client.write_all(&[0x82, 0x81, 0, 0, 0, 0, round]).unwrap();
            assert_eq!(read_exact(endpoint, 7)[6], round);
            endpoint.write_all(&[0x82, 1, round]).unwrap();
            assert_eq!(read_exact(client, 3)[2], round);
        }
    });
}

#[test]
fn the_end_of_one_direction_leaves_the_other_open() {
    with_tunnels(2, b"", HOUR, false, |mut ends| {
        let Ends { client, endpoint } = &mut ends[0];
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(endpoint), b"last words");
        endpoint.write_all(b"still here").unwrap();
        endpoint.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(client), b"still here");
        let Ends { client, endpoint } = &mut ends[1];
        endpoint.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(client), b"");
        client.write_all(b"bye").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(endpoint), b"bye");
    });
}

#[test]
fn a_slow_reader_stops_the_sender_and_loses_nothing() {
    const MANY: usize = 32 * 1024 * 1024;
    with_tunnels(1, b"", HOUR, false, |mut ends| {
        let Ends { client, endpoint } = ends.remove(0);
        let mut writer = endpoint.try_clone().unwrap();
        // What the kernel and one buffer hold is accepted; then the sender has to wait.
        writer.set_nonblocking(true).unwrap();
        let pattern: Vec<u8> = (0..64 * 1024_u32).map(|n| (n % 251) as u8).collect();
        let (mut sent, mut stuck_since) = (0, Instant::now());
        while sent < MANY && stuck_since.elapsed() < Duration::from_millis(500) {
            let from = sent % pattern.len();
            match writer.write(&pattern[from..]) {
                Ok(count) => {
                    sent += count;
                    stuck_since = Instant::now();
                }
                Err(_) => std::thread::yield_now(),
            }
        }
        assert!(sent < MANY, "the sender was never stopped");
        let reader = std::thread::spawn({
            let pattern = pattern.clone();
            let mut client = client.try_clone().unwrap();
            move || {
                let mut got = 0;
                let mut bytes = vec![0; 64 * 1024];
                loop {
                    match client.read(&mut bytes).unwrap() {
                        0 => return got,
                        count => {
                            for byte in &bytes[..count] {
                                assert_eq!(*byte, pattern[got % pattern.len()]);
                                got += 1;
                            }
                        }
                    }
                }
            }
        });
        writer.set_nonblocking(false).unwrap();
        while sent < MANY {
            let from = sent % pattern.len();
            sent += writer.write(&pattern[from..]).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), sent);
        drop((client, endpoint));
    });
}

#[test]
fn one_flooding_tunnel_does_not_stop_another() {
    with_tunnels(2, b"", HOUR, false, |mut ends| {
        let Ends { client: mut quiet_client, endpoint: mut quiet_endpoint } = ends.pop().unwrap();
        let Ends { client, endpoint: mut flood } = ends.pop().unwrap();
        let mut sink = client.try_clone().unwrap();
        let drain = std::thread::spawn(move || io::copy(&mut sink, &mut io::sink()).unwrap());
        let flooding = std::thread::spawn(move || {
            for _ in 0..256 {
                flood.write_all(&[0; 64 * 1024]).unwrap();
            }
        });
        for round in 0..50_u8 {
            quiet_client.write_all(&[round]).unwrap();
            assert_eq!(read_exact(&mut quiet_endpoint, 1), [round]);
        }
        flooding.join().unwrap();
        drop(client);
        assert_eq!(drain.join().unwrap(), 256 * 64 * 1024);
    });
}

#[test]
fn a_reset_stays_a_reset() {
    with_tunnels(1, b"", HOUR, false, |mut ends| {
        let Ends { client, mut endpoint } = ends.remove(0);
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let error = endpoint.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_silent_tunnel_ends() {
    with_tunnels(3, b"", Duration::from_secs(1), false, |mut ends| {
        for Ends { client, endpoint } in &mut ends {
            assert_eq!(read_to_end(client), b"");
            assert_eq!(read_to_end(endpoint), b"");
        }
    });
}

#[test]
fn goodbye_is_said_between_two_frames() {
    with_tunnels(2, b"", HOUR, true, |mut ends| {
        for Ends { client, endpoint } in &mut ends {
            assert_eq!(read_to_end(client), [0x88, 2, 0x03, 0xe9]);
            let frame = read_to_end(endpoint);
            assert_eq!((frame[0], frame[1], frame.len()), (0x88, 0x82, 8));
            assert_eq!([frame[6] ^ frame[2], frame[7] ^ frame[3]], [0x03, 0xe9]);
        }
    });
}

#[test]
fn many_short_tunnels_use_the_same_places() {
    for _ in 0..20 {
        with_tunnels(8, b"", HOUR, false, |mut ends| {
            for Ends { client, endpoint } in &mut ends {
                client.write_all(b"x").unwrap();
                assert_eq!(read_exact(endpoint, 1), b"x");
            }
        });
    }
}

#[test]
fn messages_codes_and_nonsense_are_told_apart() {
    let (_near, far) = pair();
    let far = mio::net::TcpStream::from_std(far);
    let mut side = side::Side::new(far, limpet_proto::websocket::frame::Sender::Server, berth::Heard::default());
    side.follow(&[0x81, 1, b'a', 0x82, 0, 0x88, 2, 0x03]);
    assert!(!side.is_between_frames());
    side.follow(&[0xe8]);
    let carried = side.carried();
    assert_eq!((carried.messages, carried.close_code, carried.bytes), (2, Some(1000), 9));
    side.follow(b"\xff\xff garbage");
    assert!(!side.is_followed());
    assert_eq!(side.carried().bytes, 9 + 10);
}
