//! Decides how the time is written into answers: a thread writes it once in a second.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

thread_local! {
    static LINE: RefCell<(u64, Vec<u8>)> = const { RefCell::new((0, Vec::new())) };
}

/// Appends the header with the time (RFC 9110 section 6.6.1).
pub(super) fn write(out: &mut Vec<u8>) {
    let time = SystemTime::now();
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    LINE.with_borrow_mut(|(written, line)| {
        if *written != seconds || line.is_empty() {
            line.clear();
            // A vector takes everything.
            write!(line, "date: {}\r\n", httpdate::HttpDate::from(time)).ok();
            *written = seconds;
        }
        out.extend_from_slice(line);
    });
}
