//! How the parts of a configuration file describe themselves: titles, keys, defaults and meanings.

/// A table of the file: where it stands and which keys it has.
pub(super) struct Part {
    /// How errors name it.
    pub(super) title: &'static str,
    /// The line that begins it in the printed file; empty if it has none.
    pub(super) header: &'static str,
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
}

impl Part {
    /// Tells whether the table may have this key.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.keys.iter().any(|key| key.name == name)
    }

    /// Returns the names of the keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

/// A key of a table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) doc: &'static str,
}

/// What stands in the printed file for a key.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// The value that counts when the key is left out.
    Default(&'static str),
    /// The key has no default; this is how one could look.
    Example(&'static str),
    /// The key must be given.
    Required(&'static str),
    /// A table that is printed as a part of its own, or with its list.
    Table,
}

/// A key that has a default.
pub(super) const fn default(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Default(value), doc }
}

/// A key without a default, with an example.
pub(super) const fn example(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Example(value), doc }
}

/// A key that must be given.
pub(super) const fn required(name: &'static str, value: &'static str, doc: &'static str) -> Key {
    Key { name, kind: Kind::Required(value), doc }
}

/// A key that is explained elsewhere.
pub(super) const fn table(name: &'static str) -> Key {
    Key { name, kind: Kind::Table, doc: "" }
}
