//! Every feature of the server, asked for by unmodified clients: `socket.io-client` 4.8 and 2.5, python-socketio.
//!
//! Each suite runs against Node's own server too, which shows that it asks for the right thing.

use limpet_testkit::conformance::{Maker, Subject, features_suite, judge, python_features_suite};

fn start(maker: Maker, arguments: &[&str]) -> Subject {
    Subject::features(maker, arguments).expect("the server starts")
}

/// Every feature over these transports, by a client of this version.
fn client(maker: Maker, version: &str, transports: &str) {
    let subject = start(maker, if version == "2" { &["--eio3"] } else { &[] });
    judge(features_suite(&subject.urls(), &["--client", version, "--transports", transports]));
    if maker == Maker::Limpet {
        judge(features_suite(
            &subject.urls(),
            &["--client", version, "--transports", transports, "--features", "panic"],
        ));
    }
}

fn python(maker: Maker, transports: &str) {
    let subject = start(maker, &[]);
    judge(python_features_suite(&subject.urls(), &["--transports", transports]));
}

fn three_nodes(maker: Maker, options: &[&str], arguments: &[&str]) {
    let subject = start(maker, &[&["--nodes", "3"], options].concat());
    judge(features_suite(&subject.urls(), &[&["--nodes", "3"], arguments].concat()));
}

/// The options that are off otherwise: cookie, compression of WebSockets, CORS.
fn options(maker: Maker, version: &str) {
    let mut features = "cookie,deflate,cors,connect,event,ack,binary,room".to_owned();
    if maker == Maker::Limpet && version == "4" {
        features.push_str(",plain");
    }
    let subject = start(maker, &["--eio3", "--cookie", "--deflate", "--cors"]);
    judge(features_suite(&subject.urls(), &["--client", version, "--features", &features]));
}

/// Heartbeats that are kept, and those that are missed.
fn heartbeats(maker: Maker, version: &str, transports: &str) {
    let subject = start(maker, &["--eio3", "--ping-interval", "300", "--ping-timeout", "3000"]);
    let arguments = ["--client", version, "--transports", transports, "--features", "silence,nocors"];
    judge(features_suite(&subject.urls(), &arguments));
}

/// The application closes the server while clients are there.
fn shutdown(maker: Maker, version: &str) {
    let mut subject = start(maker, &["--eio3"]);
    let client = features_suite(&subject.urls(), &["--client", version, "--features", "shutdown"]).expect("it starts");
    client.connected().expect("all clients connect");
    subject.process.send_line("close").expect("the server reads");
    client.verdict().expect("a verdict").assert_good();
    subject.process.wait_for("`closed`", |line| (line == "closed").then_some(())).expect("the server closes");
}

macro_rules! suites_of {
    ($module:ident, $maker:expr, $silent_2:expr) => {
        mod $module {
            use super::*;

            #[test]
            fn client_4_by_upgrade() {
                client($maker, "4", "polling,websocket");
            }

            #[test]
            fn client_2_by_upgrade() {
                client($maker, "2", "polling,websocket");
            }

            #[test]
            fn python_by_upgrade() {
                python($maker, "polling,websocket");
            }

            #[test]
            fn three_nodes_and_client_4() {
                three_nodes($maker, &[], &[]);
            }

            #[test]
            fn three_nodes_and_python() {
                let subject = start($maker, &["--nodes", "3"]);
                judge(python_features_suite(&subject.urls(), &["--nodes", "3"]));
            }

            #[test]
            fn three_nodes_and_msgpack() {
                three_nodes($maker, &["--parser", "msgpack"], &["--parser", "msgpack"]);
            }

            #[test]
            fn options_and_client_4() {
                options($maker, "4");
            }

            #[test]
            fn options_and_client_2() {
                options($maker, "2");
            }

            #[test]
            fn heartbeats_of_client_4() {
                heartbeats($maker, "4", "polling,websocket");
            }

            #[test]
            fn heartbeats_of_client_2() {
                heartbeats($maker, "2", $silent_2);
            }

            #[test]
            fn shutdown_and_client_4() {
                shutdown($maker, "4");
            }

            #[test]
            fn shutdown_and_client_2() {
                shutdown($maker, "2");
            }
        }
    };
}

// After an upgrade Node's server no longer notices that a client of version 2 is silent.
suites_of!(node, Maker::Node, "websocket");
suites_of!(limpet, Maker::Limpet, "polling,websocket");

/// What the proof against Node's server needs no second time.
mod limpet_besides {
    use super::*;

    #[test]
    fn client_4_by_polling() {
        client(Maker::Limpet, "4", "polling");
    }

    #[test]
    fn client_4_by_websocket() {
        client(Maker::Limpet, "4", "websocket");
    }

    #[test]
    fn client_2_by_polling() {
        client(Maker::Limpet, "2", "polling");
    }

    #[test]
    fn client_2_by_websocket() {
        client(Maker::Limpet, "2", "websocket");
    }

    #[test]
    fn python_by_polling() {
        python(Maker::Limpet, "polling");
    }

    #[test]
    fn python_by_websocket() {
        python(Maker::Limpet, "websocket");
    }

    #[test]
    fn three_nodes_and_client_2() {
        three_nodes(Maker::Limpet, &["--eio3"], &["--client", "2"]);
    }

    /// Mounted as a service in axum instead of listening itself.
    fn in_axum(version: &str) {
        let subject = start(Maker::Limpet, &["--eio3", "--in-axum"]);
        judge(features_suite(&subject.urls(), &["--client", version]));
    }

    #[test]
    fn axum_and_client_4() {
        in_axum("4");
    }

    #[test]
    fn axum_and_client_2() {
        in_axum("2");
    }

    #[test]
    fn one_node_and_msgpack() {
        let subject = start(Maker::Limpet, &["--parser", "msgpack"]);
        judge(features_suite(&subject.urls(), &["--parser", "msgpack"]));
    }
}
