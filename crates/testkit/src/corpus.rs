//! The format of the request corpus: which bytes are sent, and which outcomes are right.
//!
//! A corpus file is plain text. A line that begins with `#` is a comment, an empty line means nothing, and an entry is:
//!
//! ```text
//! === cl-then-te
//! why Both lengths: whoever believes the other one sees a second request.
//! | POST /p HTTP/1.1\r\n
//! | Host: a\r\n\r\n
//! answers 400 then closed
//! or
//! answers 200 then open
//! sees POST /p 0
//!   has host: a
//!   lacks te
//! ```
//!
//! - `| ` begins raw bytes: the rest of the line without its real line end. Escapes: `\r \n \t \0 \\`, `\xHH`, and
//!   `\{COUNT*TEXT}` for a repetition. Consecutive lines leave in one segment.
//! - `await STATUS` reads one answer before more is sent; when it has another status, nothing more is sent.
//! - `finish` ends the client's sending direction.
//! - `answers STATUS... then END` lists the statuses of all answers in order. `400|501` allows several, `100?` may be
//!   missing, `head:200` answers a HEAD request, `none` is no answer at all. END is `open`, `closed`, `any` (of the two)
//!   or `tunnel` (after a 101).
//! - `sees METHOD TARGET LENGTH` is a request that an endpoint must see, complete, with that many bytes of body; `has`
//!   and `lacks` look at the fields that the endpoint saw.
//! - `aborts METHOD TARGET` is a request that an endpoint may see begin, but never end.
//! - `differs REASON` says that endpoints rightly differ about this entry, each within the outcomes.
//! - `or` begins another acceptable outcome, where the standard leaves a choice.

mod outcome;
mod parse;

use std::path::Path;
use std::{fs, io};

pub use outcome::{End, Ended, ExpectedRequest, Observed, Outcome, SeenRequest, StatusRule, is_interim};
pub use parse::{ParseError, parse};

/// One entry of the corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its name, unique in the corpus.
    pub name: String,
    /// One sentence: why it is here.
    pub why: String,
    /// Why endpoints may differ about it; empty when they must agree.
    pub differs: String,
    /// What the client does, in order.
    pub steps: Vec<Step>,
    /// The acceptable outcomes; at least one.
    pub outcomes: Vec<Outcome>,
}

/// One thing that the client of an entry does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends these bytes in one write.
    Send(Vec<u8>),
    /// Reads one answer, which should have this status.
    Await(u16),
    /// Ends the sending direction.
    Finish,
}

/// Reads all `*.txt` files of `directory`, in the order of their names. Fails on the first file that is not well formed
/// and on a name that is used twice.
pub fn load(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut files: Vec<_> = fs::read_dir(directory)?.map(|file| Ok(file?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "txt"));
    files.sort();
    let mut entries: Vec<Entry> = Vec::new();
    for file in files {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", file.display()));
        for entry in parse(&fs::read_to_string(&file)?).map_err(|error| invalid(error.to_string()))? {
            if entries.iter().any(|other| other.name == entry.name) {
                return Err(invalid(format!("{:?} is there twice", entry.name)));
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}
