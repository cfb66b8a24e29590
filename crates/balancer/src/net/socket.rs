//! A TCP socket of the request plane, and who tells us when it is ready.
//!
//! Who watches a socket is decided when it first has to be waited for. A new client has mostly sent its request by the
//! time we look, and that of an upgrade is then watched by the tunnel engine and by nobody else.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mio::Interest;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::tunnel::berth::{Berth, From};

/// A connected or connecting socket.
#[derive(Debug)]
pub struct Socket(Watched);

#[derive(Debug)]
enum Watched {
    /// By nobody yet. `None` only if the runtime has refused to watch it.
    Nobody { socket: Option<mio::net::TcpStream>, readable: bool },
    /// By the runtime.
    Runtime(tokio::net::TcpStream),
    /// By the tunnel engine.
    Engine { socket: mio::net::TcpStream, berth: Rc<Berth>, from: From },
}

/// A socket that is about to become one side of a tunnel.
#[derive(Debug)]
pub struct Released {
    /// The socket.
    pub socket: mio::net::TcpStream,
    /// Where the tunnel engine watches it already.
    pub berth: Option<Rc<Berth>>,
}

impl Socket {
    /// Wraps a socket that an accept has given, whose first bytes may have come with it.
    pub fn accepted(socket: mio::net::TcpStream) -> Self {
        Self(Watched::Nobody { socket: Some(socket), readable: true })
    }

    /// Lets the runtime watch a socket.
    ///
    /// # Errors
    /// What the reactor says.
    pub fn in_runtime(socket: std::net::TcpStream) -> io::Result<Self> {
        tokio::net::TcpStream::from_std(socket).map(|socket| Self(Watched::Runtime(socket)))
    }

    /// Lets the tunnel engine watch a socket.
    ///
    /// # Errors
    /// What the reactor says.
    pub fn in_engine(
        socket: std::net::TcpStream,
        berth: &Rc<Berth>,
        from: From,
        interest: Interest,
    ) -> io::Result<Self> {
        let mut socket = mio::net::TcpStream::from_std(socket);
        berth.watch(from, &mut socket, interest)?;
        Ok(Self(Watched::Engine { socket, berth: Rc::clone(berth), from }))
    }

    /// Lets the tunnel engine watch the socket, unless somebody does already.
    ///
    /// # Errors
    /// What the reactor says.
    pub fn take_berth(&mut self, berth: &Rc<Berth>, from: From) -> io::Result<()> {
        let Watched::Nobody { socket, .. } = &mut self.0 else { return Ok(()) };
        let mut socket = socket.take().ok_or(io::ErrorKind::NotConnected)?;
        berth.watch(from, &mut socket, Interest::READABLE)?;
        self.0 = Watched::Engine { socket, berth: Rc::clone(berth), from };
        Ok(())
    }

    /// Returns the place in the tunnel engine, if the socket has one.
    pub fn berth(&self) -> Option<&Rc<Berth>> {
        match &self.0 {
            Watched::Engine { berth, .. } => Some(berth),
            Watched::Nobody { .. } | Watched::Runtime(_) => None,
        }
    }

