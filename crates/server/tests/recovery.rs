//! Clients that come back: by an unmodified `socket.io-client`. The suite is proven on Node's server with the adapter that
//! remembers in memory.

use limpet_testkit::conformance::{Maker, Subject, judge, recovery_suite};

use Maker::{Limpet, Node};

fn suite(maker: Maker, server: &[&str], client: &[&str]) {
    let subject = Subject::recovery_node(maker, server).expect("the server starts");
    judge(recovery_suite(&subject.urls(), client));
}

macro_rules! suites_of {
    ($module:ident, $maker:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn by_websocket() {
                suite($maker, &[], &[]);
            }

            #[test]
            fn by_upgrade() {
                suite($maker, &[], &["--transports", "polling,websocket"]);
            }

            #[test]
            fn by_polling() {
                suite($maker, &[], &["--transports", "polling"]);
            }

            #[test]
            fn by_msgpack() {
                suite($maker, &["--parser", "msgpack"], &["--parser", "msgpack", "--features", "recovered,lost"]);
            }

            #[test]
            fn middlewares_that_are_not_skipped() {
                suite($maker, &["--run-middlewares"], &["--features", "middlewares"]);
            }
        }
    };
}

suites_of!(node, Node);
suites_of!(limpet, Limpet);

/// What Node's server does not do.
mod beyond_node {
    use super::*;

    /// No heartbeat tells a server that a client has gone.
    const LATE: [&str; 2] = ["--ping-interval", "25000"];

    #[test]
    fn by_websocket() {
        suite(Limpet, &LATE, &["--features", "beyond"]);
    }

    #[test]
    fn by_polling() {
        suite(Limpet, &[], &["--features", "beyond", "--transports", "polling"]);
    }

    #[test]
    fn cut_again_and_again() {
        suite(Limpet, &[], &["--features", "storms"]);
    }

    #[test]
    fn several_nodes() {
        suite(Limpet, &[&["--nodes", "3"], &LATE[..]].concat(), &["--features", "nodes"]);
    }

    #[test]
    fn a_node_that_is_stopped() {
        suite(Limpet, &["--nodes", "2"], &["--features", "stop"]);
    }
}
