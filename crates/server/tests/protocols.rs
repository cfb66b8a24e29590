//! Engine.IO and Socket.IO on the wire, judged by suites that pass against Node's own server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use limpet_testkit::conformance::{Maker, Subject, engineio_suite, judge, socketio_suite};

/// How many milliseconds a heartbeat may take. The official suites have 200, which a busy machine does not keep.
const PING_TIMEOUT: &str = "1500";

/// Lets the suites of a maker run one after the other. Twelve at once are 24 processes, which make each other late.
fn turn(maker: Maker) -> MutexGuard<'static, ()> {
    static NODE: Mutex<()> = Mutex::new(());
    static LIMPET: Mutex<()> = Mutex::new(());
    let turn = if maker == Maker::Node { &NODE } else { &LIMPET };
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn engineio(maker: Maker, eio3: bool, arguments: &[&str]) {
    let _turn = turn(maker);
    let subject = Subject::fixture(maker, eio3, PING_TIMEOUT).expect("the fixture starts");
    judge(engineio_suite(&subject.urls(), &[&["--ping-timeout", PING_TIMEOUT], arguments].concat()));
}

fn socketio(maker: Maker, eio3: bool, arguments: &[&str]) {
    let _turn = turn(maker);
    let subject = Subject::fixture(maker, eio3, PING_TIMEOUT).expect("the fixture starts");
    judge(socketio_suite(&subject.urls(), arguments));
}

macro_rules! suites_of {
    ($module:ident, $maker:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn engineio_version_4() {
                engineio($maker, false, &[]);
            }

            #[test]
            fn engineio_version_4_where_version_3_is_taken_too() {
                engineio($maker, true, &["--both"]);
            }

            #[test]
            fn engineio_version_3() {
                engineio($maker, true, &["--both", "--eio", "3"]);
            }

            #[test]
            fn engineio_under_socketio() {
                engineio($maker, false, &["--path", "/socket.io/", "--only", "handshake,cors"]);
            }

            #[test]
            fn socketio_protocol_5() {
                socketio($maker, false, &[]);
            }

            #[test]
            fn socketio_protocol_4() {
                socketio($maker, true, &["--eio", "3"]);
            }
        }
    };
}

suites_of!(node, Maker::Node);
suites_of!(limpet, Maker::Limpet);
