//! Decides where connections read into: memory that the tasks of a thread share, so that one that waits holds no buffer.

use std::cell::RefCell;

/// How much is read at a time.
const BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; BYTES].into_boxed_slice());
}

/// Lends the memory for the time of one read, within which nobody else of the thread may ask for it.
pub(crate) fn with<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| read(scratch))
}
