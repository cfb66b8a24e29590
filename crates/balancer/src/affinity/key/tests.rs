use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::thread;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::prelude::*;

use super::{KeyError, KeyOrigin, KeyRing, LineError, Purpose, RingKey, generate_line};
use crate::config::KeySource;

fn line(slot: u8, byte: u8) -> String {
    format!("{slot}:{}", STANDARD.encode([byte; 32]))
}

/// Tells keys apart without looking into them.
fn print_of(key: &RingKey, purpose: Purpose) -> Vec<u8> {
    hmac::sign(&key.hmac(purpose), b"print").as_ref().to_vec()
}

fn print_of_first(ring: &KeyRing) -> Vec<u8> {
    print_of(ring.signing(), Purpose::TagMac)
}

#[test]
fn the_first_line_signs_and_the_others_verify() {
    let text = format!("# keys\n\n  {}  \r\n{}\n\t# older\n{}", line(7, 1), line(0, 2), line(255, 3));
    let ring = KeyRing::parse(&text, "test").unwrap();
    assert_eq!(ring.signing().slot(), 7);
    assert_eq!(ring.others().iter().map(RingKey::slot).collect::<Vec<_>>(), [0, 255]);
}

#[test]
fn each_purpose_and_secret_has_a_key_of_its_own() {
    let ring = KeyRing::parse(&format!("{}\n{}\n{}", line(0, 1), line(1, 2), line(2, 1)), "test").unwrap();
    let (first, other, same) = (ring.signing(), &ring.others()[0], &ring.others()[1]);
    assert_ne!(print_of(first, Purpose::TagMac), print_of(first, Purpose::TagSeal));
    assert_ne!(print_of(first, Purpose::TagMac), print_of(other, Purpose::TagMac));
    assert_eq!(print_of(first, Purpose::TagMac), print_of(same, Purpose::TagMac));
}

#[test]
fn padding_may_be_missing() {
    let bare = format!("3: {}", STANDARD_NO_PAD.encode([9; 32]));
    let ring = KeyRing::parse(&bare, "test").unwrap();
    assert_eq!(print_of_first(&ring), print_of_first(&KeyRing::parse(&line(3, 9), "test").unwrap()));
}

#[test]
fn errors_name_the_place_and_never_the_key() {
    let secret = STANDARD.encode([0x5a; 32]);
    let cases = [
        (secret.clone(), LineError::Shape),
        (format!(":{secret}"), LineError::Slot),
        (format!("256:{secret}"), LineError::Slot),
        (format!("+1:{secret}"), LineError::Slot),
        (format!("{secret}:1"), LineError::Slot),
        (format!("1:{}", &secret[..40]), LineError::Key),
        (format!("1:{secret}{secret}"), LineError::Key),
        (format!("1:{}", secret.replace('=', "!")), LineError::Key),
        ("1:".to_owned(), LineError::Key),
        (line(0, 0x5a), LineError::Duplicate { slot: 0, first: 2 }),
    ];
    for (bad, expected) in cases {
        let text = format!("# first\n{}\n{bad}\n", line(0, 1));
        let error = KeyRing::parse(&text, "the origin").unwrap_err();
        let KeyError::Line { line: 3, reason, .. } = &error else { panic!("{error}") };
        assert_eq!(*reason, expected, "{bad}");
        let said = format!("{error} {error:?}");
        assert!(said.contains("the origin, line 3: "), "{said}");
        assert!(!said.contains(&secret[..8]), "{said}");
    }
    let error = KeyRing::parse("# nothing\n\n", "the origin").unwrap_err();
    assert!(matches!(&error, KeyError::Empty { origin } if origin == "the origin"), "{error}");
}

#[test]
fn a_ring_prints_slots_only() {
    let ring = KeyRing::parse(&format!("{}\n{}", line(4, 1), line(5, 2)), "test").unwrap();
    assert_eq!(format!("{ring:?}"), "KeyRing { signing: RingKey { slot: 4, .. }, others: [RingKey { slot: 5, .. }] }");
}

