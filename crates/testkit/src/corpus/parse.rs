//! Reads the text of a corpus file; anything it does not know is an error with its line.

use std::fmt;

use super::{End, Entry, ExpectedRequest, Outcome, StatusRule, Step};

/// Where and why a corpus file is not well formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for ParseError {}

/// Reads the entries of one file; see the [module](super) for the format.
pub fn parse(text: &str) -> Result<Vec<Entry>, ParseError> {
    let mut entries = Vec::new();
    let mut last_line = 0;
    for (index, line) in text.lines().enumerate() {
        last_line = index + 1;
        let at = |why: String| ParseError { line: index + 1, why };
        if let Some(name) = line.strip_prefix("=== ") {
            if let Some(entry) = entries.last() {
                finished(entry).map_err(at)?;
            }
            entries.push(Entry { name: name.trim().to_owned(), ..Entry::default() });
            continue;
        }
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let entry = entries.last_mut().ok_or_else(|| at("stands before the first entry".to_owned()))?;
        add_line(entry, line).map_err(at)?;
    }
    if let Some(entry) = entries.last() {
        finished(entry).map_err(|why| ParseError { line: last_line, why })?;
    }
    Ok(entries)
}

fn finished(entry: &Entry) -> Result<(), String> {
    let missing = match entry {
        Entry { why, .. } if why.is_empty() => "reason",
        Entry { steps, .. } if steps.is_empty() => "bytes",
        Entry { outcomes, .. } if outcomes.is_empty() => "outcome",
        _ => return Ok(()),
    };
    Err(format!("the entry {:?} above has no {missing}", entry.name))
}

fn add_line(entry: &mut Entry, line: &str) -> Result<(), String> {
    if let Some(raw) = line.strip_prefix('|') {
        if !entry.outcomes.is_empty() {
            return Err("bytes after an outcome".to_owned());
        }
        let bytes = unescape(raw.strip_prefix(' ').unwrap_or(raw))?;
        match entry.steps.last_mut() {
            Some(Step::Send(before)) => before.extend(bytes),
            _ => entry.steps.push(Step::Send(bytes)),
        }
        return Ok(());
    }
    let line = line.trim();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let request = || {
        let request = entry.outcomes.last().and_then(|outcome| outcome.sees.last());
        request.ok_or_else(|| format!("{word:?} belongs below a request"))
    };
    match word {
        "why" if entry.why.is_empty() => rest.clone_into(&mut entry.why),
        "why" => entry.why = format!("{} {rest}", entry.why),
        "differs" if !rest.is_empty() => rest.clone_into(&mut entry.differs),
        "await" => entry.steps.push(Step::Await(status(rest)?)),
        "finish" => entry.steps.push(Step::Finish),
        "answers" => entry.outcomes.push(answers(rest)?),
        // The next `answers` line begins the alternative by itself; the word is for the reader.
        "or" => {}
        "sees" | "aborts" => {
            let expected = expected_request(rest, word == "sees")?;
            entry.outcomes.last_mut().ok_or("a request before the answers")?.sees.push(expected);
        }
        "has" | "lacks" => {
            request()?;
            let request = entry.outcomes.last_mut().and_then(|outcome| outcome.sees.last_mut());
            add_field(request.ok_or("a field before a request")?, word == "has", rest)?;
        }
        _ => return Err(format!("unknown word {word:?}")),
    }
    Ok(())
}

fn add_field(request: &mut ExpectedRequest, has: bool, rest: &str) -> Result<(), String> {
    if has {
        let (name, value) = rest.split_once(':').ok_or("a field has the form NAME: VALUE")?;
        request.has.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    } else {
        request.lacks.push(rest.trim().to_ascii_lowercase());
    }
    Ok(())
}

fn answers(rest: &str) -> Result<Outcome, String> {
    let (statuses, end) = rest.split_once(" then ").ok_or("answers need `then` and an end")?;
    let end = match end.trim() {
        "open" => End::Open,
        "closed" => End::Closed,
        "any" => End::Any,
        "tunnel" => End::Tunnel,
        other => return Err(format!("unknown end {other:?}")),
    };
    let words = statuses.split_whitespace().filter(|word| *word != "none");
    let answers = words.map(status_rule).collect::<Result<_, _>>()?;
    Ok(Outcome { answers, end, sees: Vec::new() })
}

fn status_rule(word: &str) -> Result<StatusRule, String> {
    let (to_head, word) = word.strip_prefix("head:").map_or((false, word), |rest| (true, rest));
    let (optional, word) = word.strip_suffix('?').map_or((false, word), |rest| (true, rest));
    let statuses = word.split('|').map(status).collect::<Result<_, _>>()?;
    Ok(StatusRule { statuses, to_head, optional })
}

