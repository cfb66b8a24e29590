//! What routes do with their requests, and what they must not do.

use super::super::{ActionConfig, Draft, HeaderEdits, RouteConfig, remarks};
use super::{SMALL, load};

/// Reads a file with this route alone.
fn route(keys: &str) -> Result<RouteConfig, String> {
    let config = load(&format!("{SMALL}[[route]]\n{keys}\n"))?;
    Ok(config.routes.into_iter().next().expect("one route"))
}

#[test]
fn each_action_has_its_keys() {
    for (keys, said) in [
        ("upstream = \"app\"", "upstream app"),
        ("serve = \"redirect\"\nto = \"/new\"", "redirect 302 to /new"),
        (
            "serve = \"redirect\"\nto = \"https://%{authority}%{path}%{query}\"\nstatus = 308",
            "redirect 308 to https://%{authority}%{path}%{query}",
        ),
        ("serve = \"respond\"", "respond 200"),
        ("serve = \"respond\"\nstatus = 503\nbody = \"x\"\ncontent_type = \"text/html\"", "respond 503"),
    ] {
        assert_eq!(route(keys).unwrap().action.to_string(), said, "{keys}");
    }
}

#[test]
fn actions_that_make_no_sense_are_errors() {
    for (keys, expected) in [
        (
            "upstream = \"app\"\nserve = \"respond\"",
            "serve: a route has an upstream or serves something itself; leave one of them out",
        ),
        ("serve = \"file\"", "serve: unknown action \"file\"; use one of redirect, respond"),
        (
            "serve = \"redirect\"",
            "route[1]: serve = \"redirect\" lacks its place; write for example to = \"https://%{host}%{path}%{query}\"",
        ),
        ("upstream = \"app\"\nto = \"/\"", "to: has a meaning only with serve = \"redirect\""),
        (
            "upstream = \"app\"\nstatus = 200",
            "status: has a meaning only with serve = \"redirect\" or serve = \"respond\"",
        ),
        ("serve = \"redirect\"\nto = \"/\"\nbody = \"x\"", "body: has no meaning with serve = \"redirect\""),
        ("serve = \"respond\"\nto = \"/\"", "to: has no meaning with serve = \"respond\""),
        (
            "serve = \"redirect\"\nto = \"/\"\nstatus = 200",
            "status: 200 is not the status of a redirect; use 301, 302, 303, 307 or 308",
        ),
        (
            "serve = \"respond\"\nstatus = 101",
            "status: \"101\" is not a status that ends a request; use one from 200 to 599",
        ),
        ("serve = \"respond\"\nstatus = 204\nbody = \"x\"", "body: a response of status 204 has no body; leave it out"),
        (
            "serve = \"respond\"\ncontent_type = \"text/plain\\r\\nX: y\"",
            "is not a type; write for example \"text/html; charset=utf-8\"",
        ),
        ("serve = \"redirect\"\nto = \"/a\\r\\nX: y\"", "is not a place to redirect to"),
        ("serve = \"redirect\"\nto = \"javascript:x\"", "is not a place to redirect to"),
        (
            "serve = \"redirect\"\nto = \"//%{endpoint}\"",
            "\"%{endpoint}\" is not known here; use %{host}, %{authority}",
        ),
        ("serve = \"respond\"\nrequest_headers = { remove = [\"A\"] }", "changes requests that no endpoint sees"),
        (
            "serve = \"respond\"\nresponse_headers = { set = { A = \"%{endpoint}\" } }",
            "response_headers: names %{endpoint}, but no endpoint answers here",
        ),
    ] {
        let error = route(keys).expect_err(keys);
        assert!(error.contains(expected), "{keys}: {error}");
        assert_eq!(error.lines().count(), 1, "{keys}: {error}");
    }
}

