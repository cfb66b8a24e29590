//! Decides when one side of the way to a stream counts as broken.

use std::sync::Arc;

use redis::RedisError;

use crate::health::Meter;

/// One side of the way to a stream.
pub(super) struct Trouble {
    meter: Arc<Meter>,
    part: &'static str,
    is_on: bool,
}

impl Trouble {
    pub(super) fn new(meter: Arc<Meter>, part: &'static str) -> Self {
        Self { meter, part, is_on: false }
    }

    /// Says whether it was broken when something was tried last.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    pub(super) fn begin(&mut self, error: &RedisError) {
        self.is_on = true;
        self.meter.begin(self.part, error);
    }

    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_on) {
            self.meter.end(self.part);
        }
    }
}

impl Drop for Trouble {
    /// Nobody tries any more.
    fn drop(&mut self) {
        self.end();
    }
}
