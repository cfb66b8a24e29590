use proptest::prelude::*;

use super::crc32c::crc32c;
use super::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIRST_ADDRESS_BYTE: usize = 16;
const V4_ADDRESSES: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0x01, 0xbb];

fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u16).to_be_bytes();
    [SIGNATURE, &[command, family], &len, content].concat()
}

fn element(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

fn proxied(source: &str, destination: &str) -> Origin {
    Origin::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn whole(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Ok(Progress::Complete { consumed, header }) if consumed == bytes.len() => header,
        other => panic!("{other:?} for {:?}", String::from_utf8_lossy(bytes)),
    }
}

#[test]
fn reads_version_1() {
    let longest =
        "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), MAX_V1_BYTES);
    for (line, origin) in [
        ("PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\n", proxied("192.0.2.7:12345", "198.51.100.1:443")),
        ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", proxied("255.255.255.255:65535", "0.0.0.0:0")),
        ("PROXY TCP6 2001:db8::1 ::1 12345 443\r\n", proxied("[2001:db8::1]:12345", "[::1]:443")),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n", proxied("[::ffff:192.0.2.7]:1", "[::1]:2")),
        ("PROXY UNKNOWN\r\n", Origin::Unknown),
        ("PROXY UNKNOWN whatever comes\r\n", Origin::Unknown),
        (longest, Origin::Unknown),
    ] {
        let header = whole(line.as_bytes());
        assert_eq!((header.version, header.origin), (Version::V1, origin), "{line}");
        assert_eq!(header.elements().count(), 0);
    }
}

#[test]
fn refuses_version_1_with_faults() {
    use ProxyError::*;
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(long.len(), MAX_V1_BYTES + 1);
    for (line, error) in [
        ("PROXX", NoHeader),
        ("PROXYTCP4", NoHeader),
        ("POST / HTTP/1.1\r\n", NoHeader),
        ("GET / HTTP/1.1\r\n", NoHeader),
        ("proxy TCP4", NoHeader),
        ("PROXY\r\n", NoHeader),
        ("PROXY \r\n", UnknownFamily),
        ("PROXY TCP5", UnknownFamily),
        ("PROXY UDP4 ", UnknownFamily),
        ("PROXY UNKNOWNX", UnknownFamily),
        ("PROXY UNKNOWN\n", UnknownFamily),
        ("PROXY UNKNOWN x\n", Addresses),
        ("PROXY TCP4 192.0.2.7\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7  198.51.100.1 1 2\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 1 00\r\n", Addresses),
        ("PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", Addresses),
        ("PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n", Addresses),
        ("PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n", Addresses),
        ("PROXY TCP4 2001:db8::1 ::1 1 2\r\n", Addresses),
        ("PROXY TCP6 192.0.2.7 ::1 1 2\r\n", Addresses),
        ("PROXY TCP6 fe80::1%eth0", Addresses),
        ("PROXY TCP4 x", Addresses),
        ("PROXY TCP4 192.0.2.7\r1", Addresses),
        (&long, TooLong),
        (&long[..MAX_V1_BYTES], TooLong),
    ] {
        assert_eq!(parse(line.as_bytes()), Err(error), "{line:?}");
    }
}

#[test]
fn reads_version_2() {
    let v6: Vec<u8> =
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 15], &[1, 0x30, 0x39, 1, 0xbb]].concat();
    for (bytes, origin) in [
        (v2(0x21, 0x11, V4_ADDRESSES), proxied("192.0.2.7:12345", "198.51.100.1:443")),
        (v2(0x21, 0x21, &v6), proxied("[2001:db8::1]:12345", "[::1]:443")),
        (v2(0x21, 0x12, V4_ADDRESSES), Origin::Unknown),
        (v2(0x21, 0x22, &v6), Origin::Unknown),
        (v2(0x21, 0x31, &[0; 216]), Origin::Unknown),
        (v2(0x21, 0x00, &[]), Origin::Unknown),
        (v2(0x21, 0x00, &[0xff; 5]), Origin::Unknown),
        (v2(0x20, 0x00, &[]), Origin::Local),
        (v2(0x20, 0x11, &[]), Origin::Local),
        (v2(0x20, 0xff, &[0xff; 7]), Origin::Local),
    ] {
        let header = whole(&bytes);
        assert_eq!((header.version, header.origin), (Version::V2, origin), "{bytes:x?}");
        assert_eq!(header.elements().count(), 0);
    }
}

#[test]
fn refuses_version_2_with_faults() {
    use ProxyError::*;
    let with_elements = |elements: &[u8]| v2(0x21, 0x11, &[V4_ADDRESSES, elements].concat());
    for (bytes, error) in [
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), NoHeader),
        (b"\r\nGET".to_vec(), NoHeader),
        ([SIGNATURE, &[0x11]].concat(), UnknownCommand),
        ([SIGNATURE, &[0x22]].concat(), UnknownCommand),
        ([SIGNATURE, &[0x31]].concat(), UnknownCommand),
        ([SIGNATURE, &[0x21, 0x13]].concat(), UnknownFamily),
        ([SIGNATURE, &[0x21, 0x41]].concat(), UnknownFamily),
        ([SIGNATURE, &[0x21, 0x11, 0, 11]].concat(), Addresses),
        ([SIGNATURE, &[0x21, 0x21, 0, 35]].concat(), Addresses),
        ([SIGNATURE, &[0x21, 0x31, 0, 215]].concat(), Addresses),
        ([SIGNATURE, &[0x21, 0x11, 0x0f, 0xf1]].concat(), TooLong),
        ([SIGNATURE, &[0x20, 0x00, 0xff, 0xff]].concat(), TooLong),
        (with_elements(&[1]), Elements),
        (with_elements(&[1, 0]), Elements),
        (with_elements(&[1, 0, 2, 0]), Elements),
        (with_elements(&element(3, &[0; 3])), Elements),
        (with_elements(&element(3, &[0; 4])), Checksum),
    ] {
        assert_eq!(parse(&bytes), Err(error), "{bytes:x?}");
    }
}

