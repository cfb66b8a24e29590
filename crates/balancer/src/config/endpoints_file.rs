//! `endpoints_file`: a file of endpoints, which is watched while the balancer runs.

use toml::de::DeTable;

use super::environment::Lookup;
use super::error::ConfigErrors;
use super::journal::Journal;
use super::part::{Part, table};
use super::reader::{Reader, unread};
use super::{EndpointConfig, endpoint, json, repetitions};

/// The one key of the file.
const KEY: &str = "endpoints";

const PART: Part = Part { title: "the file of endpoints", header: "", doc: "", keys: &[table(KEY)] };

/// Reads the text of a file of endpoints: JSON if its name ends in `.json`, else TOML. Both have the list `endpoints`, as
/// `[upstream.NAME]` has it; JSON may be that list alone.
///
/// # Errors
/// Every error of the file, with its line.
pub fn read_endpoints(name: &str, text: &str, lookup: Lookup<'_>) -> Result<Vec<EndpointConfig>, ConfigErrors> {
    let mut journal = Journal::default();
    journal.begin_file(name);
    let mut endpoints = None;
    let mut reader = Reader::new(text, lookup, &mut journal);
    let mut take = |reader: &mut Reader<'_>, table: &DeTable<'_>| {
        reader.part(&PART, "", table, |reader, entry| match entry.key {
            KEY => endpoint::read(reader, entry, endpoints.insert(Vec::new())),
            _ => unread(reader, entry),
        });
    };
    let is_json = name.len() > 5 && name.as_bytes()[name.len() - 5..].eq_ignore_ascii_case(b".json");
    if is_json {
        match json::parse(text, KEY) {
            Ok(table) => take(&mut reader, &table),
            Err((offset, message)) => reader.complain_at_offset(offset, message),
        }
    } else {
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            take(&mut reader, table.get_ref());
        } else {
            reader.complain_about_syntax(&errors);
        }
    }
    let endpoints = endpoints.unwrap_or_else(|| {
        // A file that is being written may be empty for a moment; that must not take every endpoint away.
        if !journal.has_any_error() {
            journal.complain("", "lacks its list; write endpoints = [\"app01:3000\"], or endpoints = [] for none");
        }
        Vec::new()
    });
    for (n, message) in repetitions(&endpoints) {
        journal.complain(&format!("{KEY}[{n}]"), message);
    }
    match journal.into_errors() {
        None => Ok(endpoints),
        Some(errors) => Err(errors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdminState;

    fn read(name: &str, text: &str) -> Result<Vec<EndpointConfig>, String> {
        read_endpoints(name, text, &|_| None).map_err(|errors| errors.to_string())
    }

    fn expected() -> Vec<EndpointConfig> {
        let two = EndpointConfig {
            id: Some("two".into()),
            weight: 5,
            backup: true,
            state: AdminState::Drain,
            ..EndpointConfig::new("app02", 3000)
        };
        vec![EndpointConfig::new("app01", 3000), two, EndpointConfig::service("_http._tcp.app")]
    }

    #[test]
    fn toml_and_json_say_the_same() {
        let toml = r#"endpoints = [
            "app01:3000",
            { address = "app02:3000", id = "two", weight = 5, backup = true, state = "drain" },
            "srv:_http._tcp.app",
        ]"#;
        let list = r#"[
            "app01:3000",
            { "address": "app02:3000", "id": "two", "weight": 5, "backup": true, "state": "drain" },
            "srv:_http._tcp.app"
        ]"#;
        let tables = "[[endpoints]]\naddress = \"app01:3000\"\n\n[[endpoints]]\naddress = \"app02:3000\"\nid = \"two\"\n\
            weight = 5\nbackup = true\nstate = \"drain\"\n[[endpoints]]\naddress = \"srv:_http._tcp.app\"\n";
        assert_eq!(read("app.toml", toml), Ok(expected()));
        assert_eq!(read("app.toml", tables), Ok(expected()));
        assert_eq!(read("app.json", list), Ok(expected()));
        assert_eq!(read("app.JSON", &format!("{{ \"endpoints\": {list} }}")), Ok(expected()));
        assert_eq!((read("a.toml", "endpoints = []"), read("a.json", "[]")), (Ok(vec![]), Ok(vec![])));
    }

    #[test]
    fn errors_name_their_line() {
        let lacks = "lacks its list; write endpoints = [\"app01:3000\"], or endpoints = [] for none";
        for (name, text, error) in [
            ("a.toml", "", format!("a.toml: {lacks}")),
            ("a.json", "{}", format!("a.json: {lacks}")),
            ("a.json", "", "a.json:1: not JSON: EOF while parsing a value".into()),
            ("a.json", "[\n \"a:1\",\n \"b:2\"", "a.json:3: not JSON: EOF while parsing a list".into()),
            ("a.json", "{\"endpoints\": [\n 1,\n null] }", "a.json:3: null is no value; leave the key out".into()),
            (
                "a.json",
                "{\"endpoints\": [],\n\"endpoints\": []}",
                "a.json:2: the key \"endpoints\" is there twice".into(),
            ),
            ("a.json", "[\"\\ud800\"]", "a.json:1: not JSON: unexpected end of hex escape".into()),
            (
                "a.json",
                "[\n\"a:1\",\n{ \"address\": \"b:1\",\n \"weight\": 2.5 } ]",
                "a.json:4: endpoints[2].weight: \"2.5\" is not a weight; weights are whole numbers from 0 to 256"
                    .into(),
            ),
            (
                "a.toml",
                "endpoints = [\n\"a:1\",\n\"a:1\" ]",
                "a.toml:3: endpoints[2]: the address a:1 is that of endpoint 1 already".into(),
            ),
            ("a.toml", "endpoint = []", "a.toml:1: endpoint: unknown key; did you mean \"endpoints\"?".into()),
        ] {
            assert_eq!(read(name, text), Err(error), "{text}");
        }
    }

    #[test]
    fn hostile_depth_is_an_error() {
        for open in ["[", "{\"a\":"] {
            let text = open.repeat(100_000);
            assert!(read("a.json", &text).is_err());
            let closed = format!("{text}1{}", if open == "[" { "]" } else { "}" }.repeat(100_000));
            let error = read("a.json", &closed).unwrap_err();
            assert!(error.len() < 200, "{}", &error[..200]);
        }
    }

    #[test]
    fn a_text_cut_anywhere_is_read_or_refused() {
        let json = r#"{ "endpoints": [ "a:1", { "address": "[::1]:2", "weight": 3, "id": "\u00e4" } ] }"#;
        let toml = "endpoints = [ \"a:1\", { address = \"[::1]:2\", weight = 3, id = \"ä\" } ]\n";
        for (name, text) in [("a.json", json), ("a.toml", toml)] {
            for end in (0..text.trim_end().len()).filter(|end| text.is_char_boundary(*end)) {
                assert!(read(name, &text[..end]).is_err(), "{}", &text[..end]);
            }
            assert!(read(name, text).is_ok());
        }
    }
}
