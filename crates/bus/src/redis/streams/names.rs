//! Decides which stream a namespace has, and how its channels are called, as `@socket.io/redis-streams-adapter` does.
//!
//! With several streams Node's hash chooses one. It can be negative, and then so is the number of the stream
//! (`socket.io--3`): Node's nodes write there and read nothing. Ours read those streams too.

use std::ops::RangeInclusive;

use crate::node::NodeId;

/// How streams and channels are named.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    stream: String,
    count: i32,
    prefix: String,
}

impl Names {
    /// `count` is the number of streams, at least 1.
    pub(in crate::redis) fn new(stream: &str, count: u16, prefix: &str) -> Self {
        Self { stream: stream.to_owned(), count: i32::from(count.max(1)), prefix: prefix.to_owned() }
    }

    /// The numbers of all streams that a namespace may have.
    fn numbers(&self) -> RangeInclusive<i32> {
        1 - self.count..=self.count - 1
    }

    /// The names of all streams that a namespace may have.
    pub(in crate::redis) fn all(&self) -> Vec<String> {
        self.numbers().map(|number| self.name(number)).collect()
    }

    /// The place of a namespace's stream among [`all`](Self::all).
    pub(in crate::redis) fn index(&self, namespace: &str) -> usize {
        // Both are below the count of streams by amount.
        usize::try_from(hash(namespace) % self.count - self.numbers().start()).unwrap_or_default()
    }

    /// The stream of a namespace.
    pub(in crate::redis) fn stream(&self, namespace: &str) -> String {
        self.name(hash(namespace) % self.count)
    }

    fn name(&self, number: i32) -> String {
        if self.count == 1 { self.stream.clone() } else { format!("{}-{number}", self.stream) }
    }

    /// The channel for all nodes of a namespace.
    pub(in crate::redis) fn public(&self, namespace: &str) -> String {
        format!("{}#{namespace}#", self.prefix)
    }

    /// The channel for answers to one node.
    pub(in crate::redis) fn private(&self, namespace: &str, node: &NodeId) -> String {
        format!("{}#{namespace}#{node}#", self.prefix)
    }

    /// The namespaces that a channel may be of, and the node whose own channel it then is. More than one if there are
    /// more `#` in it than two.
    pub(in crate::redis) fn places<'a>(&self, channel: &'a str) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let names = channel.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_prefix('#')).unwrap_or_default();
        names.match_indices('#').filter_map(|(end, _)| {
            let node = &names[end + 1..];
            if node.is_empty() {
                return Some((&names[..end], None));
            }
            Some((&names[..end], Some(node.strip_suffix('#').filter(|node| !node.is_empty())?)))
        })
    }
}

/// Java's hash of a text, over UTF-16 as in JavaScript.
fn hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_the_streams_that_node_gives_them() {
        // What Node's `hashCode(name) % 4` and `% 3` are.
        for (namespace, of_4, of_3) in
            [("/", 3, 2), ("/chat", 3, 1), ("/dashboard", -3, -1), ("/größe", 2, 0), ("/🐚", 0, 0), ("", 0, 0)]
        {
            for (count, number) in [(4, of_4), (3, of_3)] {
                let names = Names::new("s", count, "c");
                assert_eq!(names.stream(namespace), format!("s-{number}"), "{namespace} of {count}");
                assert_eq!(names.all()[names.index(namespace)], names.stream(namespace));
            }
        }
        let one = Names::new("socket.io", 1, "c");
        assert_eq!(
            (one.all(), one.stream("/dashboard"), one.index("/dashboard")),
            (vec!["socket.io".to_owned()], "socket.io".to_owned(), 0)
        );
        assert_eq!(Names::new("s", 3, "c").all(), ["s--2", "s--1", "s-0", "s-1", "s-2"]);
    }

    #[test]
    fn channels_say_their_namespace() {
        let names = Names::new("s", 1, "socket.io");
        let node = NodeId::from("abc");
        assert_eq!(names.public("/chat"), "socket.io#/chat#");
        assert_eq!(names.private("/chat", &node), "socket.io#/chat#abc#");
        let places = |channel| names.places(channel).collect::<Vec<_>>();
        assert_eq!(places("socket.io#/chat#"), [("/chat", None)]);
        assert_eq!(places("socket.io#/chat#abc#"), [("/chat", Some("abc")), ("/chat#abc", None)]);
        for foreign in ["other#/chat#", "socket.io", "socket.io#/chat"] {
            assert_eq!(places(foreign), [], "{foreign}");
        }
        let marked = Names::new("s", 1, "my#key");
        assert_eq!(marked.places(&marked.private("/a#b", &node)).nth(1), Some(("/a#b", Some("abc"))));
    }
}
