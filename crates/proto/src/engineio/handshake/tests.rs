use proptest::prelude::*;
use serde_json::json;

use super::*;

const NODE: &str = r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const SID: &str = "lv_VI97HAXpY6yYWAAAC";

fn v3_text(packet: &str) -> String {
    format!("{}:{packet}", packet.encode_utf16().count())
}

fn v3_binary(packet: &str) -> Vec<u8> {
    let digits = packet.len().to_string().into_bytes().into_iter().map(|digit| digit - b'0');
    [0].into_iter().chain(digits).chain([0xff]).chain(packet.bytes()).collect()
}

fn jsonp(payload: &str) -> String {
    format!("___eio[0]({});", json!(payload))
}

fn assert_sid(body: &[u8], framing: Framing) {
    let open = parse(body).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(body)));
    assert_eq!((open.sid.as_ref(), open.framing), (SID, framing));
    assert_eq!(&body[open.sid_end - SID.len()..open.sid_end], SID.as_bytes());
}

#[test]
fn reads_every_framing() {
    assert_sid(NODE.as_bytes(), Framing::V4);
    assert_sid(format!("{NODE}\x1e40\x1e42[1]").as_bytes(), Framing::V4);
    assert_sid(v3_text(NODE).as_bytes(), Framing::V3Text);
    assert_sid(format!("{}2:40", v3_text(NODE)).as_bytes(), Framing::V3Text);
    assert_sid(&v3_binary(NODE), Framing::V3Binary);
    assert_sid(&[v3_binary(NODE), vec![1, 3, 0xff, 4, 1, 2]].concat(), Framing::V3Binary);
    assert_sid(jsonp(NODE).as_bytes(), Framing::V4Jsonp);
    assert_sid(jsonp(&format!("{NODE}\x1e40")).as_bytes(), Framing::V4Jsonp);
    assert_sid(jsonp(&format!("{}2:40", v3_text(NODE))).as_bytes(), Framing::V3Jsonp);
}

