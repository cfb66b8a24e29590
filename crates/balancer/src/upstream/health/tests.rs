use proptest::prelude::*;

use super::*;
use crate::config::{HttpProbe, ProbeMethod};

const OUTLIER: OutlierConfig = OutlierConfig { failures: 2, ejection: Duration::from_secs(10) };

fn rules(rise: u32, fall: u32) -> ProbeConfig {
    ProbeConfig {
        http: Some(HttpProbe { drain_on_404: true, ..HttpProbe::new(ProbeMethod::Get, "/") }),
        interval: Duration::from_secs(10),
        fast_interval: Some(Duration::from_secs(1)),
        down_interval: Some(Duration::from_secs(100)),
        rise,
        fall,
        ..ProbeConfig::default()
    }
}

fn check(status: CheckStatus) -> Check {
    Check::new(status, None, "")
}

fn plain(success: bool) -> Check {
    check(if success { CheckStatus::Layer4Ok } else { CheckStatus::Layer4Connection })
}

#[test]
fn the_first_result_decides_and_then_rise_and_fall_do() {
    let (health, rules) = (Health::default(), rules(2, 3));
    let results = [true, false, false, true, false, false, false, true, false, true, true];
    let changes: Vec<_> =
        (0..).zip(results).map(|(now, success)| health.handle_check(plain(success), &rules, Seconds(now))).collect();
    assert_eq!(changes.iter().position(Option::is_some), Some(6));
    assert_eq!((changes[6], changes[10]), (Some(Change::Down), Some(Change::Up)));

    let health = Health::default();
    assert_eq!(
        health.handle_check(plain(false), &rules, Seconds(0)),
        Some(Change::Down),
        "no second chance at the start"
    );
}

#[test]
fn times_and_counts_are_kept() {
    let (health, rules) = (Health::default(), rules(1, 1));
    assert_eq!(health.probed(Seconds(9)), History::default());
    for (now, success) in [(10, true), (20, false), (50, false), (55, true), (60, true)] {
        health.handle_check(plain(success), &rules, Seconds(now));
    }
    let expected = History {
        checks: 5,
        failed_checks: 1,
        downs: 1,
        since_change: Seconds(45),
        uptime: Seconds(55),
        downtime: Seconds(35),
    };
    assert_eq!(health.probed(Seconds(100)), expected);
    assert_eq!(health.up_since(), Some(Seconds(55)));
    health.handle_check(plain(false), &rules, Seconds(110));
    assert_eq!(health.up_since(), None);
    let history = health.probed(Seconds(115));
    assert_eq!((history.downtime, history.uptime, history.downs), (Seconds(40), Seconds(65), 2));
}

#[test]
fn an_endpoint_that_was_never_down_has_no_slow_start() {
    let health = Health::default();
    health.handle_check(plain(true), &rules(1, 1), Seconds(0));
    assert_eq!(health.up_since(), None);
}

#[test]
fn a_404_drains_only_what_is_up() {
    use CheckStatus::{Layer4Connection, Layer7Ok, Layer7OkConditionally, Layer7Status};
    let (health, rules) = (Health::default(), rules(2, 2));
    let mut at = 0;
    let mut result = |status| {
        at += 1;
        let change = health.handle_check(check(status), &rules, Seconds(at));
        (change, health.is_down(), health.is_no_new())
    };
    assert_eq!(result(Layer7OkConditionally), (Some(Change::NoNew), false, true), "at the start too");
    assert_eq!(result(Layer7OkConditionally), (None, false, true));
    assert_eq!(result(Layer7Ok), (Some(Change::NewAgain), false, false));
    assert_eq!(result(Layer7OkConditionally), (Some(Change::NoNew), false, true));
    assert_eq!(result(Layer4Connection), (None, false, true), "a failure alone changes nothing");
    assert_eq!(result(Layer7OkConditionally), (None, false, true), "and is forgiven");
    assert_eq!(result(Layer4Connection), (None, false, true));
    assert_eq!(result(Layer4Connection), (Some(Change::Down), true, false));
    assert_eq!(result(Layer7OkConditionally), (None, true, false), "it does not come up by a 404");
    assert_eq!(health.last_check().check.status, Layer7Status);
    let result = |status| health.handle_check(check(status), &rules, Seconds(99));
    assert_eq!((result(Layer7Ok), result(Layer7Ok)), (None, Some(Change::Up)));
}

