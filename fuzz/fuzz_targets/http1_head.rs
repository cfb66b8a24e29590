//! The end of a head is found at the same place however far was looked before, and its kept lines are lines of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::http1::Method;
use limpet_proto::http1::head::find_end;
use limpet_proto::http1::request_head::{Lines, RequestHead, Slots};
use limpet_proto::http1::response_head::ResponseHead;

fuzz_target!(|bytes: &[u8]| {
    let whole = find_end(bytes, 0);
    for cut in 0..bytes.len() {
        if let Ok(None) = find_end(&bytes[..cut], 0) {
            assert_eq!(find_end(bytes, cut.saturating_sub(3)), whole, "looked at {cut} bytes before");
        }
    }
    let Ok(Some(end)) = whole else { return };
    let head = &bytes[..end];
    if let Ok(request) = RequestHead::parse(head, &mut Slots::new()) {
        check_lines(&request.lines, head);
        assert!(request.target.path_and_query.starts_with('/') || request.target.path_and_query == "*");
    }
    if let Ok(response) = ResponseHead::parse(head, Method::Get, &mut Slots::new()) {
        check_lines(&response.lines, head);
    }
});

fn check_lines(lines: &Lines<'_, '_>, head: &[u8]) {
    let mut copy = Vec::new();
    lines.copy_without(Default::default(), |_| false, &mut copy);
    assert!(head.ends_with(&[&copy, &b"\r\n"[..]].concat()), "all lines, in order and spelling");
    copy.clear();
    lines.copy_without(Default::default(), |_| true, &mut copy);
    assert!(copy.is_empty());
}
