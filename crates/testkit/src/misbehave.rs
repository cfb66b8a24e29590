//! Endpoints that misbehave in one named way, each on a free port, and tell what reached them.
//!
//! They run on threads and end with their value. Whatever they do is bounded in bytes and in time.

mod conduct;
mod journal;

use std::collections::HashMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};

pub use journal::{Event, Received};

use journal::Journal;

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Answers every request with this body, as it should, and keeps the connection.
    Answers(&'static str),
    /// Answers Engine.IO handshakes with new sids of 20 characters, and everything else with `ok`.
    Handshakes,
    /// Answers every request with a 503, as a server that is about to end.
    Refuses,
    /// Reads requests and never answers, until the connection ends.
    AcceptsAndStalls,
    /// Reads a request and closes.
    ClosesBeforeResponse,
    /// Reads a request and resets the connection.
    ResetsBeforeResponse,
    /// Ends its sending direction instead of answering, and goes on reading.
    HalfCloses,
    /// Promises 1,000 bytes of body, sends 10 and closes.
    ClosesMidBody,
    /// Sends one chunk and closes.
    ClosesMidChunks,
    /// Promises 1,000 bytes of body, sends 10 and resets the connection.
    ResetsMidBody,
    /// Promises 1,000 bytes of body, sends 10 and waits until the connection ends.
    StallsMidBody,
    /// Sends a line that is not HTTP.
    SendsGarbage,
    /// Sends a head of a million bytes.
    SendsHugeHead,
    /// Answers with Content-Length and Transfer-Encoding.
    SendsTwoLengths,
    /// Answers with two different Content-Length fields.
    SendsLengthTwice,
    /// Answers every request with a 101 that nobody asked for.
    SwitchesUnasked,
    /// Sends a second answer, with the body `forged`, in one write with each answer.
    SendsExtraBytes,
    /// Sends a hundred thousand interim answers and never a final one.
    FloodsInterim,
    /// Accepts connections and reads nothing from them.
    NeverReads,
    /// Answers 413 after the head of a request, before its body, and closes.
    AnswersEarly,
    /// Sends a body of 20 bytes, one every 20 milliseconds.
    DripsSlowly,
    /// Answers, says nothing about closing, and closes.
    ClosesSilently,
    /// Answers the first request of a connection and closes when it has read the second.
    ClosesOnReuse,
}

/// A running endpoint.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Endpoint {
    /// Starts an endpoint on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn start(conduct: Conduct) -> io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), conduct)
    }

    /// Starts an endpoint on this address, for example on the same port as another one but another loopback address.
    ///
    /// # Errors
    /// When the address is not free.
    pub fn start_on(address: SocketAddr, conduct: Conduct) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(listener, conduct, &accepting));
        Ok(Self { address, shared })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that happened so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.shared.journal.events()
    }

    /// The requests that were read so far.
    pub fn requests(&self) -> Vec<Received> {
        let events = self.events().into_iter();
        events.filter_map(|event| if let Event::Request(received) = event { Some(received) } else { None }).collect()
    }

    /// Waits until `pick` gives a value for an event, past or to come.
    ///
    /// # Panics
    /// After five seconds, with what did happen.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        match self.shared.journal.wait_for(pick) {
            Some(found) => found,
            None => panic!("the endpoint saw no {what}: {:?}", self.events()),
        }
    }

    /// Closes the listener and all connections, so that from now on connections are refused.
    pub fn stop(&self) {
        if self.shared.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        // Wakes the thread that accepts; it then drops the listener. An error means that it is gone already.
        drop(TcpStream::connect(self.address));
        for stream in self.shared.streams().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = self.shared.journal.wait_for(|event| (*event == Event::Stopped).then_some(()));
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port that refuses connections, and that nobody else gets meanwhile.
#[derive(Debug)]
pub struct RefusesConnections {
    address: SocketAddr,
    _bound: OwnedFd,
}

impl RefusesConnections {
    /// Binds a free port of 127.0.0.1 without listening on it.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn start() -> io::Result<Self> {
        let bound = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&bound, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = SocketAddr::try_from(getsockname(&bound)?)?;
        Ok(Self { address, _bound: bound })
    }

    /// The port that refuses.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[derive(Debug, Default)]
struct Shared {
    journal: Journal,
    /// A second handle of each open connection, by its number, so that a stop can close it.
    streams: Mutex<HashMap<usize, TcpStream>>,
    sessions: AtomicUsize,
    stopped: AtomicBool,
}

impl Shared {
    fn streams(&self) -> MutexGuard<'_, HashMap<usize, TcpStream>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: TcpListener, conduct: Conduct, shared: &Arc<Shared>) {
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept() else { break };
        let mut streams = shared.streams();
        // Looked at under the lock, so that a stop either closes this stream or never sees it served.
        if shared.stopped.load(Ordering::SeqCst) {
            break;
        }
        let Ok(copy) = stream.try_clone() else { break };
        streams.insert(connection, copy);
        drop(streams);
        shared.journal.add(Event::Connected(connection));
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            conduct::perform(conduct, &stream, connection, &shared.journal, &shared.sessions);
            shared.streams().remove(&connection);
        });
    }
    // A program that another test is just starting may hold a copy of the descriptor for a moment: closing ours alone
    // would then leave a port that still takes connections.
    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
    drop(listener);
    shared.journal.add(Event::Stopped);
}

#[cfg(test)]
mod tests;