#[test]
fn reads_the_fields() {
    let open = parse(br#"0{"pingTimeout":5000,"x":{"sid":"no"},"pingInterval":300.9,"sid":"abc"}"#).unwrap();
    assert_eq!((open.ping_interval, open.ping_timeout), (Duration::from_millis(300), Duration::from_secs(5)));
    assert_eq!(open.sid, "abc");
    let open = parse(br#"0{"sid":"abc"}"#).unwrap();
    assert_eq!((open.ping_interval, open.ping_timeout), (Duration::from_secs(25), Duration::from_secs(20)));
}

#[test]
fn durations_are_bounded() {
    let open = parse(br#"0{"sid":"abc","pingInterval":1e300,"pingTimeout":86400001}"#).unwrap();
    assert_eq!((open.ping_interval, open.ping_timeout), (MAX_DURATION, MAX_DURATION));
    for number in ["-1", "null", "\"25000\"", "1e999"] {
        assert_eq!(parse(format!(r#"0{{"sid":"abc","pingInterval":{number}}}"#).as_bytes()), None, "{number}");
    }
}

#[test]
fn gives_none_for_anything_else() {
    let deep = format!(r#"0{{"sid":"abc","x":{}"#, "[".repeat(10_000));
    let long_sid = format!(r#"0{{"sid":"{}"}}"#, "x".repeat(129));
    for body in [
        "",
        "0",
        "0{}",
        "4hello",
        r#"{"sid":"abc"}"#,
        r#"0["abc",25000,20000]"#,
        r#"0{"sid":"abc""#,
        r#"0{"sid":"abc"}x"#,
        r#"0{"sid":"abc"}2:40"#,
        r#"0{"sid":""}"#,
        r#"0{"sid":7}"#,
        r#"0{"sid":"a b"}"#,
        r#"0{"sid":"a\u0062c"}"#,
        r#"0{"sid":"abc","sid":"def"}"#,
        r#"13:0{"sid":"abc"}"#,
        r#"15:0{"sid":"abc"}"#,
        r#"14;0{"sid":"abc"}"#,
        r#"00000014:0{"sid":"abc"}"#,
        r#"99999999999999999999999:0{"sid":"abc"}"#,
        "14",
        "14:",
        r#"___eio[0]("0{\"sid\":\"abc\"}""#,
        r#"___eio[0]("0{\"sid\":\"abc\"}") evil();"#,
        r#"___eio[0](0{"sid":"abc"});"#,
        r#"___eio[x]("0{\"sid\":\"abc\"}");"#,
        r#"___eio[0](["0{\"sid\":\"abc\"}"]);"#,
        r#"___eio[0]("4x");"#,
        "___eio[0](\"\\u0000\");",
        "___eio[",
        "\0",
        "\0\x01\x04",
        &deep,
        &long_sid,
    ] {
        assert_eq!(parse(body.as_bytes()), None, "{body:.60}");
    }
    assert_eq!(parse(b"0{\"sid\":\"a\xff\"}"), None);
    assert_eq!(parse(b"\x00\x01\x05\xff0{\"sid\":\"abc\"}"), None);
    assert_eq!(parse(b"\x00\x01\x03\xff0{\"sid\":\"abc\"}"), None);
}

#[test]
fn v3_lengths_count_utf16_units() {
    let packet = r#"0{"sid":"abc","name":"é😀"}"#;
    assert!(parse(v3_text(packet).as_bytes()).is_some());
    assert!(parse(format!("{}:{packet}", packet.len()).as_bytes()).is_none());
}

#[test]
fn jsonp_offsets_see_through_escapes() {
    for before in [r#""name":"\u00e9\ud83d\ude00é😀\\\/""#, r#""a":"\"""#, "\"\u{2028}\":1"] {
        for escape_all in [false, true] {
            let payload = format!(r#"0{{{before},"sid":"{SID}"}}"#);
            let body = match escape_all {
                false => jsonp(&payload),
                true => {
                    let head = payload.strip_suffix(&format!("{SID}\"}}")).unwrap();
                    let escaped: String = head.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
                    format!("___eio[12](\"{escaped}{SID}\\\"}}\")\n")
                }
            };
            assert_sid(body.as_bytes(), Framing::V4Jsonp);
        }
    }
}

#[test]
fn inserts_a_suffix() {
    for body in [NODE.to_owned(), format!("{NODE}\x1e40"), jsonp(NODE), jsonp(&format!("{NODE}\x1e40"))] {
        let open = parse(body.as_bytes()).unwrap();
        let tagged = insert_suffix(body.as_bytes(), &open, ".Tag-1").unwrap();
        assert_eq!(tagged.len(), body.len() + 6);
        let again = parse(&tagged).unwrap();
        assert_eq!(again.sid, format!("{SID}.Tag-1"));
        assert_eq!((again.sid_end, again.framing), (open.sid_end + 6, open.framing));
        let restored = [&tagged[..open.sid_end], &tagged[open.sid_end + 6..]].concat();
        assert_eq!(restored, body.as_bytes());
    }
}

#[test]
fn refuses_a_suffix_that_would_break_something() {
    for body in [v3_text(NODE).into_bytes(), v3_binary(NODE), jsonp(&v3_text(NODE)).into_bytes()] {
        assert_eq!(insert_suffix(&body, &parse(&body).unwrap(), "x"), None);
    }
    let open = parse(NODE.as_bytes()).unwrap();
    for suffix in ["\"", "a b", &"x".repeat(109)] {
        assert_eq!(insert_suffix(NODE.as_bytes(), &open, suffix), None, "{suffix}");
    }
    assert!(insert_suffix(NODE.as_bytes(), &open, &"x".repeat(108)).is_some());
    assert_eq!(insert_suffix(b"0{", &open, "x"), None);
}

#[test]
fn debug_hides_the_sid() {
    let shown = format!("{:?}", parse(NODE.as_bytes()).unwrap());
    assert!(shown.contains("lv_VI9…") && !shown.contains("lv_VI97"), "{shown}");
}

proptest! {
    #[test]
    fn noise_never_panics(
        start in prop::sample::select(vec!["", "0{\"sid\":\"", "97:0{", "___eio[0](\"0{\\\"sid", "\0\x01\x04"]),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let _ = parse(&[start.as_bytes(), &noise].concat());
    }

    #[test]
    fn no_prefix_is_taken_for_the_whole(cut in 1usize..200) {
        for body in [NODE.as_bytes().to_vec(), v3_text(NODE).into_bytes(), v3_binary(NODE), jsonp(NODE).into_bytes()] {
            let end = body.len().saturating_sub(cut);
            // A script may lack its semicolon.
            if body.get(end..) != Some(b";") {
                prop_assert_eq!(parse(&body[..end]), None);
            }
        }
    }

    #[test]
    fn the_offset_is_the_sids_end(sid in "[A-Za-z0-9_.~-]{1,40}", other in "\\PC{0,12}") {
        let packet = format!("0{}", json!({ "a": other, "sid": sid, "z": [other] }));
        let bodies = [packet.clone().into_bytes(), v3_text(&packet).into_bytes(), v3_binary(&packet),
            jsonp(&packet).into_bytes(), jsonp(&v3_text(&packet)).into_bytes()];
        for body in bodies {
            let open = parse(&body).unwrap();
            prop_assert_eq!(open.sid.as_ref(), sid.as_str());
            prop_assert_eq!(&body[open.sid_end - sid.len()..open.sid_end], sid.as_bytes());
        }
    }
}
