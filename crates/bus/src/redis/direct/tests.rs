use std::sync::{Arc, Mutex};

use limpet_proto::resp::{Reader, Value as Said};
use redis::cmd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

/// What is no matter of the set-up, as it came: a node and a command.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// Starts nodes that say they are a cluster in which the first one has all slots. `answer` is asked about each command: the
/// number of the node, the command, and how many such commands there were before.
async fn cluster(answer: fn(usize, &str, usize, u16) -> String) -> (Address, Seen) {
    let seen = Seen::default();
    let listeners = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    for (node, listener) in listeners.into_iter().enumerate() {
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let seen = seen.clone();
                tokio::spawn(async move {
                    let mut reader = Reader::default();
                    while stream.read_buf(reader.buffer()).await.is_ok_and(|read| read > 0) {
                        while reader.poll_frame().unwrap() {
                            let frame = reader.frame();
                            let words = frame.values().filter_map(|value| match value {
                                Said::Bulk(word) => Some(String::from_utf8_lossy(word).into_owned()),
                                _ => None,
                            });
                            let command = words.collect::<Vec<_>>().join(" ");
                            let said = match command.split(' ').next() {
                                Some("HELLO") => "%0\r\n".to_owned(),
                                Some("CLIENT") => "+OK\r\n".to_owned(),
                                Some("CLUSTER") => {
                                    let host = "$9\r\n127.0.0.1\r\n";
                                    format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n{host}:{}\r\n", ports[0])
                                }
                                _ => {
                                    let mut seen = seen.lock().unwrap();
                                    let before = seen.iter().filter(|(_, other)| *other == command).count();
                                    seen.push((node, command.clone()));
                                    answer(node, &command, before, ports[1])
                                }
                            };
                            stream.write_all(said.as_bytes()).await.unwrap();
                            if command == "QUIT" {
                                return;
                            }
                        }
                    }
                });
            }
        });
    }
    (Address::parse(&format!("redis+cluster://127.0.0.1:{}", ports[0])).unwrap(), seen)
}

fn commands(seen: &Seen) -> Vec<(usize, String)> {
    seen.lock().unwrap().clone()
}

async fn direct(address: Address) -> Direct {
    Direct::connect(address, "key", Duration::from_secs(5)).await.unwrap()
}

#[tokio::test]
async fn a_key_that_has_moved_is_followed() {
    let (address, seen) = cluster(|node, _, _, other| match node {
        0 => format!("-MOVED 12539 127.0.0.1:{other}\r\n"),
        _ => "+OK\r\n".to_owned(),
    })
    .await;
    let mut direct = direct(address).await;
    for word in ["a", "b"] {
        let answer: String = direct.ask(cmd("SET").arg("key").arg(word)).await.unwrap();
        assert_eq!(answer, "OK");
    }
    // The second one goes there at once.
    let expected = [(0, "SET key a"), (1, "SET key a"), (1, "SET key b")];
    assert_eq!(commands(&seen), expected.map(|(node, command)| (node, command.to_owned())));
}

#[tokio::test]
async fn a_key_that_is_moving_is_asked_for_each_time() {
    let (address, seen) = cluster(|node, command, _, other| match (node, command) {
        (0, _) => format!("-ASK 12539 127.0.0.1:{other}\r\n"),
        _ => "+OK\r\n".to_owned(),
    })
    .await;
    let mut direct = direct(address).await;
    for word in ["a", "b"] {
        direct.ask::<()>(cmd("SET").arg("key").arg(word)).await.unwrap();
    }
    let expected =
        [(0, "SET key a"), (1, "ASKING"), (1, "SET key a"), (0, "SET key b"), (1, "ASKING"), (1, "SET key b")];
    assert_eq!(commands(&seen), expected.map(|(node, command)| (node, command.to_owned())));
}

#[tokio::test]
async fn a_key_that_moves_on_and_on_is_an_error() {
    let (address, seen) = cluster(|_, _, _, other| format!("-MOVED 12539 127.0.0.1:{other}\r\n")).await;
    let error = direct(address).await.ask::<()>(cmd("GET").arg("key")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClusterConnectionNotFound);
    assert_eq!(commands(&seen).len(), MAX_MOVES);
}

#[tokio::test]
async fn a_word_of_redis_keeps_the_connection_and_nonsense_does_not() {
    let (address, seen) = cluster(|_, command, before, _| match (command, before) {
        ("GET key", 0) => "-WRONGTYPE no\r\n".to_owned(),
        ("GET key", 1) => "nonsense\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    })
    .await;
    let mut direct = direct(address).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let answer = direct.ask::<String>(cmd("GET").arg("key")).await;
        codes.push(answer.map_err(|error| error.code().map(str::to_owned)));
    }
    assert_eq!(codes, [Err(Some("WRONGTYPE".to_owned())), Err(None), Ok("OK".to_owned())]);
    assert_eq!(commands(&seen).len(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_command() {
    let (address, _) = cluster(|_, _, _, _| "+OK\r\n".to_owned()).await;
    let mut direct = direct(address).await;
    direct.ask::<()>(&cmd("QUIT")).await.unwrap();
    let is_closed = async {
        while !direct.wire.as_mut().unwrap().is_closed() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), is_closed).await.unwrap();
    direct.ask::<()>(cmd("GET").arg("key")).await.unwrap();
}

#[tokio::test]
async fn a_refused_command_does_not_shift_the_answers_of_the_next() {
    let (address, _) = cluster(|_, command, _, _| match command {
        "GET b" => "-ERR no\r\n".to_owned(),
        command => format!("+{command}\r\n"),
    })
    .await;
    let mut direct = direct(address).await;
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        resp::write_command(&[b"GET", name.as_bytes()], &mut all);
    }
    assert!(direct.exchange(&all, 3, |_, _| Ok(())).await.is_err());
    let answer: String = direct.ask(cmd("GET").arg("d")).await.unwrap();
    assert_eq!(answer, "GET d");
}
