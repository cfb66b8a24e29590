//! Read buffers that a connection holds only while it has unread bytes.
//!
//! Each worker keeps a small stack of free buffers; the one used last is used next, so it is still in the cache.

use std::cell::RefCell;
use std::fmt;

/// The size of a read buffer in bytes; also the largest request head that a listener can allow.
pub const BUFFER_BYTES: usize = 32 * 1024;

/// How many free buffers a worker keeps (2 MiB); more are given back to the allocator.
const MAX_FREE: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that were read and not yet used, in a buffer borrowed from the worker.
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// Takes an empty buffer from the worker.
    pub fn take() -> Self {
        let free = FREE.with_borrow_mut(Vec::pop);
        Self { bytes: free.unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice()), start: 0, end: 0 }
    }

    /// Returns the unused bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns whether no unused bytes are left.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `count` unused bytes as used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Returns room to read into, moving the unused bytes to the front when the tail is short; empty when the buffer is full.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 && self.bytes.len() - self.end < BUFFER_BYTES / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Marks `count` bytes of the [room](Self::room) as read.
    pub fn extend(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // The worker's stack is gone when the thread ends; then the allocator takes the buffer.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < MAX_FREE {
                free.push(bytes);
            }
        });
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("unused", &(self.end - self.start)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_comes_back_when_bytes_are_used() {
        let mut buffer = Buffer::take();
        let room = buffer.room().len();
        buffer.room().fill(b'a');
        buffer.extend(room);
        assert!(buffer.room().is_empty());
        buffer.consume(room - 3);
        assert_eq!(buffer.bytes(), b"aaa");
        assert_eq!(buffer.room().len(), BUFFER_BYTES - 3);
        assert_eq!(buffer.bytes(), b"aaa");
    }

    #[test]
    fn a_dropped_buffer_is_used_next() {
        let buffer = Buffer::take();
        let at = buffer.bytes.as_ptr();
        drop(buffer);
        assert_eq!(Buffer::take().bytes.as_ptr(), at);
    }
}
