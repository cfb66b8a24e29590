//! Decides how the parameters of a query string and of a form are read, as browsers write them.

use std::borrow::Cow;

/// The parameters of a query string, decoded: `+` is a space, broken escapes stay, what is not UTF-8 is replaced.
#[derive(Debug, Clone)]
pub(super) struct Pairs<'a>(&'a str);

impl<'a> Pairs<'a> {
    /// Begins to read a query string without its question mark.
    pub(super) fn new(query: &'a str) -> Self {
        Self(query)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Cow<'a, str>, Cow<'a, str>);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            let (pair, behind) = split(self.0, b'&');
            self.0 = behind;
            if !pair.is_empty() {
                let (name, value) = split(pair, b'=');
                return Some((decode(name), decode(value)));
            }
        }
        None
    }
}

/// Returns what is in front of an ASCII character and behind it; all of a text that has none is in front.
fn split(text: &str, at: u8) -> (&str, &str) {
    let front = memchr::memchr(at, text.as_bytes());
    front.and_then(|front| Some((text.get(..front)?, text.get(front + 1..)?))).unwrap_or((text, ""))
}

/// Decodes escapes and plus signs.
fn decode(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        out.push(match (first, behind) {
            (b'+', _) => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => first,
            },
            _ => first,
        });
    }
    match String::from_utf8(out) {
        Ok(text) => Cow::Owned(text),
        Err(error) => Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_browsers_write() {
        let pairs: Vec<_> = Pairs::new("a=1&&b=%C3%9F+%2b&c&=d&e=f=g&%zz=%4").collect();
        let expected = [("a", "1"), ("b", "ß +"), ("c", ""), ("", "d"), ("e", "f=g"), ("%zz", "%4")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(Pairs::new("").count(), 0);
        assert_eq!(Pairs::new("a=%ff").next().unwrap().1, "\u{fffd}");
    }
}
