//! Watches the endpoints files of upstreams and reads them when they change.
//!
//! The folder of a file is watched, not the file, so that a file that is replaced by renaming, by a link (as Kubernetes
//! does) or by an editor is seen. Where nothing tells about changes (network file systems, a folder that does not exist
//! yet) a look every few seconds does. A file is read when it has been quiet for a moment, since many programs write in
//! place. One that is wrong, half-written or gone changes nothing: the endpoints before stay.

use std::fs::{File as Opened, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::{EndpointConfig, process_environment, read_endpoints};

/// The largest file; a thousand endpoints need about 100 KiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The time between two looks at files of which nothing is heard.
const LOOK: Duration = Duration::from_secs(2);

/// How long a file has to be quiet before it is read.
const QUIET: Duration = Duration::from_millis(50);

/// How long a file that is never quiet may put its reading off.
const LONGEST: Duration = Duration::from_secs(1);

/// The file of one upstream.
#[derive(Debug)]
pub(super) struct File {
    upstream: String,
    path: PathBuf,
    /// What was seen at the last reading, to know a change by.
    stamp: Option<Stamp>,
    text: Option<String>,
    /// What was said to be wrong last, to say it once.
    said: Option<String>,
}

/// What tells two versions of a file apart without reading them.
type Stamp = (u64, u64, i64, i64, u64);

/// All files, and when they have to be looked at.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<File>,
    touched: Arc<Notify>,
    /// Dropping it ends its thread.
    _watcher: Option<RecommendedWatcher>,
    look_at: Instant,
    /// The first event since the last look.
    touched_at: Option<Instant>,
}

impl Files {
    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    /// Begins to watch these files: pairs of an upstream's name and a path.
    pub(super) fn watch(files: impl IntoIterator<Item = (String, PathBuf)>) -> Self {
        let files: Vec<File> = files.into_iter().map(|(upstream, path)| File::new(upstream, path)).collect();
        let touched = Arc::new(Notify::new());
        let _watcher = if files.is_empty() { None } else { watch(&files, &touched) };
        Self { files, touched, _watcher, look_at: Instant::now() + LOOK, touched_at: None }
    }

    /// Waits until the files should be looked at. It may be dropped and called again at any time.
    pub(super) async fn wait(&mut self) {
        if self.files.is_empty() {
            return std::future::pending().await;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(self.look_at) => return,
                () = self.touched.notified() => {
                    let now = Instant::now();
                    let first = *self.touched_at.get_or_insert(now);
                    self.look_at = (now + QUIET).min(first + LONGEST);
                }
            }
        }
    }

    /// Reads the files that have changed, or all of them, and returns the new sets by the names of their upstreams.
    pub(super) fn read(&mut self, all: bool) -> Vec<(String, Vec<EndpointConfig>)> {
        self.look_at = Instant::now() + LOOK;
        self.touched_at = None;
        let sets = self.files.iter_mut().filter_map(|file| Some((file.upstream.clone(), file.read(all)?)));
        sets.collect()
    }

    /// Says that the set of an upstream's file was not taken over, and why.
    pub(super) fn refused(&mut self, upstream: &str, reason: &str) {
        if let Some(file) = self.files.iter_mut().find(|file| file.upstream == upstream) {
            let said = format!("{}: {reason}", file.path.display());
            file.say(said);
        }
    }
}

impl File {
    fn new(upstream: String, path: PathBuf) -> Self {
        Self { upstream, path, stamp: None, text: None, said: None }
    }

    /// Reads the file if it has changed, or anyway, and returns its endpoints if they are others than before and right.
    fn read(&mut self, anyway: bool) -> Option<Vec<EndpointConfig>> {
        let stamp = self.path.metadata().ok().as_ref().map(stamp);
        if !anyway && stamp.is_some() && stamp == self.stamp {
            return None;
        }
        let name = self.path.display().to_string();
        let text = match read_text(&self.path) {
            Ok(text) => text,
            Err(reason) => {
                self.stamp = None;
                self.say(format!("{name}: {reason}"));
                return None;
            }
        };
        self.stamp = stamp;
        if !anyway && self.text.as_ref() == Some(&text) {
            return None;
        }
        let endpoints = read_endpoints(&name, &text, &process_environment);
        self.text = Some(text);
        match endpoints {
            Ok(endpoints) => {
                self.said = None;
                let (upstream, count) = (self.upstream.as_str(), endpoints.len());
                tracing::info!(upstream, "{name} read: {count} endpoints");
                Some(endpoints)
            }
            Err(errors) => {
                self.say(errors.to_string());
                None
            }
        }
    }

    /// Says what is wrong, each error on a line, unless that was the last thing said.
    fn say(&mut self, wrong: String) {
        if self.said.as_ref() == Some(&wrong) {
            return;
        }
        for line in wrong.lines() {
            tracing::error!(upstream = self.upstream, "{line}; the endpoints before stay in use");
        }
        self.said = Some(wrong);
    }
}

/// Watches the folders of these files.
fn watch(files: &[File], touched: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let heard = Arc::clone(touched);
    // Whatever happened, it is time to look.
    let on_event = move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| !event.kind.is_access()) {
            heard.notify_one();
        }
    };
    let mut watcher = match notify::recommended_watcher(on_event) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!("files cannot be watched, and are looked at every {LOOK:?} instead: {error}");
            return None;
        }
    };
    for file in files {
        let folder = match file.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
            let folder = folder.display();
            tracing::warn!(
                upstream = file.upstream,
                "{folder} cannot be watched, and is looked at every {LOOK:?}: {error}"
            );
        }
    }
    Some(watcher)
}

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.len())
}

fn read_text(path: &Path) -> Result<String, String> {
    let in_words = |error: std::io::Error| format!("cannot be read: {error}");
    // Opening a pipe would wait for whoever writes to it.
    if !path.metadata().map_err(in_words)?.is_file() {
        return Err("cannot be read: it is no file".to_owned());
    }
    let mut text = String::new();
    Opened::open(path).map_err(in_words)?.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(in_words)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("is larger than {} MiB", MAX_BYTES >> 20));
    }
    Ok(text)
}