#[test]
fn no_change_of_headers_can_break_a_message() {
    let longest = format!("set = {{ A = \"{}\" }}", "a".repeat(4097));
    for (edits, expected) in [
        ("set = { \"\" = \"x\" }", "\"\" is not the name of a header; write letters, digits and \"-\""),
        ("set = { \"a b\" = \"x\" }", "\"a b\" is not the name of a header"),
        ("set = { \"a:\" = \"x\" }", "\"a:\" is not the name of a header"),
        ("add = { \"a\\r\\nb\" = \"x\" }", "\"a\\r\\nb\" is not the name of a header"),
        ("remove = [\"ü\"]", "\"ü\" is not the name of a header"),
        ("set = { A = \"x\\r\\nB: y\" }", "'\\r' cannot stand in a header"),
        ("set = { A = \"x\\ny\" }", "'\\n' cannot stand in a header"),
        ("add = { A = [\"x\", \"\\u0000\"] }", "'\\0' cannot stand in a header"),
        ("set = { A = \"ü\" }", "'ü' cannot stand in a header"),
        ("set = { A = \" x\" }", "begins or ends with a space"),
        (longest.as_str(), "is longer than 4096 bytes"),
        ("set = { Connection = \"close\" }", "Connection belongs to the connection, and limpet writes it itself"),
        ("remove = [\"transfer-ENCODING\"]", "transfer-ENCODING belongs to the connection"),
        ("add = { Content-Length = 5 }", "Content-Length belongs to the connection"),
        ("remove = [\"Upgrade\"]", "Upgrade belongs to the connection"),
        ("set = { Sec-WebSocket-Accept = \"x\" }", "Sec-WebSocket-Accept belongs to the connection"),
        ("set = { A = \"x\" }, remove = [\"a\"]", "A is set and removed"),
        ("set = { A = \"x\", a = \"y\" }", "a is set twice"),
        ("set = [\"A: x\"]", "expected a table, found a list; write { X-Name = \"value\" }"),
        ("sett = { A = \"x\" }", "unknown key; did you mean \"set\"?"),
        ("set = { A = \"%{host}\" }", "\"%{host}\" is not known here; use %{client}"),
    ] {
        for side in ["request_headers", "response_headers"] {
            let error = route(&format!("upstream = \"app\"\n{side} = {{ {edits} }}")).expect_err(edits);
            assert!(error.contains(expected), "{edits}: {error}");
            assert_eq!(error.lines().count(), 1, "{edits}: {error}");
        }
    }
    for (edits, expected) in [
        ("request_headers = { remove = [\"Host\"] }", "every request has one Host; it can be set alone"),
        ("request_headers = { add = { host = \"a\" } }", "every request has one Host; it can be set alone"),
        ("request_headers = { set = { Host = \"a/b\" } }", "\"a/b\" is not a host"),
        ("request_headers = { set = { Host = \"\" } }", "\"\" is not a host"),
        ("request_headers = { set = { Accept-Encoding = \"gzip\" } }", "Accept-Encoding can only be removed"),
        ("request_headers = { set = { A = \"%{endpoint}\" } }", "\"%{endpoint}\" is not known here; use %{client}"),
        ("response_headers = { set = { Host = \"a\" } }", "Host is a header of requests"),
    ] {
        let error = route(&format!("upstream = \"app\"\n{edits}")).expect_err(edits);
        assert!(error.contains(expected), "{edits}: {error}");
    }
}

#[test]
fn changes_of_headers_are_read_in_their_order() {
    let keys = "upstream = \"app\"\nrequest_headers = { set = { Host = \"app.internal:80\" }, remove = \"A, B\" }\n\
        response_headers = { set = { X-B = \"b\", X-A = \"%%{a} %{endpoint}\" }, add = { Link = [\"</a>\", \"</b>\"] } }";
    let route = route(keys).unwrap();
    assert_eq!(route.request_headers, HeaderEdits::of(&[("Host", "app.internal:80")], &[], &["A", "B"]));
    let added = [("Link", "</a>"), ("Link", "</b>")];
    assert_eq!(route.response_headers, HeaderEdits::of(&[("X-B", "b"), ("X-A", "%%{a} %{endpoint}")], &added, &[]));
}

#[test]
fn a_balancer_that_only_answers_needs_no_upstream() {
    let text =
        "[listener.web]\nbind = \":80\"\n[[route]]\nserve = \"redirect\"\nto = \"https://%{host}%{path}%{query}\"\n";
    let config = load(text).unwrap();
    assert!(config.upstreams.is_empty() && remarks(&config).is_empty());
    assert!(matches!(config.routes[0].action, ActionConfig::Redirect(_)));
}

#[test]
fn a_limit_of_bodies_belongs_to_the_route_or_the_upstream() {
    let keys = "upstream = \"app\"\nmax_body = ";
    assert_eq!(route(&format!("{keys}\"20MiB\"")).unwrap().max_body_bytes, Some(20 * 1024 * 1024));
    assert_eq!(route(&format!("{keys}0")).unwrap().max_body_bytes, Some(0));
    assert_eq!(route("upstream = \"app\"").unwrap().max_body_bytes, None);
    let error = route(&format!("{keys}\"20MB\"")).unwrap_err();
    assert!(error.contains("\"20MB\" is not a size"), "{error}");
}

#[test]
fn the_environment_writes_no_lines_either() {
    let hostile = |name: &str| (name == "EVIL").then(|| "x\r\nX-Evil: 1".to_owned());
    for keys in [
        "upstream = \"app\"\nrequest_headers = { set = { A = \"${EVIL}\" } }",
        "upstream = \"app\"\nresponse_headers = { add = { A = \"${EVIL}\" } }",
        "upstream = \"app\"\nresponse_headers = { remove = [\"${EVIL}\"] }",
        "serve = \"redirect\"\nto = \"/${EVIL}\"",
        "serve = \"respond\"\ncontent_type = \"text/${EVIL}\"",
    ] {
        let text = format!("{SMALL}[[route]]\n{keys}\n");
        assert!(Draft::from_file("limpet.toml", &text, &hostile).check(&hostile).is_err(), "{keys}");
    }
}
