//! Decides what a part of a stream holds for those who missed it: the broadcasts of one namespace, each once, and whether
//! the stream still has everything.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::entry::Entry as Raw;
use super::failed;
use super::patience::Patient;
use super::reader::{MAX_PUBLISHERS, info, look, range};
use crate::adapter::BusError;
use crate::envelope::Message;
use crate::health::Meter;
use crate::log::{Entry, Offset, Stretch};
use crate::recovery::Repeats;
use crate::target::Room;

/// How many entries are read in one go.
const PAGE: u64 = 250;

/// How many bytes of events are read for one client; one that has missed more gets a fresh session.
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// For how many clients is read at a time. The others wait.
const AT_ONCE: usize = 4;

/// How many entries of a stream are read for one client; one that has missed more gets a fresh session.
const MAX_READ: usize = 200_000;

/// What reads the past of streams.
#[derive(Clone)]
pub(super) struct History {
    connection: Patient,
    meter: Arc<Meter>,
    turns: Arc<Semaphore>,
}

impl History {
    pub(super) fn new(connection: Patient, meter: Arc<Meter>) -> Self {
        Self { connection, meter, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Reads the broadcasts of a namespace behind `after`, up to and with `upto`: all, or those alone that are for somebody in
    /// these rooms.
    pub(super) async fn read(
        &self,
        stream: &str,
        namespace: &str,
        rooms: Option<&[Room]>,
        after: Offset,
        upto: Offset,
    ) -> Result<Stretch, BusError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let connection = &mut self.connection.clone();
        let mut bytes = 0;
        let mut found = Stretch { entries: Vec::new(), is_whole: true };
        let mut repeats = Repeats::new(MAX_PUBLISHERS);
        let (mut place, mut noted) = (after, after);
        let mut read = 0;
        while place < upto {
            let page = range(connection, stream, place, upto, PAGE).await.map_err(failed)?;
            // Asked behind the page: what was there then was there before.
            let info = info(connection, stream).await.map_err(failed)?;
            let is_full = page.len() as u64 == PAGE;
            read += page.len();
            found.is_whole &= info.reaches_back_to(place) && info.last >= upto && read <= MAX_READ;
            if !found.is_whole {
                break;
            }
            for raw in page {
                place = raw.offset;
                found.is_whole &= !raw.is_loss;
                if let Some(mark) = raw.mark() {
                    if let Some(behind) = mark.look_behind(noted) {
                        look(connection, stream, behind, noted, &mut repeats).await.map_err(failed)?;
                        noted = behind;
                    }
                    if !mark.is_new(&mut repeats) {
                        continue;
                    }
                }
                if raw.is_broadcast() && raw.namespace() == namespace {
                    let len = raw.len();
                    let is_for = |entry: &Entry| rooms.is_none_or(|rooms| entry.is_for(rooms));
                    if let Some(entry) = self.broadcast(raw).filter(is_for) {
                        bytes += len;
                        found.entries.push(entry);
                    }
                }
            }
            found.is_whole &= bytes <= MAX_BYTES;
            if !is_full {
                break;
            }
        }
        Ok(found)
    }

    fn broadcast(&self, raw: Raw) -> Option<Entry> {
        let offset = raw.offset;
        match raw.read() {
            Ok((_, Message::Broadcast { arguments, targets, flags, request: None })) if !flags.volatile => {
                Some(Entry { offset, arguments, targets, flags })
            }
            Ok(_) => None,
            // It was dropped when it came, too.
            Err(error) => {
                self.meter.malformed.add(1);
                tracing::debug!(%offset, %error, "an entry of the stream is dropped");
                None
            }
        }
    }
}
