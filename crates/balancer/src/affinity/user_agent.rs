//! Gives user agents small numbers, so that a session record holds two bytes instead of a long text.
//!
//! There are at most 1,024 numbers for the life of the process, which cost at most 300 KB. Few programs make up most
//! clients, and the numbers serve a dashboard only: once a client that invents names has used them up, further ones
//! count as others.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The most names that are told apart.
const MAX_NAMES: usize = 1024;
/// The longest kept name in bytes; what follows in longer ones seldom differs.
const MAX_NAME_LEN: usize = 200;

/// The user agents seen so far and their numbers.
#[derive(Debug, Default)]
pub struct UserAgents(RwLock<Names>);

#[derive(Debug, Default)]
struct Names {
    /// The name of number 1 comes first.
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
}

impl UserAgents {
    /// Returns the number of a `User-Agent` value (RFC 9110, 10.1.5), cut to 200 bytes. 0 stands for none, and for
    /// others when there are no more numbers. Bytes that are not UTF-8 are replaced.
    pub fn number(&self, user_agent: &[u8]) -> u16 {
        // A character more than needed, so that the cut below never meets the half of one that was whole.
        let start = user_agent.get(..MAX_NAME_LEN + 4).unwrap_or(user_agent);
        let name = String::from_utf8_lossy(start);
        let name = Cow::as_ref(&name);
        let name = name.get(..name.floor_char_boundary(MAX_NAME_LEN)).unwrap_or(name).trim();
        if name.is_empty() {
            return 0;
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).known(name);
        known.unwrap_or_else(|| self.0.write().unwrap_or_else(PoisonError::into_inner).add(name))
    }

    /// Returns the name of a number; `None` for 0 and for numbers that were never given.
    pub fn name(&self, number: u16) -> Option<Arc<str>> {
        let at = usize::from(number).checked_sub(1)?;
        self.0.read().unwrap_or_else(PoisonError::into_inner).names.get(at).cloned()
    }
}

impl Names {
    /// Returns the number of a name, if it is certain without adding it.
    fn known(&self, name: &str) -> Option<u16> {
        let full = self.names.len() >= MAX_NAMES;
        self.numbers.get(name).copied().or_else(|| full.then_some(0))
    }

    fn add(&mut self, name: &str) -> u16 {
        // Another thread may have added it, or the last one possible, since this one looked.
        if let Some(number) = self.known(name) {
            return number;
        }
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        let number = u16::try_from(self.names.len()).unwrap_or(0);
        self.numbers.insert(name, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_names_share_a_number() {
        let agents = UserAgents::default();
        let (one, two) = (agents.number(b"Mozilla/5.0"), agents.number(b"node-XMLHttpRequest"));
        assert_eq!((one, two), (1, 2));
        assert_eq!(agents.number(b" Mozilla/5.0\t"), one);
        assert_eq!(agents.name(one).as_deref(), Some("Mozilla/5.0"));
        assert_eq!(agents.name(two).as_deref(), Some("node-XMLHttpRequest"));
        assert_eq!(agents.name(3), None);
    }

    #[test]
    fn zero_is_no_name() {
        let agents = UserAgents::default();
        assert_eq!((agents.number(b""), agents.number(b"  "), agents.name(0)), (0, 0, None));
    }

    #[test]
    fn the_number_of_names_is_bounded() {
        let agents = UserAgents::default();
        for name in 1..=MAX_NAMES {
            assert_eq!(usize::from(agents.number(name.to_string().as_bytes())), name);
        }
        assert_eq!(agents.number(b"another"), 0);
        assert_eq!(agents.number(b"1024"), 1024);
        assert_eq!(agents.name(1024).as_deref(), Some("1024"));
        assert_eq!(agents.name(1025), None);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let agents = UserAgents::default();
        let long = format!("{}€{}", "x".repeat(199), "y".repeat(500));
        let number = agents.number(long.as_bytes());
        assert_eq!(agents.name(number).unwrap().as_ref(), "x".repeat(199));
        assert_eq!(agents.number(format!("{}€z", "x".repeat(199)).as_bytes()), number);
        let fits = format!("{}€tail", "x".repeat(197));
        assert_eq!(agents.name(agents.number(fits.as_bytes())).unwrap().as_ref(), &fits[..200]);
    }

    #[test]
    fn threads_agree_on_numbers() {
        let agents = UserAgents::default();
        let count = || (0..500_u32).map(|name| agents.number(name.to_string().as_bytes())).collect::<Vec<_>>();
        let all: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|numbers| *numbers == all[0]));
        for (name, number) in all[0].iter().enumerate() {
            assert_eq!(agents.name(*number).as_deref(), Some(name.to_string().as_str()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let agents = UserAgents::default();
            let number = agents.number(&bytes);
            prop_assert!(agents.name(number).is_none_or(|name| name.len() <= MAX_NAME_LEN));
        }
    }
}
