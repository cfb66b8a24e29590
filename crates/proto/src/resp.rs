//! Decides where what Redis says ends, and what is in it: RESP2 and RESP3, as they come from a connection.
//!
//! ```text
//! >3\r\n$7\r\nmessage\r\n$5\r\nnews#\r\n$2\r\nhi\r\n
//! ```
//! Bytes are read in any portions, each once. A [`Frame`] is a whole answer or push; what is in it lies in the bytes that were
//! read, and is handed on without a copy. Whatever comes ends with frames or an error. A frame is at most as long as the reader
//! allows, as deep as [`MAX_DEPTH`], and only its first [`MAX_VALUES`] values are kept.

mod frame;
#[cfg(test)]
mod tests;

use bytes::BytesMut;

pub use frame::{Frame, Value, Values};

/// How deep lists may lie in one another.
pub const MAX_DEPTH: usize = 16;

/// How many values of a frame are kept; those behind them are read over. 12 MiB for the time of the frame.
pub const MAX_VALUES: usize = 1 << 20;

/// How long a line may be: a short text, an error or a number.
pub const MAX_LINE: usize = 64 * 1024;

/// How long a frame is at most, unless said otherwise: one gibibyte. Redis takes no command that is longer.
pub const MAX_FRAME: usize = 1 << 30;

/// How many places for values are kept from one frame to the next.
const KEPT_VALUES: usize = 16 * 1024;

/// How long a frame is whose place is used again.
const KEPT_BYTES: usize = 1 << 20;

/// How many bytes are read at a time, at least.
const BLOCK: usize = 16 * 1024;

/// Says why a connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// What came is nothing that Redis says.
    #[error("not the protocol of Redis")]
    Malformed,
    /// A frame is longer than allowed.
    #[error("an answer of Redis is too long")]
    TooLong,
}

/// Reads frames from bytes.
#[derive(Debug)]
pub struct Reader {
    bytes: BytesMut,
    max_frame: usize,
    /// Where the next value of the frame begins.
    at: usize,
    /// There is nothing to be done before so many bytes are there.
    needed: usize,
    /// No line ends before this place.
    searched: usize,
    /// How many values are still to come in each open list.
    open: [u64; MAX_DEPTH],
    depth: usize,
    items: Vec<Item>,
    is_whole: bool,
}

/// A value in a frame.
#[derive(Debug, Clone, Copy)]
struct Item {
    kind: Kind,
    /// Where its bytes begin; nothing for lists.
    start: u32,
    /// How long it is, or how many values are in it.
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bulk,
    Error,
    Integer,
    Nil,
    Other,
    List,
    Push,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(MAX_FRAME)
    }
}

impl Reader {
    /// Begins to read frames of at most so many bytes, and never more than [`MAX_FRAME`].
    pub fn new(max_frame: usize) -> Self {
        Self {
            bytes: BytesMut::new(),
            max_frame: max_frame.min(MAX_FRAME),
            at: 0,
            needed: 1,
            searched: 0,
            open: [0; MAX_DEPTH],
            depth: 0,
            items: Vec::new(),
            is_whole: false,
        }
    }

    /// Lets frames that begin from now on have at most so many bytes, and never more than [`MAX_FRAME`].
    pub fn limit(&mut self, max_frame: usize) {
        self.max_frame = max_frame.min(MAX_FRAME);
    }

    /// Returns where bytes are to be appended, with room for some.
    pub fn buffer(&mut self) -> &mut BytesMut {
        // A long text gets its place in steps, so that nobody gets memory for what never comes.
        let missing = self.needed.saturating_sub(self.bytes.len()).min(64 * BLOCK);
        if self.bytes.capacity() - self.bytes.len() < BLOCK / 4 || missing > BLOCK {
            self.bytes.reserve(missing.max(BLOCK));
        }
        &mut self.bytes
    }

