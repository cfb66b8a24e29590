//! Reads the key ring from where the configuration says, or makes a key that needs no configuration.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process;

use aws_lc_rs::rand;

use super::{KeyError, KeyRing, Wiped, generate_line};
use crate::config::KeySource;

/// The largest key file in bytes, far above 256 lines: a wrong path must not cost the memory of what lies there.
const MAX_FILE_LEN: u64 = 64 * 1024;

/// Where a key ring came from. Its [`fmt::Display`] is meant for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOrigin {
    /// From the text that was configured.
    Inline,
    /// From the file that was configured.
    File {
        /// The path of the file.
        path: PathBuf,
        /// Whether every user of the machine may read it.
        world_readable: bool,
    },
    /// From the state directory.
    StateDirectory {
        /// The path of the file.
        path: PathBuf,
        /// Whether this call has made it.
        generated: bool,
        /// Whether every user of the machine may read it.
        world_readable: bool,
    },
    /// Random and kept in memory only: a restart ends polling sessions, and a second balancer needs a key.
    Volatile {
        /// Why it could not be kept.
        reason: String,
    },
}

impl KeyOrigin {
    /// Returns what the operator should be warned of, in one sentence.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::File { path, world_readable: true } | Self::StateDirectory { path, world_readable: true, .. } => {
                Some(format!("every user can read the key in {}; chmod it to 0600", path.display()))
            }
            Self::Volatile { reason } => Some(format!(
                "the key is not kept ({reason}): a restart ends polling sessions, and a second balancer needs a key"
            )),
            _ => None,
        }
    }
}

impl fmt::Display for KeyOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline => f.write_str("configured key"),
            Self::File { path, .. } => write!(f, "key from {}", path.display()),
            Self::StateDirectory { path, generated: false, .. } => write!(f, "key kept in {}", path.display()),
            Self::StateDirectory { path, generated: true, .. } => write!(f, "new key, kept in {}", path.display()),
            Self::Volatile { .. } => f.write_str("new key, not kept"),
        }
    }
}

impl KeyRing {
    /// Reads the key ring. For [`KeySource::StateDirectory`] the file `key` in it is made if there is none, by one
    /// process only if several start at once; where that is impossible, the key is volatile.
    ///
    /// # Errors
    ///
    /// Those of [`KeyRing::parse`], and [`KeyError::Unreadable`] if a configured file cannot be read.
    pub fn load(source: &KeySource) -> Result<(Self, KeyOrigin), KeyError> {
        match source {
            KeySource::Inline(text) => Ok((Self::parse(text, "LIMPET_KEY")?, KeyOrigin::Inline)),
            KeySource::File(path) => {
                let file = KeyFile::read(path).map_err(|source| unreadable(path, source))?;
                let origin = KeyOrigin::File { path: path.clone(), world_readable: file.world_readable };
                Ok((file.parse(path)?, origin))
            }
            KeySource::StateDirectory(directory) => Self::kept_in(directory),
        }
    }

    fn kept_in(directory: &Path) -> Result<(Self, KeyOrigin), KeyError> {
        let path = directory.join("key");
        let mut generated = false;
        let mut read = KeyFile::read(&path);
        if matches!(&read, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // Read back even what this process wrote: the other process may have been first.
            read = keep_new_key(directory, &path).and_then(|by_us| {
                generated = by_us;
                KeyFile::read(&path)
            });
        }
        match read {
            Ok(file) => {
                let ring = file.parse(&path)?;
                Ok((ring, KeyOrigin::StateDirectory { path, generated, world_readable: file.world_readable }))
            }
            // Something else lies there. Running without it would end the sessions that it stands for, unnoticed.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(unreadable(&path, error)),
            Err(error) => {
                Ok((Self::volatile(), KeyOrigin::Volatile { reason: format!("{}: {error}", path.display()) }))
            }
        }
    }
}

/// The content of a key file.
struct KeyFile {
    text: Wiped<Vec<u8>>,
    world_readable: bool,
}

impl KeyFile {
    fn read(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut text = Wiped(Vec::with_capacity(metadata.len().min(MAX_FILE_LEN) as usize + 1));
        if file.take(MAX_FILE_LEN + 1).read_to_end(&mut text.0)? as u64 > MAX_FILE_LEN {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than 64 KiB, so not a key file"));
        }
        if str::from_utf8(&text.0).is_err() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not text, so not a key file"));
        }
        Ok(Self { text, world_readable: metadata.permissions().mode() & 0o004 != 0 })
    }

    fn parse(&self, path: &Path) -> Result<KeyRing, KeyError> {
        KeyRing::parse(str::from_utf8(&self.text.0).unwrap_or_default(), &path.display().to_string())
    }
}

fn unreadable(path: &Path, source: io::Error) -> KeyError {
    KeyError::Unreadable { origin: path.display().to_string(), source }
}

/// Writes a new key unless another process is quicker. Returns whether this one was.
///
/// The key is complete under another name before a hard link gives it its own: unlike a rename, linking never replaces
/// a key that has appeared meanwhile, and nobody ever reads half a key.
fn keep_new_key(directory: &Path, path: &Path) -> io::Result<bool> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let draft = directory.join(draft_name()?);
    let linked = write_draft(&draft).and_then(|()| fs::hard_link(&draft, path));
    // A draft that stays behind is never read, so that failing to remove it harms nobody.
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            // The key is usable either way; a file system that cannot sync a directory is no reason to do without.
            let _ = File::open(directory).and_then(|directory| directory.sync_all());
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn write_draft(draft: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let line = Wiped(format!("{}\n", generate_line(0)).into_bytes());
    file.write_all(&line.0)?;
    file.sync_all()
}

/// Names a draft so that two processes never share it, even if they have the same number in different containers.
fn draft_name() -> io::Result<String> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
    Ok(format!(".key.{}.{:016x}", process::id(), u64::from_ne_bytes(random)))
}
