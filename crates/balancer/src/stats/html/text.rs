//! How numbers and names are written for people.

use std::fmt::{Display, Write as _};

/// Text that may stand anywhere in the page.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() => f.write_str(" ")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Writes a number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

pub(super) fn short_bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 10 * 1024 {
        return format!("{} B", grouped(bytes));
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", units.get(unit).copied().unwrap_or_default())
}

/// Writes a time as people say it: its two largest units.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((grouped(0), grouped(123), grouped(1000)), ("0".into(), "123".into(), "1\u{202f}000".into()));
        assert_eq!((short_bytes(10 * 1024), short_bytes(3 << 30)), ("10.0 KiB".into(), "3.0 GiB".into()));
        assert_eq!(
            (span(59), span(61), span(7260), span(90_000)),
            ("59s".into(), "1m1s".into(), "2h1m".into(), "1d1h".into())
        );
    }

    #[test]
    fn markup_in_text_is_text() {
        let written = Escaped("</th><script>alert('1')&\"\n").to_string();
        assert_eq!(written, "&lt;/th&gt;&lt;script&gt;alert(&#39;1&#39;)&amp;&quot; ");
    }
}
