use proptest::prelude::*;

use super::*;

fn read(header: &str) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    pairs(header.as_bytes()).map(|pair| (text(pair.name), text(pair.value))).collect()
}

fn changed(header: &str, name: &str, change_to: Change) -> (String, bool) {
    let mut out = Vec::new();
    let of = |pair: &Pair<'_>| if pair.name == name.as_bytes() { change_to.clone() } else { Change::Keep };
    let left = change(header.as_bytes(), of, &mut out);
    (String::from_utf8(out).unwrap(), left)
}

#[test]
fn pairs_end_at_semicolons_alone() {
    let table: [(&str, &[(&str, &str)]); 9] = [
        ("", &[]),
        ("a=b", &[("a", "b")]),
        ("a=b; S=s1;c = d ", &[("a", "b"), ("S", "s1"), ("c", "d")]),
        ("a=b=c", &[("a", "b=c")]),
        ("S", &[]),
        ("S=", &[("S", "")]),
        (";; =x;S=  ", &[("", "x"), ("S", "")]),
        ("a=\"b;S=s1\"", &[("a", "\"b"), ("S", "s1\"")]),
        ("a=1,S=s1", &[("a", "1,S=s1")]),
    ];
    for (header, expected) in table {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(read(header), expected, "{header}");
    }
}

#[test]
fn a_removed_pair_takes_one_semicolon_with_it() {
    for (header, left) in [
        ("S=s1", ""),
        ("S=s1; S=s2", ""),
        ("a=b; S=s1; c=d", "a=b; c=d"),
        ("a=b; S=s1", "a=b"),
        ("S=s1; c=d", "c=d"),
        ("S=s1;c=d", "c=d"),
        ("a=b;c=d", "a=b;c=d"),
        ("  a=b", "  a=b"),
        ("S; s=s1", "S; s=s1"),
    ] {
        assert_eq!(changed(header, "S", Change::Remove), (left.to_owned(), !left.is_empty()), "{header}");
    }
}

#[test]
fn a_cut_leaves_the_rest_of_the_value() {
    for (header, left) in [
        ("S=s1~zz; x=y", "S=zz; x=y"),
        ("x=y;  S = s1~zz ", "x=y;  S = zz "),
        ("S=s1~", "S="),
        ("S=s", "S="),
        ("S=", "S="),
    ] {
        assert_eq!(changed(header, "S", Change::CutFront(3)), (left.to_owned(), true), "{header}");
    }
}

#[test]
fn a_set_cookie_header_sets_its_first_pair() {
    let value = |header: &str| {
        set_pair(header.as_bytes()).map(|pair| (pair.name.to_vec(), header[pair.value_range].to_owned()))
    };
    assert_eq!(value("io=abc; path=/; io=d"), Some((b"io".to_vec(), "abc".to_owned())));
    assert_eq!(value(" io = abc"), Some((b"io".to_vec(), "abc".to_owned())));
    assert_eq!(value("io"), None);
    assert_eq!(value("HttpOnly; io=abc"), None);
    assert_eq!(value("io=; path=/"), Some((b"io".to_vec(), String::new())));
}

#[test]
fn values_and_names_cannot_end_what_they_stand_in() {
    for text in ["", "s1", "a|b~c", "x.app01", "AZaz09+/=_-:"] {
        assert!(is_value(text.as_bytes()), "{text}");
    }
    for text in ["a;b", "a,b", "a b", "a\r\nX: y", "a\tb", "a\"b", "a\\b", "\u{e9}", "\0", "\x7f"] {
        assert!(!is_value(text.as_bytes()), "{text:?}");
    }
    assert!(is_name(b"SERVERID") && is_name(b"__Host-io"));
    for name in ["", "a=b", "a;b", "a b", "a\r\n", "\u{e9}"] {
        assert!(!is_name(name.as_bytes()), "{name:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_what_is_kept_is_unchanged(
        header in proptest::collection::vec(prop_oneof![Just(b';'), Just(b'='), Just(b' '), Just(b'S'), any::<u8>()], 0..60),
        cut in 0_usize..5,
    ) {
        for pair in pairs(&header).chain(set_pair(&header)) {
            prop_assert_eq!(&header[pair.value_range.clone()], pair.value);
        }
        let mut out = Vec::new();
        change(&header, |_| Change::Keep, &mut out);
        prop_assert_eq!(&out, &header);
        out.clear();
        change(&header, |pair| if pair.name == b"S" { Change::Remove } else { Change::Keep }, &mut out);
        prop_assert!(pairs(&out).all(|pair| pair.name != b"S"));
        let others = |bytes: &[u8]| -> Vec<Vec<u8>> {
            pairs(bytes).filter(|pair| pair.name != b"S").map(|pair| pair.value.to_vec()).collect()
        };
        prop_assert_eq!(others(&out), others(&header));
        out.clear();
        change(&header, |_| Change::CutFront(cut), &mut out);
        prop_assert!(out.len() <= header.len());
    }
}
