//! Reads a path as its endpoint may, so that no spelling of a path escapes its route.

use std::borrow::Cow;

/// Reads a path as its endpoint may: escapes of plain characters decoded, empty and dot segments resolved (RFC 3986
/// section 6.2.2). Only for matching, so that no spelling of a path escapes its route; the path travels as it is.
pub(crate) fn normalized(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && !path.contains("/.") && !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let decoded = decode(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        match segment {
            "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let ends_open = decoded.ends_with('/') || decoded.ends_with("/.") || decoded.ends_with("/..");
    let mut normalized = format!("/{}", segments.join("/"));
    if ends_open && normalized.len() > 1 {
        normalized.push('/');
    }
    Cow::Owned(normalized)
}

fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        decoded.push_str(&rest[..at]);
        let byte = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match byte {
            Some(byte @ 0x21..=0x7e) => {
                decoded.push(char::from(byte));
                rest = &rest[at + 3..];
            }
            _ => {
                decoded.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    decoded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_escapes_a_route() {
        for (path, read_as) in [
            ("/socket.io/", "/socket.io/"),
            ("/a/../socket.io/", "/socket.io/"),
            ("//socket.io//", "/socket.io/"),
            ("/%73ocket.io", "/socket.io"),
            ("/a/%2e%2e/b", "/b"),
            ("/a/%2e./b/.", "/b/"),
            ("/../../x", "/x"),
            ("/%zz%4", "/%zz%4"),
            ("/..", "/"),
        ] {
            assert_eq!(normalized(path), read_as, "{path}");
        }
    }
}
