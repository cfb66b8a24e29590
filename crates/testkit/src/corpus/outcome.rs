//! Decides whether what happened to an entry is one of its acceptable outcomes.

/// One acceptable outcome of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answers that the client gets, in order.
    pub answers: Vec<StatusRule>,
    /// What becomes of the connection.
    pub end: End,
    /// The requests that an endpoint sees, in order.
    pub sees: Vec<ExpectedRequest>,
}

/// Which statuses one answer may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRule {
    /// Any of these.
    pub statuses: Vec<u16>,
    /// Whether it answers a HEAD request and so has no body.
    pub to_head: bool,
    /// Whether it may be missing.
    pub optional: bool,
}

/// What must become of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The next request on it gets its own answer.
    Open,
    /// It is closed at once.
    Closed,
    /// Either of the two.
    Any,
    /// It relays bytes.
    Tunnel,
}

/// What became of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A following request got its own answer.
    Open,
    /// It was closed.
    Closed,
    /// It relayed bytes.
    Tunnel,
}

/// A request that an endpoint must see, or (without a length) must never see complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRequest {
    /// The method.
    pub method: String,
    /// The target as the endpoint sees it.
    pub target: String,
    /// Bytes of the decoded body; `None` when the request must not complete.
    pub body_bytes: Option<u64>,
    /// Fields that must be there with this value; names in lower case.
    pub has: Vec<(String, String)>,
    /// Fields, in lower case, that must be missing.
    pub lacks: Vec<String>,
}

/// A request as an endpoint saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRequest {
    /// The method.
    pub method: String,
    /// The target.
    pub target: String,
    /// Bytes of the decoded body; `None` when the request was cut off.
    pub body_bytes: Option<u64>,
    /// Header and trailer fields; names in lower case.
    pub fields: Vec<(String, String)>,
}

/// What happened to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// The statuses of the answers, in order, interim ones included.
    pub statuses: Vec<u16>,
    /// What became of the connection.
    pub ended: Ended,
    /// The requests that the endpoint saw.
    pub requests: Vec<SeenRequest>,
}

impl Outcome {
    /// Fails with the first difference between this outcome and what happened.
    pub fn check(&self, observed: &Observed) -> Result<(), String> {
        if !statuses_match(&self.answers, &observed.statuses) {
            return Err(format!("answers {:?}", observed.statuses));
        }
        let end_is_right = match self.end {
            End::Open => observed.ended == Ended::Open,
            End::Closed => observed.ended == Ended::Closed,
            End::Any => matches!(observed.ended, Ended::Open | Ended::Closed),
            End::Tunnel => observed.ended == Ended::Tunnel,
        };
        if !end_is_right {
            return Err(format!("the connection ended {:?}, not {:?}", observed.ended, self.end));
        }
        let mut seen = observed.requests.iter().peekable();
        for expected in &self.sees {
            match (expected.body_bytes, seen.peek()) {
                (Some(_), Some(request)) => expected.check(request)?,
                (Some(_), None) => return Err(format!("{} {} was not seen", expected.method, expected.target)),
                (None, Some(request)) if expected.check(request).is_ok() => {}
                (None, _) => continue,
            }
            seen.next();
        }
        match seen.next() {
            Some(extra) => Err(format!("the endpoint also saw {extra:?}")),
            None => Ok(()),
        }
    }

    /// Whether the answer at `index`, interim ones not counted, is to a HEAD request.
    pub fn is_to_head(&self, index: usize) -> bool {
        self.finals().nth(index).is_some_and(|rule| rule.to_head)
    }

    /// The least count of answers, interim ones not counted.
    pub fn least_answers(&self) -> usize {
        self.finals().count()
    }

    fn finals(&self) -> impl Iterator<Item = &StatusRule> {
        self.answers.iter().filter(|rule| !rule.optional && !rule.statuses.iter().all(|status| is_interim(*status)))
    }
}

/// Whether another answer to the same request follows one with this status (RFC 9110 section 15.2); 101 is the last.
pub fn is_interim(status: u16) -> bool {
    matches!(status, 100 | 102..=199)
}

