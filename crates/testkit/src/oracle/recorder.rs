//! Endpoints that answer with their name and with what they saw, and that go down and up on the same port.
//!
//! The socket stays bound while an endpoint is down, so that connections are refused; and each has an address of its own
//! within loopback, where nobody else asks for a port.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, shutdown, socket_with, sockopt};

use crate::raw::response::{find, take_chunk};

/// The longest that a connection waits for bytes, so that no thread stays for ever.
const LIMIT: Duration = Duration::from_secs(60);

/// The accept queue.
const BACKLOG: i32 = 128;

/// How many were started by this process.
static STARTED: AtomicUsize = AtomicUsize::new(0);

/// A running endpoint.
#[derive(Debug)]
pub struct Recorder {
    /// Where it listens, also while it is down.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// Some endpoints, in order.
#[derive(Debug)]
pub struct Recorders {
    all: Vec<Recorder>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    listener: TcpListener,
    state: Mutex<State>,
    changed: Condvar,
    requests: AtomicU64,
    connections: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    up: bool,
    ended: bool,
    open: HashMap<usize, TcpStream>,
}

impl Recorder {
    /// Starts an endpoint that is up, on a free port of an address of its own within loopback.
    ///
    /// # Errors
    /// When the system has no port left.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut attempts = (0..16).map(|_| Self::try_start(name));
        // A port that was free a moment ago may have been taken by somebody who listens on all addresses.
        let is_over =
            |started: &io::Result<Self>| !matches!(started, Err(error) if error.kind() == ErrorKind::AddrInUse);
        attempts.find(is_over).unwrap_or_else(|| Err(ErrorKind::AddrInUse.into()))
    }