#[test]
fn the_last_check_says_what_is_going_on() {
    let health = Health::default();
    assert_eq!(health.last_check(), LastCheck::default());
    health.expect_checks();
    assert_eq!(health.last_check().check.status.word(), "INI");
    health.begin_check();
    assert!(health.last_check().running);
    health.handle_check(Check::new(CheckStatus::Layer7Status, Some(503), "busy"), &rules(1, 3), Seconds(7));
    let last = health.last_check();
    assert_eq!(
        (last.running, last.at, last.check.code, &*last.check.text),
        (false, Some(Seconds(7)), Some(503), "busy")
    );
    health.expect_checks();
    assert_eq!(health.last_check().check.status.word(), "L7STS");
}

#[test]
fn ejections_grow_until_a_success() {
    let health = Health::default();
    assert!(!health.handle_failure(&OUTLIER));
    assert!(health.handle_failure(&OUTLIER));
    assert_eq!(health.eject(&OUTLIER, Seconds(5)), Seconds(10));
    assert!(health.is_ejected(Seconds(14)) && !health.is_ejected(Seconds(15)));
    assert_eq!(health.eject(&OUTLIER, Seconds(20)), Seconds(20));
    health.handle_success();
    assert_eq!(health.eject(&OUTLIER, Seconds(50)), Seconds(10));
}

#[test]
fn what_comes_up_is_no_longer_ejected() {
    let (health, rules) = (Health::default(), rules(1, 1));
    health.handle_check(plain(false), &rules, Seconds(0));
    health.handle_failure(&OUTLIER);
    health.eject(&OUTLIER, Seconds(1));
    assert_eq!(health.handle_check(plain(true), &rules, Seconds(2)), Some(Change::Up));
    assert!(!health.is_ejected(Seconds(2)));
    health.eject(&OUTLIER, Seconds(3));
    health.handle_check(plain(true), &rules, Seconds(4));
    assert!(health.is_ejected(Seconds(4)), "an endpoint that was up all the time");
}

/// HAProxy's own way to count: one number from 0 to rise + fall - 1; from `rise` on the server is up. Its servers begin
/// at `rise`, so that the first failure takes them down.
struct Model {
    health: u32,
    rise: u32,
    fall: u32,
    drains: bool,
}

impl Model {
    fn is_up(&self) -> bool {
        self.health >= self.rise
    }

    fn handle(&mut self, verdict: Verdict) {
        let was_up = self.is_up();
        let verdict = if verdict == Verdict::PassedConditionally && !was_up { Verdict::Failed } else { verdict };
        match (verdict, was_up) {
            (Verdict::Failed, true) => {
                self.health -= 1;
                if !self.is_up() {
                    (self.health, self.drains) = (0, false);
                }
            }
            (Verdict::Failed, false) => self.health = 0,
            _ => {
                self.health += 1;
                if self.is_up() {
                    self.health = self.rise + self.fall - 1;
                }
                self.drains = verdict == Verdict::PassedConditionally;
            }
        }
    }

    fn interval(&self) -> u64 {
        match self.health {
            0 => 100,
            health if health == self.rise + self.fall - 1 => 10,
            _ => 1,
        }
    }
}

proptest! {
    #[test]
    fn states_and_intervals_are_those_of_haproxy(
        rise in 1_u32..5,
        fall in 1_u32..5,
        results in prop::collection::vec((0_u8..8, 1_u32..20), 0..200),
    ) {
        let (health, rules) = (Health::default(), rules(rise, fall));
        let mut model = Model { health: rise, rise, fall, drains: false };
        let (mut now, mut first, mut down_seconds, mut downs) = (0, None, 0, 0);
        for (result, pause) in results {
            let status = match result {
                0..3 => CheckStatus::Layer7Ok,
                3 => CheckStatus::Layer7OkConditionally,
                4 => CheckStatus::Layer7Timeout,
                5 => CheckStatus::Layer4Connection,
                _ => CheckStatus::Layer7Status,
            };
            let (was_up, drained) = (model.is_up(), model.drains);
            let change = health.handle_check(check(status), &rules, Seconds(now));
            model.handle(status.verdict());
            downs += u32::from(was_up && !model.is_up());
            prop_assert_eq!((health.is_down(), health.is_no_new()), (!model.is_up(), model.drains));
            prop_assert_eq!(health.interval(&rules).as_secs(), model.interval());
            let expected = match (was_up, model.is_up()) {
                (true, false) => Some(Change::Down),
                (false, true) => Some(Change::Up),
                _ if model.drains && !drained => Some(Change::NoNew),
                _ if drained && !model.drains => Some(Change::NewAgain),
                _ => None,
            };
            prop_assert_eq!(change, expected);
            first.get_or_insert(now);
            now += pause;
            down_seconds += if model.is_up() { 0 } else { pause };
            let history = health.probed(Seconds(now));
            prop_assert_eq!((history.downtime.0, history.downs), (down_seconds, downs));
            prop_assert_eq!(history.uptime.0 + history.downtime.0, now - first.unwrap_or(now));
        }
    }
}
