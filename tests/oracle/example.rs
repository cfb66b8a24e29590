//! An example of `deploy/examples/`: the original configuration and its restatement, with the test's addresses.

use std::fs;
use std::path::Path;

use limpet_testkit::oracle::Recorders;

use crate::With;
use crate::program::Program;

/// Both texts of an example.
#[derive(Debug)]
pub(crate) struct Example {
    /// The folder.
    pub(crate) name: &'static str,
    original_file: &'static str,
    original: String,
    limpet: String,
}

impl Example {
    /// Reads an example.
    pub(crate) fn read(name: &'static str, original_file: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples").join(name);
        let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap();
        Self { name, original_file, original: read(original_file), limpet: read("limpet.toml") }
    }

    /// Puts the recorders, whose names are the addresses in both texts, in their places.
    pub(crate) fn endpoints(mut self, recorders: &Recorders, port: &str) -> Self {
        for recorder in recorders.all() {
            let address = recorder.address.to_string();
            let in_original = format!("{}{}", recorder.name(), port);
            let in_limpet = format!("\"{}\"", recorder.name().to_owned() + if port.is_empty() { ":80" } else { port });
            self = self.original(&in_original, &address).limpet(&in_limpet, &format!("\"{address}\""));
        }
        self
    }

    /// Replaces a text of the original, which must be there.
    #[track_caller]
    pub(crate) fn original(mut self, from: &str, to: &str) -> Self {
        assert!(self.original.contains(from), "{} has no {from:?}", self.original_file);
        self.original = self.original.replace(from, to);
        self
    }

    /// Replaces a text of the restatement, which must be there.
    #[track_caller]
    pub(crate) fn limpet(mut self, from: &str, to: &str) -> Self {
        assert!(self.limpet.contains(from), "limpet.toml of {} has no {from:?}", self.name);
        self.limpet = self.limpet.replace(from, to);
        self
    }

    /// Starts the original and what it is compared with.
    pub(crate) fn start(&self, with: With) -> [Program; 2] {
        let original = || Program::original(self.original_file, &self.original);
        [original(), if with == With::Itself { original() } else { Program::limpet(&self.limpet) }]
    }
}
