//! Cuts one HTTP/1.x answer out of a buffer, refusing whatever is not exactly framed.

/// Which request an answer belongs to, as far as its framing depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    /// A HEAD request: the answer never has a body.
    Head,
    /// Any other method.
    Other,
}

/// What delimited the body of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none: 1xx, 204, 304 or an answer to HEAD.
    None,
    /// Content-Length.
    Length,
    /// The chunked coding; the body is given decoded.
    Chunked,
    /// The end of the connection.
    Close,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The minor version of HTTP/1.x.
    pub minor_version: u8,
    /// The status code.
    pub status: u16,
    /// Names in lower case and trimmed values, in the order of arrival.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// How the body was framed.
    pub framing: Framing,
}

impl Response {
    /// The first value of the field `name` (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The body as text, for comparison in tests.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Takes one complete answer from the front of `buffer`; `None` while it is incomplete. `ended` says that no byte will
/// follow. The error says why the bytes cannot be an answer.
pub fn take(buffer: &mut Vec<u8>, answers: Answers, ended: bool) -> Result<Option<Response>, String> {
    let Some(head_end) = find(buffer, b"\r\n\r\n") else {
        let start = buffer.get(..5.min(buffer.len())).unwrap_or_default();
        if !b"HTTP/".starts_with(start) {
            return Err(format!("starts with {}", buffer.escape_ascii()));
        }
        return Ok(None);
    };
    let (head, rest) = buffer.split_at(head_end + 4);
    let (minor_version, status, headers) = parse_head(head.get(..head_end).unwrap_or_default())?;
    let mut response = Response { minor_version, status, headers, body: Vec::new(), framing: Framing::None };
    response.framing = framing_of(&response, answers)?;
    let used = match response.framing {
        Framing::None => Some(0),
        Framing::Length => {
            let length = parse_length(response.header("content-length").unwrap_or_default())?;
            rest.get(..length).map(|body| {
                response.body = body.to_vec();
                length
            })
        }
        Framing::Chunked => take_chunks(rest)?.map(|(body, used)| {
            response.body = body;
            used
        }),
        Framing::Close => ended.then(|| {
            response.body = rest.to_vec();
            rest.len()
        }),
    };
    let Some(used) = used else { return Ok(None) };
    buffer.drain(..head_end + 4 + used);
    Ok(Some(response))
}

type Head = (u8, u16, Vec<(String, String)>);

fn parse_head(head: &[u8]) -> Result<Head, String> {
    let text = std::str::from_utf8(head).map_err(|_| format!("head is not text: {}", head.escape_ascii()))?;
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let bad = || format!("bad status line {status_line:?}");
    let rest = status_line.strip_prefix("HTTP/1.").ok_or_else(bad)?;
    let mut parts = rest.splitn(3, ' ');
    let minor_version = parts.next().and_then(|part| part.parse().ok()).ok_or_else(bad)?;
    let status = parts.next().filter(|part| part.len() == 3).and_then(|part| part.parse().ok()).ok_or_else(bad)?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(|| format!("bad field line {line:?}"))?;
        if name.is_empty() || name.contains([' ', '\t']) || line.contains(['\r', '\n', '\0']) {
            return Err(format!("bad field line {line:?}"));
        }
        headers.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok((minor_version, status, headers))
}

fn framing_of(response: &Response, answers: Answers) -> Result<Framing, String> {
    let count = |name: &str| response.headers.iter().filter(|(field, _)| field == name).count();
    if count("content-length") > 1 || count("content-length") + count("transfer-encoding") > 1 {
        return Err("more than one statement of the length".to_owned());
    }
    if answers == Answers::Head || matches!(response.status, 100..=199 | 204 | 304) {
        return Ok(Framing::None);
    }
    match (response.header("transfer-encoding"), response.header("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
        (Some(coding), _) => Err(format!("transfer coding {coding:?}")),
        (None, Some(_)) => Ok(Framing::Length),
        (None, None) => Ok(Framing::Close),
    }
}

fn parse_length(value: &str) -> Result<usize, String> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("bad Content-Length {value:?}"));
    }
    value.parse().map_err(|_| format!("bad Content-Length {value:?}"))
}

/// The decoded body and the count of bytes used, or `None` while the last chunk is missing.
pub(crate) fn take_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let mut body = Vec::new();
    let mut used = 0;
    while let Some(chunk) = take_chunk(bytes.get(used..).unwrap_or_default())? {
        used += chunk.used;
        match chunk.data {
            Some(data) => body.extend_from_slice(data),
            None => return Ok(Some((body, used))),
        }
    }
    Ok(None)
}

/// One chunk of a body.
pub(crate) struct Chunk<'a> {
    /// What it carries; `None` for the last one, whose trailers are dropped.
    pub(crate) data: Option<&'a [u8]>,
    /// The length of the whole.
    pub(crate) used: usize,
}

/// Reads the chunk that these bytes begin with; `None` when it is not complete.
pub(crate) fn take_chunk(bytes: &[u8]) -> Result<Option<Chunk<'_>>, String> {
    let Some(line_end) = find(bytes, b"\r\n") else { return Ok(None) };
    let line = String::from_utf8_lossy(bytes.get(..line_end).unwrap_or_default()).into_owned();
    let size = line.split(';').next().unwrap_or_default();
    let size = usize::from_str_radix(size, 16).map_err(|_| format!("bad chunk size {line:?}"))?;
    if size == 0 {
        // Trailers end with an empty line, which may come at once.
        let trailers = bytes.get(line_end..).unwrap_or_default();
        return Ok(find(trailers, b"\r\n\r\n").map(|end| Chunk { data: None, used: line_end + end + 4 }));
    }
    let (start, end) = (line_end + 2, (line_end + 2).saturating_add(size));
    let Some(data) = bytes.get(start..end.saturating_add(2)) else { return Ok(None) };
    match data.strip_suffix(b"\r\n") {
        Some(data) => Ok(Some(Chunk { data: Some(data), used: end + 2 })),
        None => Err("chunk without a line end".to_owned()),
    }
}

pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes: &[u8]) -> Result<Option<Response>, String> {
        take(&mut bytes.to_vec(), Answers::Other, false)
    }

    #[test]
    fn chunks_are_decoded_and_trailers_dropped() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: x\r\n\r\nmore";
        let mut buffer = bytes.to_vec();
        let response = take(&mut buffer, Answers::Other, false).unwrap().unwrap();
        assert_eq!(response.text(), "abc0123456789");
        assert_eq!(buffer, b"more");
    }

    #[test]
    fn any_prefix_of_an_answer_is_incomplete() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"[..],
            b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        ] {
            for end in 0..bytes.len() {
                assert_eq!(one(&bytes[..end]), Ok(None), "{}", bytes[..end].escape_ascii());
            }
            assert_eq!(one(bytes).unwrap().unwrap().body, b"abc");
        }
    }

    #[test]
    fn a_body_without_a_length_lasts_until_the_end() {
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec();
        assert_eq!(take(&mut bytes.clone(), Answers::Other, false), Ok(None));
        assert_eq!(take(&mut { bytes }, Answers::Other, true).unwrap().unwrap().body, b"abc");
    }

    #[test]
    fn ambiguous_or_broken_answers_are_refused() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
            b"garbage",
        ] {
            assert!(one(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }
}