#[test]
fn generated_lines_are_key_lines_and_differ() {
    let (one, two) = (generate_line(200), generate_line(200));
    assert_ne!(one, two);
    assert_eq!(KeyRing::parse(&one, "test").unwrap().signing().slot(), 200);
}

#[test]
fn inline_text_and_files_are_read() {
    let (ring, origin) = KeyRing::load(&KeySource::Inline(line(1, 1))).unwrap();
    assert_eq!((ring.signing().slot(), origin), (1, KeyOrigin::Inline));

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    fs::write(&path, line(2, 1)).unwrap();
    for (mode, world_readable) in [(0o640, false), (0o644, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (ring, origin) = KeyRing::load(&KeySource::File(path.clone())).unwrap();
        assert_eq!(ring.signing().slot(), 2);
        assert_eq!(origin.warning().is_some(), world_readable);
        assert_eq!(origin, KeyOrigin::File { path: path.clone(), world_readable });
    }
}

#[test]
fn a_configured_file_that_cannot_be_read_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let source = KeySource::File(path.clone());
    let fails = || matches!(KeyRing::load(&source), Err(KeyError::Unreadable { .. }));
    assert!(fails(), "missing");
    fs::write(&path, "#".repeat(64 * 1024 + 1)).unwrap();
    assert!(fails(), "large");
    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(fails(), "not text");
    fs::write(&path, "").unwrap();
    assert!(matches!(KeyRing::load(&source), Err(KeyError::Empty { .. })));
}

#[test]
fn a_key_is_made_once_and_kept() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state/limpet");
    let source = KeySource::StateDirectory(directory.clone());
    let (made, origin) = KeyRing::load(&source).unwrap();
    let path = directory.join("key");
    assert_eq!(origin, KeyOrigin::StateDirectory { path: path.clone(), generated: true, world_readable: false });
    assert_eq!(origin.warning(), None);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1, "no draft stays behind");

    let (kept, origin) = KeyRing::load(&source).unwrap();
    assert_eq!(origin, KeyOrigin::StateDirectory { path, generated: false, world_readable: false });
    assert_eq!(print_of_first(&made), print_of_first(&kept));
}

#[test]
fn of_many_at_once_one_makes_the_key() {
    let directory = tempfile::tempdir().unwrap();
    let source = KeySource::StateDirectory(directory.path().join("state"));
    let start = Barrier::new(8);
    let loaded: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    KeyRing::load(&source).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let makers =
        loaded.iter().filter(|(_, origin)| matches!(origin, KeyOrigin::StateDirectory { generated: true, .. }));
    assert_eq!(makers.count(), 1);
    assert!(loaded.iter().all(|(ring, _)| print_of_first(ring) == print_of_first(&loaded[0].0)));
}

#[test]
fn without_a_place_the_key_is_volatile() {
    let directory = tempfile::tempdir().unwrap();
    // A file where the directory should be stops every user, root too.
    let blocked = directory.path().join("state");
    fs::write(&blocked, "").unwrap();
    let (one, origin) = KeyRing::load(&KeySource::StateDirectory(blocked.clone())).unwrap();
    let warning = origin.warning().unwrap();
    assert!(warning.contains("state/key") && warning.contains("restart"), "{warning}");
    let (two, _) = KeyRing::load(&KeySource::StateDirectory(blocked)).unwrap();
    assert_ne!(print_of_first(&one), print_of_first(&two));
}

#[test]
fn a_damaged_kept_key_is_an_error_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    for damaged in [&b"0:abc"[..], b"", b"\xff"] {
        fs::write(&path, damaged).unwrap();
        assert!(KeyRing::load(&KeySource::StateDirectory(directory.path().to_owned())).is_err());
        assert_eq!(fs::read(&path).unwrap(), damaged);
    }
}

proptest! {
    #[test]
    fn any_text_is_a_ring_or_an_error(text in "([0-9:# \n]|[A-Za-z+/=]{0,50}|\\PC)*") {
        let _ = KeyRing::parse(&text, "test");
    }
}
