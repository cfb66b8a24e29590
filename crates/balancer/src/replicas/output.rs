//! Passes the output of replicas on, line by line, each with the name of its replica in front.
//!
//! Standard output stays standard output and standard error stays standard error. A thread writes, so that a terminal or
//! a pipe that nobody reads holds up neither the balancer nor its control thread; what cannot be written is not read
//! from the replicas either, which then wait.

use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;

/// The longest line; the rest of a longer one becomes lines of its own. Costs this much per stream of a replica.
const MAX_LINE: usize = 16 * 1024;

/// Bytes that are read at once.
const READ_BYTES: usize = 8 * 1024;

/// Pieces that wait for the writer, each up to twice what is read at once.
const MAX_WAITING: usize = 64;

/// How long the end waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Where replicas write to. Clones write to the same place.
#[derive(Clone, Debug)]
pub(super) struct Output(mpsc::Sender<(Target, Vec<u8>)>);

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer(JoinHandle<()>);

impl Output {
    /// Starts the writer; it ends when every clone is dropped.
    pub(super) fn start() -> io::Result<(Self, Writer)> {
        let (pieces, mut waiting) = mpsc::channel::<(Target, Vec<u8>)>(MAX_WAITING);
        let thread = std::thread::Builder::new().name("replica-output".to_owned()).spawn(move || {
            while let Some((target, piece)) = waiting.blocking_recv() {
                // Nobody reads it: nothing to be done about that.
                let _ = match target {
                    Target::Out => write(io::stdout().lock(), &piece),
                    Target::Err => write(io::stderr().lock(), &piece),
                };
            }
        })?;
        Ok((Self(pieces), Writer(thread)))
    }

    /// Passes on what comes from a pipe, until it ends.
    pub(super) async fn copy(self, mut pipe: impl AsyncRead + Unpin, target: Target, prefix: String) {
        let mut lines = Lines { prefix: prefix.into_bytes(), line: Vec::new() };
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let mut read = ReadBuf::new(&mut buffer);
            let result = poll_fn(|cx| Pin::new(&mut pipe).poll_read(cx, &mut read)).await;
            let mut piece = Vec::new();
            let ended = result.is_err() || read.filled().is_empty();
            lines.handle_bytes(read.filled(), &mut piece);
            if ended {
                lines.handle_end(&mut piece);
            }
            if !piece.is_empty() && self.0.send((target, piece)).await.is_err() || ended {
                return;
            }
        }
    }
}

impl Writer {
    /// Waits a moment for what is still to be written, once every [`Output`] is dropped.
    pub(super) async fn end(self) {
        let deadline = Instant::now() + LAST_WORDS;
        while !self.0.is_finished() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn write(mut to: impl Write, piece: &[u8]) -> io::Result<()> {
    to.write_all(piece)?;
    to.flush()
}

/// Cuts a stream into lines and puts a prefix in front of each.
#[derive(Debug)]
struct Lines {
    prefix: Vec<u8>,
    line: Vec<u8>,
}

impl Lines {
    /// Appends the lines that are complete now to `out`.
    fn handle_bytes(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            let room = MAX_LINE - self.line.len();
            match memchr::memchr(b'\n', &bytes[..bytes.len().min(room + 1)]) {
                Some(at) => {
                    self.line.extend_from_slice(&bytes[..at]);
                    self.end_line(out);
                    bytes = &bytes[at + 1..];
                }
                None if bytes.len() > room => {
                    self.line.extend_from_slice(&bytes[..room]);
                    self.end_line(out);
                    bytes = &bytes[room..];
                }
                None => {
                    self.line.extend_from_slice(bytes);
                    return;
                }
            }
        }
    }

    /// Appends the last line, if its end is missing.
    fn handle_end(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            self.end_line(out);
        }
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.append(&mut self.line);
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<u8> {
        let mut lines = Lines { prefix: b"[a.1] ".to_vec(), line: Vec::new() };
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| lines.handle_bytes(piece, &mut out));
        lines.handle_end(&mut out);
        out
    }

    #[test]
    fn every_line_has_its_prefix() {
        assert_eq!(cut(&[b"one\ntwo", b"\n\nlast"]), b"[a.1] one\n[a.1] two\n[a.1] \n[a.1] last\n");
        assert_eq!(cut(&[b""]), b"");
        assert_eq!(cut(&[b"\n"]), b"[a.1] \n");
    }

    #[test]
    fn a_long_line_becomes_several() {
        let line = vec![b'x'; MAX_LINE];
        let whole = [b"[a.1] ", &line[..], b"\n"].concat();
        assert_eq!(cut(&[&line, b"\n"]), whole);
        assert_eq!(cut(&[&line, b"y\n"]), [&whole[..], b"[a.1] y\n"].concat());
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_stream_is_split(
            text in prop::collection::vec(prop::sample::select(vec![b'a', b'\n', b'\r', 0xff]), 0..200),
            at in 0_usize..200,
        ) {
            let (before, after) = text.split_at(at.min(text.len()));
            prop_assert_eq!(cut(&[before, after]), cut(&[&text]));
        }
    }
}
