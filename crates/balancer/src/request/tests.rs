//! The request path with a client that is no HTTP/1 connection: the seam that multiplexed protocols join at.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use limpet_proto::http1::request_head::{RequestHead, Slots};
use tokio::sync::mpsc;

use super::prepare::Prepared;
use super::*;
use crate::affinity::LastTag;
use crate::affinity::key::{KeyRing, generate_line};
use crate::affinity::tag::TagKeys;
use crate::client::Origin;
use crate::client::frames::Frames;
use crate::config::{Config, DnsConfig, EndpointConfig, ListenerConfig, RouteConfig, UpstreamConfig};
use crate::discovery::Discovery;
use crate::net::deadline;
use crate::net::limit::Connections;
use crate::route::Routes;
use crate::shared::{Listener, Shared};
use crate::tunnel::Engine;
use crate::upstream::Upstream;

/// Serves one request whose body comes in these frames; returns what the endpoint saw and what the client got.
fn serve_frames(head: &str, frames: &[&[u8]], response: &'static [u8]) -> (String, Vec<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
        while !seen.ends_with(b"0\r\n\r\n") && !seen.ends_with(b"!") {
            let count = socket.read(&mut bytes).unwrap();
            assert!(count > 0, "the request ended early: {}", seen.escape_ascii());
            seen.extend_from_slice(&bytes[..count]);
        }
        socket.write_all(response).unwrap();
        String::from_utf8(seen).unwrap()
    });
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    let got = runtime.block_on(async {
        let _ticking = tokio::task::spawn_local(deadline::run());
        let endpoints = vec![EndpointConfig::new("127.0.0.1", port)];
        let upstream = Arc::new(Upstream::new(UpstreamConfig::new("test", endpoints)));
        Discovery::new(&[Arc::clone(&upstream)], DnsConfig::default()).unwrap().begin().await;
        let routes = Routes::new(&[RouteConfig::to("test")], vec![upstream], &[]).unwrap();
        let ring = KeyRing::parse(&generate_line(1), "test").unwrap();
        let config = ListenerConfig::new("test", "127.0.0.1:0".parse().unwrap());
        let listener = Listener::new(config, Connections::new(Arc::default(), 0, 0, 0), false);
        let timeout = Config::default().shutdown_timeout;
        let shared = Arc::new(Shared::new(routes, TagKeys::new(&ring), vec![listener], None, timeout));
        let engine = Engine::new(Arc::clone(&shared)).unwrap();
        let worker = Worker { shared, pool: RefCell::default(), engine };

        let mut slots = Slots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        let (body_in, body) = mpsc::channel(1);
        let (response, mut response_out) = mpsc::channel(1);
        let origin = Origin::new("192.0.2.1:5".parse().unwrap(), false, 0);
        let prepared = prepare::prepare(&worker.shared, &origin, &mut LastTag::default(), &head).unwrap();
        let Prepared::Forward(request) = prepared else { panic!("it has an upstream") };
        let mut client = Client::Frames(Frames::new(origin, body, response, Duration::from_secs(10)));
        client.begin_request(head.framing);
        let frames: Vec<Vec<u8>> = frames.iter().map(|frame| frame.to_vec()).collect();
        let sending = tokio::task::spawn_local(async move {
            for frame in frames {
                body_in.send(frame).await.unwrap();
            }
        });
        let receiving = tokio::task::spawn_local(async move {
            let mut got = Vec::new();
            while let Some(message) = response_out.recv().await {
                got.push(message);
            }
            got
        });
        serve(&worker, &mut client, request, &mut Exchange::default()).await;
        drop(client);
        sending.await.unwrap();
        receiving.await.unwrap()
    });
    (endpoint.join().unwrap(), got)
}

#[test]
fn a_stream_of_frames_passes() {
    let head = "POST /upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let (seen, got) = serve_frames(head, &[b"one", b"", b"three"], response);
    let (seen_head, seen_body) = seen.split_once("\r\n\r\n").unwrap();
    assert!(seen_head.starts_with("POST /upload HTTP/1.1\r\n") && seen_head.contains("X-Forwarded-For: 192.0.2.1"));
    assert_eq!(seen_body, "3\r\none\r\n5\r\nthree\r\n0\r\n\r\n");
    let got = String::from_utf8(got.concat()).unwrap();
    let (got_head, got_body) = got.split_once("\r\n\r\n").unwrap();
    assert!(got_head.starts_with("HTTP/1.1 200 OK") && !got_head.contains("Transfer-Encoding"));
    assert_eq!(got_body, "abcde", "the frames of the client's protocol carry the payload alone");
}

#[test]
fn a_known_length_passes_too() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\n";
    let (seen, got) = serve_frames(head, &[b"hel", b"lo!"], b"HTTP/1.1 204 No Content\r\n\r\n");
    assert!(seen.ends_with("\r\n\r\nhello!"));
    assert!(got.concat().starts_with(b"HTTP/1.1 204 No Content\r\n"));
}
