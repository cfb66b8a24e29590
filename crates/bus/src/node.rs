//! Decides how a node is named.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a node: of one server among those that are joined. Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct NodeId(Arc<str>);

/// With what names begin of those who do not say their own.
const NAMELESS: &str = "nameless ";

impl NodeId {
    /// Makes a name of 16 random hexadecimal digits, as Node's cluster adapters do.
    pub fn random() -> Self {
        Self(format!("{:016x}", random_u64()).into())
    }

    /// Makes a name for one that does not say its own; nobody else has it.
    pub(crate) fn nameless(number: u64) -> Self {
        Self(format!("{NAMELESS}{number}").into())
    }

    /// Returns whether it is the name of one that does not say its own.
    pub(crate) fn is_nameless(&self) -> bool {
        self.0.starts_with(NAMELESS)
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for NodeId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for NodeId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.as_str().to_owned()
    }
}

/// Returns 64 random bits; a system without a source of randomness counts instead, which is unique enough for names.
pub(crate) fn random_u64() -> u64 {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    getrandom::u64().unwrap_or_else(|_| {
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        u64::from(std::process::id()) << 32 | count
    })
}