    /// Lets the runtime watch the socket.
    ///
    /// # Errors
    /// What the reactors say.
    pub fn join_runtime(&mut self) -> io::Result<&mut tokio::net::TcpStream> {
        if !matches!(self.0, Watched::Runtime(_)) {
            let released = std::mem::replace(&mut self.0, Watched::Nobody { socket: None, readable: false });
            let socket = match released {
                Watched::Engine { mut socket, berth, .. } => berth.leave(&mut socket).map(|()| socket)?,
                Watched::Nobody { socket: Some(socket), .. } => socket,
                Watched::Nobody { socket: None, .. } | Watched::Runtime(_) => {
                    return Err(io::ErrorKind::NotConnected.into());
                }
            };
            self.0 = Watched::Runtime(tokio::net::TcpStream::from_std(socket.into())?);
        }
        match &mut self.0 {
            Watched::Runtime(socket) => Ok(socket),
            Watched::Nobody { .. } | Watched::Engine { .. } => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Lets go of a socket that becomes one side of a tunnel.
    ///
    /// # Errors
    /// What the runtime says.
    pub fn release(self) -> io::Result<Released> {
        Ok(match self.0 {
            Watched::Nobody { socket, .. } => {
                Released { socket: socket.ok_or(io::ErrorKind::NotConnected)?, berth: None }
            }
            Watched::Runtime(socket) => socket.into_std()?.into(),
            Watched::Engine { socket, berth, .. } => Released { socket, berth: Some(berth) },
        })
    }

    /// Reads into `room`, which must not be empty.
    ///
    /// # Errors
    /// What the socket says.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let capacity = room.len();
        match &mut self.0 {
            Watched::Runtime(socket) => {
                let mut room = ReadBuf::new(room);
                ready!(Pin::new(socket).poll_read(cx, &mut room))?;
                return Poll::Ready(Ok(room.filled().len()));
            }
            Watched::Nobody { socket: Some(socket), readable } if *readable => {
                let read = again(|| socket.read(room));
                // A short read has emptied the socket; an end that lies behind it will be announced.
                *readable = matches!(read, Ok(count) if count == capacity);
                if !is_refused(&read) {
                    return Poll::Ready(read);
                }
            }
            Watched::Engine { socket, berth, from } => {
                while berth.poll(*from, cx, |heard| heard.readable).is_ready() {
                    let read = again(|| socket.read(room));
                    let is_full = matches!(read, Ok(count) if count == capacity);
                    berth.note(*from, |heard| heard.readable = is_full || (heard.end && !is_refused(&read)));
                    if !is_refused(&read) {
                        return Poll::Ready(read);
                    }
                }
                return Poll::Pending;
            }
            Watched::Nobody { .. } => {}
        }
        self.join_runtime()?;
        self.poll_read(cx, room)
    }

    /// Writes what it can of `bytes`.
    ///
    /// # Errors
    /// What the socket says.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Watched::Runtime(socket) => return Pin::new(socket).poll_write(cx, bytes),
            Watched::Nobody { socket: Some(socket), .. } => {
                let written = again(|| socket.write(bytes));
                if !is_refused(&written) {
                    return Poll::Ready(written);
                }
            }
            Watched::Engine { socket, .. } => {
                let written = again(|| socket.write(bytes));
                if !is_refused(&written) {
                    return Poll::Ready(written);
                }
            }
            Watched::Nobody { socket: None, .. } => {}
        }
        self.join_runtime()?;
        self.poll_write(cx, bytes)
    }

    /// Is ready once a connection that was begun is there, or has failed.
    ///
    /// # Errors
    /// Why it has failed.
    pub fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let failure = match &mut self.0 {
            Watched::Runtime(socket) => {
                ready!(socket.poll_write_ready(cx))?;
                socket.take_error()
            }
            Watched::Engine { socket, berth, from } => {
                ready!(berth.poll(*from, cx, |heard| heard.writable));
                socket.take_error()
            }
            Watched::Nobody { .. } => Ok(None),
        };
        Poll::Ready(failure?.map_or(Ok(()), Err))
    }

    /// Returns whether nothing has arrived since the last read, not even the end of the stream, as far as the reactor
    /// knows; costs no system call.
    pub fn is_quiet(&self) -> bool {
        match &self.0 {
            Watched::Runtime(socket) => {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                socket.poll_read_ready(&mut cx).is_pending()
            }
            Watched::Nobody { .. } => false,
            Watched::Engine { berth, from, .. } => !berth.heard(*from).readable,
        }
    }

    /// Ends what we send.
    ///
    /// # Errors
    /// What the socket says.
    pub fn shutdown(&self) -> io::Result<()> {
        self.socket()?.shutdown(Shutdown::Write)
    }

    /// Makes the coming end of the connection a reset.
    ///
    /// # Errors
    /// What the socket says; an ordinary end follows.
    pub fn reset(&self) -> io::Result<()> {
        self.socket()?.set_linger(Some(Duration::ZERO))
    }

    /// Returns our address.
    ///
    /// # Errors
    /// What the socket says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket()?.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    fn socket(&self) -> io::Result<SockRef<'_>> {
        match &self.0 {
            Watched::Runtime(socket) => Ok(socket.into()),
            Watched::Nobody { socket: Some(socket), .. } | Watched::Engine { socket, .. } => Ok(socket.into()),
            Watched::Nobody { socket: None, .. } => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl std::convert::From<std::net::TcpStream> for Released {
    fn from(socket: std::net::TcpStream) -> Self {
        Self { socket: mio::net::TcpStream::from_std(socket), berth: None }
    }
}

fn is_refused<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Does it again for as long as signals interrupt it.
fn again<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match act() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
