//! An endpoint whose answers the test changes while it runs, and which keeps what it is sent: PROXY headers too.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::raw::response::find;
use crate::wait;

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What came before an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The PROXY header that the connection began with, as it came; empty if there was none.
    pub proxy: Vec<u8>,
    /// The head of the request with its empty line.
    pub head: String,
}

/// A running endpoint. It ends with its value.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<Vec<(String, Vec<u8>)>>,
    asked: Mutex<Vec<Asked>>,
    streams: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl Scripted {
    /// Starts an endpoint on a free port of 127.0.0.1 that answers 404 to everything.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for (connection, stream) in (0..).zip(listener.incoming().flatten()) {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                lock(&accepting.streams).extend(stream.try_clone());
                let shared = Arc::clone(&accepting);
                // A connection that fails is over; what it said before is kept.
                thread::spawn(move || serve(stream, connection, &shared));
            }
        });
        Ok(Self { address, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers targets that begin with `prefix` by these bytes, and closes when there are none. The longest
    /// prefix counts.
    pub fn answer(&self, prefix: &str, bytes: impl Into<Vec<u8>>) {
        let mut answers = lock(&self.shared.answers);
        answers.retain(|(known, _)| known != prefix);
        answers.push((prefix.to_owned(), bytes.into()));
        answers.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    }

    /// As [`Self::answer`], with a status line, a length and a body.
    pub fn answer_status(&self, prefix: &str, status: &str, body: &str) {
        self.answer(prefix, format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    }

    /// All requests so far whose target begins with `prefix`.
    #[must_use]
    pub fn asked(&self, prefix: &str) -> Vec<Asked> {
        let begins = |asked: &&Asked| target(&asked.head).starts_with(prefix);
        lock(&self.shared.asked).iter().filter(begins).cloned().collect()
    }

    /// Waits until there are `count` requests for `prefix`, and returns them.
    ///
    /// # Panics
    /// After [`wait::PATIENCE`].
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, prefix: &str, count: usize) -> Vec<Asked> {
        wait::until_some(&format!("{count} requests for {prefix}"), || {
            let asked = self.asked(prefix);
            (asked.len() >= count).then_some(asked)
        })
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts. An error means that it is gone.
        drop(TcpStream::connect(self.address));
        for stream in lock(&self.shared.streams).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let mut proxy = None;
    loop {
        if proxy.is_none() {
            proxy = proxy_bytes(&bytes).map(|length| bytes.drain(..length).collect::<Vec<u8>>());
        }
        let Some((end, proxy)) = find(&bytes, b"\r\n\r\n").zip(proxy.as_ref()) else {
            match stream.read(&mut chunk)? {
                0 => return Ok(()),
                count => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
            continue;
        };
        let head: Vec<u8> = bytes.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let answers = lock(&shared.answers).clone();
        let known = answers.iter().find(|(prefix, _)| target(&head).starts_with(prefix.as_str()));
        let answer = known.map_or(&b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..], |(_, answer)| answer);
        lock(&shared.asked).push(Asked { connection, proxy: proxy.clone(), head: head.clone() });
        if answer.is_empty() {
            return stream.shutdown(Shutdown::Both);
        }
        stream.write_all(answer)?;
        if head.to_ascii_lowercase().contains("connection: close") {
            return stream.shutdown(Shutdown::Both);
        }
    }
}

/// How many bytes of the beginning of a connection are a PROXY header; `None` while that cannot be told.
fn proxy_bytes(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'\r' => match bytes.get(14..16) {
            Some(length) if bytes.starts_with(V2_SIGNATURE) => {
                let length = 16 + length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                (bytes.len() >= length).then_some(length)
            }
            _ => None,
        },
        b'P' if b"PROXY ".starts_with(bytes.get(..6.min(bytes.len()))?) => find(bytes, b"\r\n").map(|end| end + 2),
        _ => Some(0),
    }
}

fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
