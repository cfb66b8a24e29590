use super::*;
use crate::config::Draft;

/// Reads the conditions of a route.
fn when(conditions: &str) -> Result<Condition, String> {
    let text = format!(
        "[listener.a]\nbind = \":1\"\n[upstream.app]\nendpoints = [\"a:1\"]\n[[route]]\nupstream = \"app\"\n{conditions}\n"
    );
    let nothing = |_: &str| None;
    let config = Draft::from_file("test", &text, &nothing).check(&nothing).map_err(|errors| errors.to_string())?;
    Ok(config.routes.into_iter().next().expect("one route").when)
}

#[test]
fn conditions_are_said_as_they_are_meant() {
    for (conditions, said) in [
        ("", "everything"),
        ("host = [\"a\", \"ws*\", \"*.B\"]", "(host a or host ws* or host *.b)"),
        ("path_prefix = \"/a?b\"", "(path /a, query b*)"),
        ("header = \"Upgrade: websocket\"\nmethod = \"GET\"", "header Upgrade: websocket, method GET"),
        ("source = \"10.0.0.0/8, ::1\"", "source 10.0.0.0/8 or ::1/128"),
        ("not = { query = \"a=b\", path = \"/\" }", "not (query a=b, path /)"),
        ("any = [{ header = \"A: b*\" }, { header = \"A\", query = \"q\" }]", "(header A: b* or (header A, query q))"),
    ] {
        assert_eq!(when(conditions).unwrap().to_string(), said, "{conditions}");
    }
}

#[test]
fn what_one_condition_implies() {
    for (this, other, implied) in [
        ("path = \"/a/b\"", "path_prefix = \"/a\"", true),
        ("path_prefix = \"/a\"", "path = \"/a\"", false),
        ("host = \"ws.a.b\"", "host = \"*.b\"", true),
        ("host = \"ws.a.b\"", "host = \"ws*\"", true),
        ("host = \"ws*\"", "host = \"w*\"", true),
        ("host = \"w*\"", "host = \"ws*\"", false),
        ("header = \"Upgrade: WebSocket\"", "header = \"upgrade: web*\"", true),
        ("header = \"Upgrade: websocket\"", "header = \"upgrade\"", true),
        ("header = \"Upgrade\"", "header = \"Upgrade: websocket\"", false),
        ("query = \"a=b\"", "query = \"a\"", true),
        ("source = \"10.1.0.0/16\"", "source = [\"::/0\", \"10.0.0.0/8\"]", true),
        ("source = [\"10.1.0.0/16\", \"::1\"]", "source = \"10.0.0.0/8\"", false),
        ("path = \"/a\"", "any = [{ path = \"/a\" }, { path = \"/b\" }]", true),
        ("any = [{ path = \"/a\" }, { path = \"/b\" }]", "path_prefix = \"/\"", true),
        ("any = [{ path = \"/a\" }, { path = \"/b\" }]", "path = \"/a\"", false),
        ("any = [{ path = \"/a\" }, { path = \"/b\" }]", "path = [\"/b\", \"/a\", \"/c\"]", true),
        ("not = { path_prefix = \"/a\" }", "not = { path = \"/a/b\" }", true),
        ("not = { path = \"/a/b\" }", "not = { path_prefix = \"/a\" }", false),
        ("path = \"/a\"\nmethod = \"GET\"", "method = [\"GET\", \"POST\"]", true),
        ("", "path_prefix = \"/\"", false),
        ("path_prefix = \"/\"", "", true),
    ] {
        assert_eq!(when(this).unwrap().implies(&when(other).unwrap()), implied, "{this} -> {other}");
    }
}

#[test]
fn conditions_that_cannot_hold_are_errors() {
    for (conditions, expected) in [
        (
            "path = \"/a//b\"",
            "path: \"/a//b\" is never met, since paths are compared in their plain form; write \"/a/b\"",
        ),
        ("path = \"/%61\"", "path: \"/%61\" is never met, since paths are compared in their plain form; write \"/a\""),
        ("path = \"/a?b\"", "path: \"/a?b\" is not a path; leave out \"?\", \"#\", spaces and control characters"),
        (
            "path = \"/a\"\npath_prefix = \"/b\"",
            "path: holds for no request; path /a does not begin with path_prefix /b",
        ),
        (
            "path_prefix = \"/a?b c\"",
            "path_prefix: \"/a?b c\" is no path and query; write them as clients send them, percent-encoded",
        ),
        ("host = \"*\"", "host: \"*\" is not a host; leave host out to match every host"),
        ("host = \"a*b\"", "host: \"a*b\" is not a host; write a name such as \"example.com\" or \"*.example.com\""),
        (
            "header = \"a b: c\"",
            "header: \"a b: c\" is not a header; write \"Name\", \"Name: value\" or \"Name: beginning*\"",
        ),
        (
            "header = \": c\"",
            "header: \": c\" is not a header; write \"Name\", \"Name: value\" or \"Name: beginning*\"",
        ),
        ("header = \"A: b\\nc\"", "header: \"A: b\\nc\" holds a control character, which no header can have"),
        ("method = \"get\"", "method: \"get\" is never met, since methods are in capitals; write \"GET\""),
        ("method = \"G T\"", "method: \"G T\" is not a method; write for example \"GET\""),
        ("query = \"?a\"", "query: \"?a\" is not a query parameter; write \"name\" or \"name=value\""),
        ("query = \"a=1&b\"", ""),
        ("query = \"\"", "query: \"\" is not a query parameter; write \"name\" or \"name=value\""),
        ("host = []", "host: is empty and holds for no request; leave it out"),
        ("any = []", "any: is empty; name at least one condition"),
        ("any = [{}]", "any[1]: is empty; name at least one condition"),
        ("not = {}", "not: is empty; name at least one condition"),
        ("not = \"a\"", "not: expected a table, found a string; write { path_prefix = \"/socket.io\" }"),
        ("not = { hosts = \"a\" }", "not.hosts: unknown key; did you mean \"host\"?"),
        ("not = { to = \"a\" }", "not.to: unknown key here; it belongs in [[route]]"),
    ] {
        match when(conditions) {
            Err(error) => assert!(error.ends_with(&format!("route[1].{expected}")), "{conditions}: {error}"),
            Ok(_) => assert_eq!(expected, "", "{conditions}"),
        }
    }
}

#[test]
fn conditions_lie_in_each_other_to_a_bounded_depth() {
    let nested =
        |depth: usize| format!("not = {}{{ path = \"/\" }}{}", "{ not = ".repeat(depth - 1), " }".repeat(depth - 1));
    assert!(when(&nested(7)).is_ok());
    let error = when(&nested(8)).unwrap_err();
    assert!(error.contains("lies deeper than 8 conditions in each other"), "{error}");
    assert!(when(&nested(60)).is_err());
}