#[test]
fn gives_the_elements_in_order() {
    let elements = [element(1, b"h2"), element(4, &[]), element(0xea, b"\xff\xfe")].concat();
    for (family, addresses) in [(0x11, V4_ADDRESSES), (0x00, &[])] {
        let header = whole(&v2(0x21, family, &[addresses, &elements].concat()));
        let found: Vec<_> = header.elements().collect();
        assert_eq!(found, [(1, &b"h2"[..]), (4, b""), (0xea, b"\xff\xfe")]);
    }
}

#[test]
fn checks_the_checksum() {
    let zeroed = v2(0x21, 0x11, &[V4_ADDRESSES, &element(1, b"h2"), &element(3, &[0; 4]), &element(4, b"x")].concat());
    let at = zeroed.len() - 4 - 4;
    let sum = crc32c(zeroed.iter().copied()).to_be_bytes();
    let summed = [&zeroed[..at], &sum, &zeroed[at + 4..]].concat();
    assert_eq!(whole(&summed).elements().nth(1), Some((3, &sum[..])));
    for bit in 0..8 * 2 {
        let mut wrong = summed.clone();
        wrong[FIRST_ADDRESS_BYTE + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(parse(&wrong), Err(ProxyError::Checksum));
    }
}

#[test]
fn the_longest_header_is_accepted() {
    let padding = element(4, &vec![0; MAX_V2_BYTES - 16 - 12 - 3]);
    let bytes = v2(0x21, 0x11, &[V4_ADDRESSES, &padding].concat());
    assert_eq!(bytes.len(), MAX_V2_BYTES);
    whole(&bytes);
}

#[test]
fn what_follows_is_left_alone() {
    for header in
        [b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n".to_vec(), v2(0x21, 0x11, V4_ADDRESSES), v2(0x20, 0, &[])]
    {
        let bytes = [&header[..], b"PROXY TCP4 \r\nGET / HTTP/1.1\r\n"].concat();
        match parse(&bytes) {
            Ok(Progress::Complete { consumed, .. }) => assert_eq!(consumed, header.len()),
            other => panic!("{other:?}"),
        }
    }
}

/// Headers, and headers with one byte changed.
fn nearly_headers() -> impl Strategy<Value = Vec<u8>> {
    let headers = prop::sample::select(vec![
        b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\nGET".to_vec(),
        b"PROXY TCP6 2001:db8::1 ::1 12345 443\r\n\r\n".to_vec(),
        b"PROXY UNKNOWN and more\r\nx".to_vec(),
        [v2(0x21, 0x11, &[V4_ADDRESSES, &element(1, b"h2")].concat()), b"GET".to_vec()].concat(),
        v2(0x21, 0x00, &element(1, b"h2")),
        v2(0x20, 0x00, &[]),
    ]);
    (headers, any::<prop::sample::Index>(), prop_oneof![Just(None), any::<u8>().prop_map(Some)]).prop_map(
        |(mut bytes, at, change)| {
            if let Some(byte) = change {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

proptest! {
    /// Asked again after every byte, it waits first and then says what it says about all bytes at once, for good.
    #[test]
    fn growing_bytes_end_like_the_whole(bytes in nearly_headers()) {
        let at_once = parse(&bytes);
        let answers: Vec<_> = (0..=bytes.len()).map(|end| parse(&bytes[..end])).collect();
        let first = answers.iter().position(|answer| *answer != Ok(Progress::Incomplete)).unwrap_or(bytes.len());
        for (end, answer) in answers.iter().enumerate().skip(first) {
            match answer {
                // An error may be found earlier for a lesser reason, but it stays an error.
                Err(_) => prop_assert!(at_once.is_err(), "{end}"),
                answer => prop_assert_eq!(answer, &at_once),
            }
        }
        if let Ok(Progress::Complete { consumed, .. }) = at_once {
            prop_assert_eq!(first, consumed);
        }
    }

    #[test]
    fn noise_is_refused_or_bounded(start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE]), noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [start, &noise].concat();
        match parse(&bytes) {
            Ok(Progress::Complete { consumed, .. }) => prop_assert!(consumed <= bytes.len()),
            Ok(Progress::Incomplete) => prop_assert!(bytes.len() < MAX_V2_BYTES),
            Err(_) => {}
        }
    }

    #[test]
    fn any_checksummed_header_is_accepted(value in prop::collection::vec(any::<u8>(), 0..50)) {
        let mut bytes = v2(0x21, 0x11, &[V4_ADDRESSES, &element(0xe0, &value), &element(3, &[0; 4])].concat());
        let sum = crc32c(bytes.iter().copied()).to_be_bytes();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&sum);
        let header = whole(&bytes);
        prop_assert_eq!(header.elements().next(), Some((0xe0, &value[..])));
    }
}