    /// Returns whether nothing of a frame is waiting to be completed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns whether a whole frame has come, which [`frame`](Self::frame) takes.
    ///
    /// # Errors
    /// [`RespError`] when the connection is of no use any more.
    pub fn poll_frame(&mut self) -> Result<bool, RespError> {
        while !self.is_whole {
            if self.bytes.len() < self.needed {
                return Ok(false);
            }
            if self.at == 0 && self.depth == 0 {
                self.items.clear();
                self.items.shrink_to(KEPT_VALUES);
            }
            if !self.value()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the frame that has come; an empty one when none has.
    pub fn frame(&mut self) -> Frame<'_> {
        if !std::mem::take(&mut self.is_whole) {
            self.items.clear();
            return Frame::new(bytes::Bytes::new(), &[]);
        }
        let bytes = self.bytes.split_to(self.at).freeze();
        (self.at, self.needed, self.searched) = (0, 1, 0);
        if bytes.len() > KEPT_BYTES {
            // What follows would keep all of it.
            self.bytes = BytesMut::from(&*self.bytes);
        }
        Frame::new(bytes, &self.items)
    }

    /// Reads on by one value. Returns whether it was there.
    fn value(&mut self) -> Result<bool, RespError> {
        let Some((end, line)) = self.line()? else { return Ok(false) };
        // It has at least its mark.
        let (Some(&mark), Some(text)) = (self.bytes.get(self.at), self.bytes.get(self.at + 1..line)) else {
            return Err(RespError::Malformed);
        };
        let start = self.at + 1;
        match mark {
            b'$' | b'=' | b'!' => {
                let Some(len) = length(text)? else {
                    self.push(Kind::Nil, start, 0);
                    self.pass(end);
                    return Ok(true);
                };
                let len = usize::try_from(len).map_err(|_| RespError::TooLong)?;
                let whole = end.checked_add(len).and_then(|end| end.checked_add(2)).ok_or(RespError::TooLong)?;
                if whole > self.max_frame {
                    return Err(RespError::TooLong);
                }
                if self.bytes.len() < whole {
                    self.needed = whole;
                    return Ok(false);
                }
                if self.bytes.get(whole - 2..whole) != Some(b"\r\n") {
                    return Err(RespError::Malformed);
                }
                self.push(if mark == b'!' { Kind::Error } else { Kind::Bulk }, end, len);
                self.pass(whole);
            }
            b'*' | b'~' | b'>' | b'%' | b'|' => {
                let Some(len) = length(text)? else {
                    self.push(Kind::Nil, start, 0);
                    self.pass(end);
                    return Ok(true);
                };
                let count = match mark {
                    b'%' => len.checked_mul(2),
                    // What is said of a value stands before it.
                    b'|' => len.checked_mul(2).and_then(|count| count.checked_add(1)),
                    _ => Some(len),
                };
                let count = count.and_then(|count| u32::try_from(count).ok()).ok_or(RespError::TooLong)?;
                self.push(if mark == b'>' { Kind::Push } else { Kind::List }, start, count as usize);
                if count == 0 {
                    self.pass(end);
                } else {
                    *self.open.get_mut(self.depth).ok_or(RespError::TooLong)? = count.into();
                    self.depth += 1;
                    (self.at, self.searched, self.needed) = (end, end, end + 1);
                }
            }
            b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {
                let kind = match mark {
                    b'+' => Kind::Text,
                    b'-' => Kind::Error,
                    b':' => Kind::Integer,
                    b'_' => Kind::Nil,
                    _ => Kind::Other,
                };
                let len = text.len();
                self.push(kind, start, len);
                self.pass(end);
            }
            _ => return Err(RespError::Malformed),
        }
        Ok(true)
    }

    /// Finds the line that begins here: the place behind it, and the place where its text ends.
    fn line(&mut self) -> Result<Option<(usize, usize)>, RespError> {
        let from = self.searched.max(self.at);
        let found = self.bytes.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'\n'));
        let Some(found) = found else {
            self.searched = self.bytes.len();
            self.needed = self.bytes.len() + 1;
            let is_long = self.bytes.len() - self.at > MAX_LINE || self.bytes.len() >= self.max_frame;
            return if is_long { Err(RespError::TooLong) } else { Ok(None) };
        };
        let end = from + found;
        if end - self.at > MAX_LINE || end >= self.max_frame {
            return Err(RespError::TooLong);
        }
        // A mark and the end of the line are the least.
        if end < self.at + 2 || self.bytes.get(end - 1) != Some(&b'\r') {
            return Err(RespError::Malformed);
        }
        Ok(Some((end + 1, end - 1)))
    }

    fn push(&mut self, kind: Kind, start: usize, len: usize) {
        if self.items.len() < MAX_VALUES {
            // A frame is not longer than 2^30, and counts were looked at.
            self.items.push(Item { kind, start: start as u32, len: len as u32 });
        }
    }

    /// Goes on behind a value that is complete, and with it perhaps the lists that it is the last of.
    fn pass(&mut self, end: usize) {
        (self.at, self.searched, self.needed) = (end, end, end + 1);
        while let Some(open) = self.depth.checked_sub(1).and_then(|last| self.open.get_mut(last)) {
            *open -= 1;
            if *open > 0 {
                return;
            }
            self.depth -= 1;
        }
        self.is_whole = true;
    }
}

/// Reads a length; `None` for that of what is not there, which is -1.
fn length(text: &[u8]) -> Result<Option<u64>, RespError> {
    if text == b"-1" {
        return Ok(None);
    }
    if text.is_empty() || text.len() > 18 {
        return Err(RespError::Malformed);
    }
    let mut number = 0_u64;
    for byte in text {
        if !byte.is_ascii_digit() {
            return Err(RespError::Malformed);
        }
        number = number * 10 + u64::from(byte - b'0');
    }
    Ok(Some(number))
}

/// Appends a command: its name and its arguments.
pub fn write_command(words: &[&[u8]], out: &mut Vec<u8>) {
    write_head(b'*', words.len(), out);
    for word in words {
        write_word(word, out);
    }
}

/// Appends the beginning of a command that has so many words, its name among them.
pub fn write_words(count: usize, out: &mut Vec<u8>) {
    write_head(b'*', count, out);
}

/// Appends a word of a command.
pub fn write_word(word: &[u8], out: &mut Vec<u8>) {
    out.reserve(word.len() + 16);
    write_head(b'$', word.len(), out);
    out.extend_from_slice(word);
    out.extend_from_slice(b"\r\n");
}

fn write_head(mark: u8, number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    let mut rest = number;
    loop {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push(mark);
    out.extend_from_slice(&digits[first..]);
    out.extend_from_slice(b"\r\n");
}
