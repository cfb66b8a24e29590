//! Apache's sticky sessions by route, in two balancers that share their routes.

use std::time::{Duration, Instant};

use limpet_testkit::oracle::{Comparison, Habits, Looks, Recorders, Script, Step, texts};

use crate::example::Example;
use crate::{ENOUGH, With, assert_all_equal, seed};

/// Apache sends an endpoint its own name as Host, and joins lines of Cookie and of Set-Cookie by a comma; nobody should
/// rely on that.
const LOOKS: Looks = Looks { seen_host: false, seen_cookie: false, set_cookie_lines: false, ..Looks::ALL };

fn stickysession(with: With) -> Comparison {
    let recorders = Recorders::start(&["app01", "app02", "app03"]).unwrap();
    let mut example = Example::read("apache-stickysession", "apache.conf")
        .endpoints(&recorders, ":3000")
        .limpet("0.0.0.0:80", "127.0.0.1:0")
        .limpet("ejection = \"60s\"", "ejection = \"3s\"");
    for name in ["app01", "app02", "app03"] {
        // Both programs try a failed endpoint again after three seconds, instead of a minute.
        example = example.original(&format!("route={name}"), &format!("route={name} retry=3"));
    }
    let programs = example.start(with);
    let named = programs.each_ref().map(|program| (program.name(), program.address()));
    let mut comparison = Comparison::new(example.name, seed(), Some("SERVERID"), LOOKS, named);

    let habits = Habits {
        cookie: Some("SERVERID"),
        valid: texts(&["sticky.app01", "sticky.app02", "x.app03", ".app01", "sticky.app03"]),
        invalid: texts(&["", "app01", "sticky.", "sticky.app04", "sticky.APP01", "a.b.app01", "\"sticky.app01\""]),
        targets: &[
            "/socket.io/?EIO=4&transport=polling",
            "/socket.io/?EIO=4",
            "/",
            "/chat?room=1",
            "/socket.io/?EIO=4&SERVERID=sticky.app02",
            "/socket.io/?SERVERID=none&EIO=4",
            "/chat;SERVERID=sticky.app03",
            "/chat;SERVERID=sticky.app01?SERVERID=sticky.app02",
        ],
        upgrades: 25,
        application_cookies: 5,
        ..Habits::default()
    };
    let mut script = Script::new(habits, seed());
    comparison.run(script.steps(400)).unwrap();
    for recorder in recorders.all() {
        recorder.down().unwrap();
        comparison.run(script.steps(100)).unwrap();
        recorder.up().unwrap();
        wait_for_retry();
        // Apache notices with the first unbound request of either balancer.
        let unbound = |upgrade| Step { upgrade, ..Step::get(script.clients()[0], "/") };
        comparison.run([unbound(false), unbound(true)]).unwrap();
        comparison.run(script.steps(100)).unwrap();
    }
    comparison
}

/// Waits until both programs will try a failed endpoint again: Apache shows nowhere that its time has passed.
fn wait_for_retry() {
    let end = Instant::now() + Duration::from_millis(3200);
    while Instant::now() < end {
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
    }
}

#[test]
fn sticky_sessions_as_apache() {
    assert_all_equal(ENOUGH, &[With::Limpet, With::Itself], stickysession);
}