    fn try_start(name: &str) -> io::Result<Self> {
        let [_, .., low, lower] = std::process::id().to_be_bytes();
        let network = 100 + u8::try_from(STARTED.fetch_add(1, Ordering::Relaxed) % 100).unwrap_or(0);
        let ip = Ipv4Addr::new(127, network, low, lower);
        // The port must be asked for by number: only then it stays ours while nobody listens.
        let address = TcpListener::bind((ip, 0))?.local_addr()?;
        let bound = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&bound, true)?;
        bind(&bound, &address)?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            listener: TcpListener::from(bound),
            state: Mutex::default(),
            changed: Condvar::new(),
            requests: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&accepting));
        let recorder = Self { address, shared };
        recorder.up()?;
        Ok(recorder)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The requests that it has answered, probes (`/health`) not counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Refuses connections from now on and ends those that are open.
    ///
    /// # Errors
    /// When the socket does not do it.
    pub fn down(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        if !state.up {
            return Ok(());
        }
        state.up = false;
        // Linux takes a listening socket back to a bound one by this.
        shutdown(&self.shared.listener, rustix::net::Shutdown::Both)?;
        for stream in state.open.values() {
            // Failing means that it has ended.
            let _ = stream.shutdown(Shutdown::Both);
        }
        Ok(())
    }

    /// Accepts connections again.
    ///
    /// # Errors
    /// When the socket does not do it.
    pub fn up(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        listen(&self.shared.listener, BACKLOG)?;
        state.up = true;
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A failure leaves a thread behind until the test process ends.
        let _ = self.down();
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Recorders {
    /// Starts an endpoint for each name.
    ///
    /// # Errors
    /// When the system has no port left.
    pub fn start(names: &[&str]) -> io::Result<Self> {
        Ok(Self { all: names.iter().map(|name| Recorder::start(name)).collect::<io::Result<_>>()? })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Recorder] {
        &self.all
    }

    /// The one of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn named(&self, name: &str) -> &Recorder {
        self.all.iter().find(|recorder| recorder.name() == name).expect("an endpoint of this name")
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(shared: &Arc<Shared>) {
    loop {
        let mut state = shared.state();
        while !state.up && !state.ended {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.ended {
            return;
        }
        drop(state);
        // An error means that it went down.
        let Ok((stream, _)) = shared.listener.accept() else { continue };
        let Ok(copy) = stream.try_clone() else { continue };
        let number = shared.connections.fetch_add(1, Ordering::Relaxed);
        let mut state = shared.state();
        if !state.up {
            continue;
        }
        state.open.insert(number, copy);
        drop(state);
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // An error is an end like any other.
            let _ = serve(&shared, stream);
            shared.state().open.remove(&number);
        });
    }
}

/// Answers requests until the connection ends.
fn serve(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let mut buffer = Vec::new();
    while let Some(request) = Request::read(&mut stream, &mut buffer)? {
        let upgrade = request.first("upgrade").is_some();
        if request.target != "/health" {
            shared.requests.fetch_add(1, Ordering::Relaxed);
        }
        stream.write_all(&answer(&shared.name, &request, upgrade))?;
        if upgrade || request.is_last() {
            stream.shutdown(Shutdown::Write)?;
            // Until the other side has ended too, so that nothing is lost by a reset.
            io::copy(&mut stream, &mut io::sink())?;
            return Ok(());
        }
    }
    Ok(())
}

fn answer(name: &str, request: &Request, upgrade: bool) -> Vec<u8> {
    let mut head = String::new();
    let body = format!("{name}\n");
    if upgrade {
        head.push_str("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        // The answer to the key of RFC 6455 section 1.3, which all clients here send.
        head.push_str("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    } else {
        head.push_str("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str(&format!("X-Endpoint: {name}\r\n"));
    for seen in ["cookie", "x-forwarded-for", "x-real-ip", "host"] {
        for value in request.all(seen) {
            head.push_str(&format!("X-Seen-{seen}: {value}\r\n"));
        }
    }
    for (asked, field) in [("x-set-cookie", "Set-Cookie"), ("x-set-cache-control", "Cache-Control")] {
        for value in request.all(asked) {
            head.push_str(&format!("{field}: {value}\r\n"));
        }
    }
    head.push_str("\r\n");
    if upgrade {
        // A Close frame with the code 1000, so that the tunnel ends in order.
        return [head.as_bytes(), &[0x88, 0x02, 0x03, 0xe8]].concat();
    }
    if request.method != "HEAD" {
        head.push_str(&body);
    }
    head.into_bytes()
}

/// A request as far as an endpoint here looks at it. Its body is read and dropped.
#[derive(Debug)]
struct Request {
    method: String,
    target: String,
    version: String,
    fields: Vec<(String, String)>,
}

impl Request {
    fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let end = loop {
            if let Some(end) = find(buffer, b"\r\n\r\n") {
                break end;
            }
            if fill(stream, buffer)? == 0 {
                return Ok(None);
            }
        };
        let head: Vec<u8> = buffer.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(head.get(..end).unwrap_or_default()).into_owned();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let (method, target, version) = (word(), word(), word());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let request = Self { method, target, version, fields };
        request.skip_body(stream, buffer)?;
        Ok(Some(request))
    }

    fn skip_body(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<()> {
        let length = self.first("content-length").and_then(|length| length.parse::<usize>().ok());
        let is_chunked = self.first("transfer-encoding").is_some();
        loop {
            // Chunk by chunk: bodies here are large, and a look at the whole with each read would take seconds.
            let taken = if is_chunked {
                take_chunk(buffer).map_err(io::Error::other)?.map(|chunk| (chunk.used, chunk.data.is_none()))
            } else {
                length.or(Some(0)).filter(|length| buffer.len() >= *length).map(|length| (length, true))
            };
            if let Some((used, is_last)) = taken {
                buffer.drain(..used);
                if is_last {
                    return Ok(());
                }
            } else if fill(stream, buffer)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    fn is_last(&self) -> bool {
        let connection = self.first("connection").unwrap_or_default().to_ascii_lowercase();
        connection.contains("close") || (self.version == "HTTP/1.0" && !connection.contains("keep-alive"))
    }
}

fn fill(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 16 * 1024];
    let count = stream.read(&mut chunk)?;
    buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http;

    #[test]
    fn goes_down_and_up_on_the_same_port() {
        let recorder = Recorder::start("a").unwrap();
        for round in 1..=3 {
            assert_eq!(http::get(recorder.address, "/", &[]).unwrap().body, "a\n");
            assert_eq!(recorder.requests(), round);
            recorder.down().unwrap();
            let refused = TcpStream::connect(recorder.address).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            recorder.up().unwrap();
        }
    }

    #[test]
    fn tells_what_it_saw_and_sets_what_it_is_asked_to() {
        let recorder = Recorder::start("b").unwrap();
        let lines = ["Cookie: io=1", "Cookie: x", "X-Set-Cookie: io=2; Path=/"];
        let answer = http::get(recorder.address, "/", &lines).unwrap();
        for expected in ["X-Endpoint: b", "X-Seen-cookie: io=1", "X-Seen-cookie: x", "Set-Cookie: io=2; Path=/"] {
            assert!(answer.head.lines().any(|line| line == expected), "{expected} in {}", answer.head);
        }
    }
}
