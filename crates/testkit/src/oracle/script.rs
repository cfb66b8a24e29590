//! A seeded sequence of requests: what a crowd of clients with their habits does.

use std::net::Ipv4Addr;

use super::client::{Body, Cookies, Step};
use super::random::Random;

/// What a crowd does.
#[derive(Clone, Debug)]
pub struct Habits {
    /// How many clients there are; each third shares its /24 with its neighbours.
    pub clients: usize,
    /// The cookie that binds, if one does.
    pub cookie: Option<&'static str>,
    /// Values that name an endpoint.
    pub valid: Vec<String>,
    /// Values that name none: unknown, malformed, expired, empty.
    pub invalid: Vec<String>,
    /// Paths with queries.
    pub targets: &'static [&'static str],
    /// Hosts.
    pub hosts: &'static [&'static str],
    /// How many of a hundred requests ask for a WebSocket.
    pub upgrades: usize,
    /// How many of a hundred answers of an endpoint set the cookie themselves.
    pub application_cookies: usize,
    /// Whether every request brings one of the valid values.
    pub always_bound: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            clients: 30,
            cookie: None,
            valid: Vec::new(),
            invalid: Vec::new(),
            targets: &["/"],
            hosts: &["limpet.test"],
            upgrades: 0,
            application_cookies: 0,
            always_bound: false,
        }
    }
}

/// Texts as [`Habits`] takes them.
#[must_use]
pub fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// The sequence of one seed. It goes on for as long as it is asked.
#[derive(Clone, Debug)]
pub struct Script {
    habits: Habits,
    clients: Vec<Ipv4Addr>,
    random: Random,
    count: usize,
}

impl Script {
    /// Begins the sequence of a seed.
    #[must_use]
    pub fn new(habits: Habits, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut clients: Vec<Ipv4Addr> = Vec::new();
        let mut octet = || u8::try_from(1 + random.below(250)).unwrap_or(1);
        for number in 0..habits.clients {
            let neighbour = clients.last().filter(|_| number % 3 != 0).map(Ipv4Addr::octets);
            // Drawn in any case, so that a seed gives the same numbers whatever the clients are.
            let other = [127, octet(), octet(), 0];
            let [_, second, third, _] = neighbour.unwrap_or(other);
            clients.push(Ipv4Addr::new(127, second, third, octet()));
        }
        Self { habits, clients, random, count: 0 }
    }

    /// The addresses of the clients.
    #[must_use]
    pub fn clients(&self) -> &[Ipv4Addr] {
        &self.clients
    }

    /// The next requests.
    pub fn steps(&mut self, count: usize) -> Vec<Step> {
        (0..count).map(|_| self.step()).collect()
    }

    /// The next request.
    pub fn step(&mut self) -> Step {
        self.count += 1;
        let client = *self.random.pick(&self.clients);
        let mut step = Step::get(client, *self.random.pick(self.habits.targets));
        step.host = (*self.random.pick(self.habits.hosts)).to_owned();
        step.cookies = self.cookies();
        if self.random.percent(self.habits.upgrades) {
            step.upgrade = true;
        } else if self.random.percent(15) {
            step.method = "POST";
            step.body = if self.random.percent(30) { Body::Chunked(300) } else { Body::Length(self.random.below(300)) };
        }
        if let Some(name) = self.habits.cookie
            && self.random.percent(self.habits.application_cookies)
        {
            let attributes = *self.random.pick(&["", "; Path=/", "; Path=/; HttpOnly", "; HttpOnly; SameSite=Lax"]);
            step.lines.push(format!("X-Set-Cookie: {name}=sid{}{attributes}", self.count));
        }
        if self.random.percent(10) {
            step.lines.push("X-Set-Cookie: lang=de; Path=/".to_owned());
        }
        if self.random.percent(10) {
            let value = *self.random.pick(&["no-store", "max-age=60", "public"]);
            step.lines.push(format!("X-Set-Cache-Control: {value}"));
        }
        step
    }

    fn cookies(&mut self) -> Cookies {
        let Some(name) = self.habits.cookie else {
            return if self.random.percent(20) { Cookies::Lines(vec!["a=1; b=2".to_owned()]) } else { Cookies::Absent };
        };
        let mut value = |valid: bool| {
            let values = if valid { &self.habits.valid } else { &self.habits.invalid };
            format!("{name}={}", self.random.pick(values))
        };
        let (first, second, bad) = (value(true), value(true), value(false));
        let kept = format!("{name}={{kept}}");
        let one = |line: String| Cookies::Lines(vec![line]);
        if self.habits.always_bound {
            return one(if self.random.percent(50) { first } else { format!("a=1; {first}; b=2") });
        }
        match self.random.below(100) {
            0..40 => Cookies::Kept,
            40..55 => Cookies::Absent,
            55..65 => one(first),
            65..75 => one(bad),
            75..78 => one(format!("a=1; {kept}; b=2")),
            78..81 => one(format!("{kept}; b=2")),
            81..84 => one(format!("a=1;{first}")),
            84..86 => one(format!("{first}; {second}")),
            86..88 => one(format!("{bad}; {first}")),
            88..90 => one(format!("{first}; {bad}; a=1")),
            90..92 => Cookies::Lines(vec![first, second]),
            92..94 => Cookies::Lines(vec!["a=1".to_owned(), first, "b=2".to_owned()]),
            94..96 => Cookies::Lines(vec![bad, first]),
            96..98 => one(format!("x{first}; y{kept}")),
            _ => one("a=1; b=2".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_sequence() {
        let habits = Habits {
            cookie: Some("io"),
            valid: texts(&["a"]),
            invalid: texts(&["?"]),
            upgrades: 20,
            ..Habits::default()
        };
        let steps = Script::new(habits.clone(), 7).steps(200);
        assert_eq!(Script::new(habits.clone(), 7).steps(200), steps);
        assert_ne!(Script::new(habits, 8).steps(200), steps);
        assert!(steps.iter().any(|step| step.upgrade) && steps.iter().any(|step| step.method == "POST"));
    }

    #[test]
    fn clients_share_networks() {
        let script = Script::new(Habits::default(), 1);
        let [first, second, ..] = script.clients() else { panic!("thirty clients") };
        assert_eq!(first.octets()[..3], second.octets()[..3]);
        assert!(script.clients().iter().all(|client| client.is_loopback()));
    }
}