impl ExpectedRequest {
    fn check(&self, seen: &SeenRequest) -> Result<(), String> {
        if (&self.method, &self.target, self.body_bytes) != (&seen.method, &seen.target, seen.body_bytes) {
            return Err(format!("the endpoint saw {} {} {:?}", seen.method, seen.target, seen.body_bytes));
        }
        if let Some(missing) = self.has.iter().find(|field| !seen.fields.contains(field)) {
            return Err(format!("the endpoint did not see the field {missing:?} but {:?}", seen.fields));
        }
        if let Some(extra) = seen.fields.iter().find(|(name, _)| self.lacks.contains(name)) {
            return Err(format!("the endpoint saw the field {extra:?}"));
        }
        Ok(())
    }
}

fn statuses_match(rules: &[StatusRule], statuses: &[u16]) -> bool {
    let Some((rule, later_rules)) = rules.split_first() else { return statuses.is_empty() };
    let taken = statuses
        .split_first()
        .is_some_and(|(status, later)| rule.statuses.contains(status) && statuses_match(later_rules, later));
    taken || (rule.optional && statuses_match(later_rules, statuses))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::parse;

    fn outcome(text: &str) -> Outcome {
        parse(&format!("=== n\nwhy w\n| x\n{text}")).unwrap().remove(0).outcomes.remove(0)
    }

    fn seen(method: &str, target: &str, body_bytes: Option<u64>) -> SeenRequest {
        let fields = vec![("host".to_owned(), "a".to_owned())];
        SeenRequest { method: method.to_owned(), target: target.to_owned(), body_bytes, fields }
    }

    fn observed(statuses: &[u16], ended: Ended, requests: &[SeenRequest]) -> Observed {
        Observed { statuses: statuses.to_vec(), ended, requests: requests.to_vec() }
    }

    #[test]
    fn statuses_match_in_order_with_choices_and_gaps() {
        let rules = outcome("answers 100? 400|501 200 then open").answers;
        assert!(statuses_match(&rules, &[100, 400, 200]));
        assert!(statuses_match(&rules, &[501, 200]));
        for wrong in [&[400][..], &[200, 400], &[100, 400], &[400, 200, 200], &[100, 100, 400, 200], &[]] {
            assert!(!statuses_match(&rules, wrong), "{wrong:?}");
        }
    }

    #[test]
    fn interim_answers_are_not_counted() {
        let rule = outcome("answers 100 head:200 101 then open");
        assert_eq!((rule.least_answers(), rule.is_to_head(0), rule.is_to_head(1)), (2, true, false));
    }

    #[test]
    fn every_request_must_be_expected_and_every_expected_one_seen() {
        let rule = outcome("answers 200 then open\nsees GET /a 0\nsees POST /b 3");
        let right = [seen("GET", "/a", Some(0)), seen("POST", "/b", Some(3))];
        assert_eq!(rule.check(&observed(&[200], Ended::Open, &right)), Ok(()));
        assert!(rule.check(&observed(&[200], Ended::Closed, &right)).is_err());
        assert!(rule.check(&observed(&[200], Ended::Open, &right[..1])).is_err());
        let longer = [right[0].clone(), seen("POST", "/b", Some(4))];
        assert!(rule.check(&observed(&[200], Ended::Open, &longer)).is_err());
        let more = [right[0].clone(), right[1].clone(), seen("GET", "/c", Some(0))];
        assert!(rule.check(&observed(&[200], Ended::Open, &more)).is_err());
    }

    #[test]
    fn an_aborted_request_may_be_missing_but_never_complete() {
        let rule = outcome("answers 400? then closed\naborts POST /a");
        assert_eq!(rule.check(&observed(&[400], Ended::Closed, &[])), Ok(()));
        assert_eq!(rule.check(&observed(&[], Ended::Closed, &[seen("POST", "/a", None)])), Ok(()));
        assert!(rule.check(&observed(&[], Ended::Closed, &[seen("POST", "/a", Some(3))])).is_err());
    }

    #[test]
    fn fields_are_looked_at() {
        let request = [seen("GET", "/a", Some(0))];
        let at = |text: &str| outcome(text).check(&observed(&[200], Ended::Open, &request));
        assert_eq!(at("answers 200 then any\nsees GET /a 0\n  has Host: a\n  lacks te"), Ok(()));
        assert!(at("answers 200 then any\nsees GET /a 0\n  has host: b").is_err());
        assert!(at("answers 200 then any\nsees GET /a 0\n  lacks host").is_err());
    }
}