fn status(word: &str) -> Result<u16, String> {
    let status = word.parse().ok().filter(|status| (100..600).contains(status));
    status.ok_or_else(|| format!("bad status {word:?}"))
}

fn expected_request(rest: &str, complete: bool) -> Result<ExpectedRequest, String> {
    let words: Vec<_> = rest.split_whitespace().collect();
    let (method, target, body_bytes) = match (words.as_slice(), complete) {
        ([method, target, length], true) => {
            (method, target, Some(length.parse().map_err(|_| format!("bad length {length:?}"))?))
        }
        ([method, target], false) => (method, target, None),
        _ => return Err("a request is METHOD TARGET LENGTH, an aborted one METHOD TARGET".to_owned()),
    };
    let (method, target) = ((*method).to_owned(), (*target).to_owned());
    Ok(ExpectedRequest { method, target, body_bytes, has: Vec::new(), lacks: Vec::new() })
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(rest.get(..at).unwrap_or_default().as_bytes());
        let escape = rest.get(at + 1..).unwrap_or_default();
        let Some(kind) = escape.chars().next() else { return Err("a single backslash at the end".to_owned()) };
        rest = escape.get(kind.len_utf8()..).unwrap_or_default();
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).ok_or("\\x needs two digits")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| format!("bad escape \\x{digits}"))?);
                rest = rest.get(2..).unwrap_or_default();
            }
            '{' => {
                let (repetition, after) = rest.split_once('}').ok_or("\\{ without }")?;
                let (count, text) = repetition.split_once('*').ok_or("a repetition is \\{COUNT*TEXT}")?;
                let count = count.parse().map_err(|_| format!("bad count {count:?}"))?;
                bytes.extend(unescape(text)?.repeat(count));
                rest = after;
            }
            other => return Err(format!("unknown escape \\{other}")),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_whole() {
        let text = "# c\n=== a\nwhy One\nwhy two.\n| GET / HTTP/1.1\\r\\n\n|  x\\x41\\{3*b\\t}\nawait 100\n| b\nfinish\n\
                    answers 100? head:200|404 then open\nsees HEAD / 0\n  has Host: a:1\n  lacks TE\nor\n\
                    answers none then closed\naborts HEAD /\n";
        let entry = parse(text).unwrap().remove(0);
        assert_eq!((entry.name.as_str(), entry.why.as_str()), ("a", "One two."));
        let head = b"GET / HTTP/1.1\r\n xAb\tb\tb\t".to_vec();
        assert_eq!(entry.steps, [Step::Send(head), Step::Await(100), Step::Send(b"b".to_vec()), Step::Finish]);
        let [first, second] = entry.outcomes.as_slice() else { panic!("{:?}", entry.outcomes) };
        assert_eq!((first.end, first.least_answers(), first.is_to_head(0)), (End::Open, 1, true));
        assert_eq!(first.answers[1].statuses, [200, 404]);
        assert_eq!(first.sees[0].has, [("host".to_owned(), "a:1".to_owned())]);
        assert_eq!(first.sees[0].lacks, ["te"]);
        assert_eq!((second.end, second.least_answers(), second.sees[0].body_bytes), (End::Closed, 0, None));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"a\r\n\t\0\\\xfFé").unwrap(), b"a\r\n\t\0\\\xff\xc3\xa9");
        assert_eq!(unescape(r"\{2*\x0a,}!").unwrap(), b"\n,\n,!");
        for bad in [r"\", r"\q", r"\x4", r"\xzz", r"\{3*a", r"\{3a}", r"\{x*a}"] {
            assert!(unescape(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line) in [
            ("why w", 1),
            ("=== a\nwhat", 2),
            ("=== a\nwhy w\n| x\n=== b", 4),
            ("=== a\nwhy w\n| x\nanswers 200 then open\n| y", 5),
            ("=== a\nwhy w\nanswers 200", 3),
            ("=== a\nwhy w\nanswers 99 then open", 3),
            ("=== a\nwhy w\nanswers 200 then later", 3),
            ("=== a\nwhy w\nsees GET / 0", 3),
            ("=== a\nwhy w\n| x\nanswers 200 then open\nhas a: b", 5),
            ("=== a\nwhy w\n| x\nanswers 200 then open\nsees GET /", 5),
            ("=== a\nwhy w\n| x\nanswers 200 then open\naborts GET / 0", 5),
            ("=== a\n| x\nanswers 200 then open", 3),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
