//! A packet that is read is written as one that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limpet_proto::engineio::Version;
use limpet_proto::engineio::packet::{Data, Packet};

fuzz_target!(|bytes: &[u8]| {
    for version in [Version::V3, Version::V4] {
        if let Ok(packet) =
            str::from_utf8(bytes).map_err(|_| ()).and_then(|text| Packet::from_text(version, text).map_err(|_| ()))
        {
            check(version, &packet);
        }
        if let Ok(packet) = Packet::from_binary(version, bytes) {
            check(version, &packet);
            let mut out = Vec::new();
            packet.write_binary(version, &mut out);
            assert_eq!(out, bytes);
        }
    }
});

fn check(version: Version, packet: &Packet<'_>) {
    let mut out = String::new();
    packet.write_text(version, &mut out);
    // Bytes are messages in version 4, whatever the packet was.
    if version == Version::V3 || matches!(packet.data, Data::Text(_)) || *packet == Packet::binary(bytes_of(packet)) {
        assert_eq!(Packet::from_text(version, &out).as_ref(), Ok(packet));
    }
}

fn bytes_of(packet: &Packet<'_>) -> Vec<u8> {
    match &packet.data {
        Data::Binary(bytes) => bytes.to_vec(),
        Data::Text(text) => text.as_bytes().to_vec(),
    }
}
