//! Every mode of HAProxy's `cookie` directive, beyond those that the examples use: 300 requests for each.

use std::time::{SystemTime, UNIX_EPOCH};

use limpet_testkit::oracle::{Comparison, Habits, Looks, Recorders, Script, texts};

use crate::program::{Program, wait_until_down};
use crate::{With, seed};

/// The words behind `cookie SERVERID`, and the same in Limpet's keys.
const MODES: [(&str, &str); 11] = [
    ("insert", "mode = \"insert\""),
    ("insert indirect", "mode = \"insert\", indirect = true"),
    ("insert indirect preserve", "mode = \"insert\", indirect = true, preserve = true"),
    ("insert preserve nocache", "mode = \"insert\", preserve = true, nocache = true"),
    ("insert postonly", "mode = \"insert\", postonly = true"),
    (
        "insert httponly secure domain .chat.test",
        "mode = \"insert\", http_only = true, secure = true, domain = \".chat.test\"",
    ),
    (
        "insert indirect maxidle 30m maxlife 8h",
        "mode = \"insert\", indirect = true, max_idle = \"30m\", max_life = \"8h\"",
    ),
    ("insert maxidle 30m", "mode = \"insert\", max_idle = \"30m\""),
    ("rewrite nocache", "mode = \"rewrite\", nocache = true"),
    ("prefix", "mode = \"prefix\""),
    ("prefix indirect nocache", "mode = \"prefix\", indirect = true, nocache = true"),
];

fn compare(haproxy: &'static str, limpet: &str, with: With) -> Comparison {
    let recorders = Recorders::start(&["s1", "s2", "s3"]).unwrap();
    let mut servers = String::new();
    let mut endpoints = String::new();
    for recorder in recorders.all() {
        let (name, address) = (recorder.name(), recorder.address);
        servers.push_str(&format!(
            "    server {name} {address} check inter 400ms fastinter 50ms downinter 50ms cookie {name}\n"
        ));
        endpoints.push_str(&format!("    {{ address = \"{address}\", cookie = \"{name}\" }},\n"));
    }
    let original = format!(
        "global\n    nbthread 1\ndefaults\n    mode http\n    timeout connect 5s\n    timeout client 1m\n    timeout server 1m\n\
         listen web\n    bind {{listen}}\n    balance roundrobin\n    cookie SERVERID {haproxy}\n{servers}"
    );
    let restated = format!(
        "[listener.web]\nbind = \"127.0.0.1:0\"\n[[route]]\nupstream = \"app\"\n[upstream.app]\n\
         balance = \"round_robin\"\nforwarded = []\nprobe = {{ interval = \"50ms\" }}\n\
         affinity = [{{ by = \"cookie\", name = \"SERVERID\", value = \"plain\", {limpet} }}]\nendpoints = [\n{endpoints}]\n"
    );
    let start = || {
        let original = || Program::original("haproxy.cfg", &original);
        [original(), if with == With::Itself { original() } else { Program::limpet(&restated) }]
    };
    let programs = start();
    let named = programs.each_ref().map(|program| (program.name(), program.address()));
    let comparison = Comparison::new(haproxy, seed(), Some("SERVERID"), Looks::ALL, named);
    let mut comparison = comparison.with_cookies_as(undated).with_time(unit);

    let mut script = Script::new(habits(), seed());
    comparison.run(script.steps(150)).unwrap();
    drop(programs);
    // New processes, because where HAProxy's turns go on after a change is its own.
    recorders.named("s2").down().unwrap();
    let programs = start();
    comparison.go_on_with(programs.each_ref().map(Program::address));
    wait_until_down(&programs, &[(recorders.named("s2"), "web/s2")]);
    comparison.run(script.steps(150)).unwrap();
    comparison
}

fn habits() -> Habits {
    let (minute, hour, day) = (60, 3600, 24 * 3600);
    let dates = |last: i64, first: i64| format!("|{}|{}", date(last), date(first));
    let mut valid = texts(&["s1", "s2", "s3", "s1~sid", "s2~a~b"]);
    let mut invalid =
        texts(&["", "s4", "S1", "s4~sid", "~", "|", "s1 |", "\"s1\"", "s1|", "s1|AAAA", "s2|!!!!!|!!!!!"]);
    valid.push(format!("s1{}", dates(minute, hour)));
    valid.push(format!("s2{}", dates(5 * minute, 2 * hour)));
    valid.push(format!("s3|{}", date(2 * minute)));
    // Idle for too long, too old, and of the future.
    invalid.push(format!("s1{}", dates(31 * minute, hour)));
    invalid.push(format!("s2{}", dates(minute, 9 * hour)));
    invalid.push(format!("s3{}", dates(-2 * day, -2 * day)));
    invalid.push(format!("s3{}", dates(-hour, hour)));
    Habits {
        cookie: Some("SERVERID"),
        valid,
        invalid,
        targets: &["/socket.io/?EIO=4&transport=polling", "/"],
        upgrades: 15,
        application_cookies: 35,
        ..Habits::default()
    }
}

/// HAProxy's dates count units of 4 s.
const UNIT_BITS: u32 = 2;

/// The digits of HAProxy's dates.
const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A date as HAProxy writes it, some seconds ago: five digits for 30 bits.
fn date(seconds_ago: i64) -> String {
    let units = (now() - seconds_ago) >> UNIT_BITS;
    (0..5).rev().map(|digit| char::from(DIGITS[(units >> (6 * digit)) as usize & 63])).collect()
}

/// The unit that HAProxy writes now: the one that has begun counts as over.
fn unit() -> i64 {
    (now() + 3) >> UNIT_BITS
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Writes every date of the last 40 seconds as `|now`: both programs write the time of their own answer.
fn undated(line: &str) -> String {
    let recent: Vec<String> = (-1..10).map(|units| format!("|{}", date(4 * units))).collect();
    recent.iter().fold(line.to_owned(), |line, date| line.replace(date, "|now"))
}

#[test]
fn every_cookie_mode_as_haproxy() {
    let reports = MODES.map(|(haproxy, limpet)| compare(haproxy, limpet, With::Limpet).report());
    let reports: Vec<String> = reports.into_iter().flatten().collect();
    assert!(reports.is_empty(), "{}", reports.join("\n"));
}

#[test]
fn haproxy_answers_every_cookie_mode_as_itself() {
    for (haproxy, limpet) in MODES {
        compare(haproxy, limpet, With::Itself).assert_equal(300);
    }
}
