//! Clients of the servers. One thread that never sleeps, and one system call for each message that it sends or reads.

mod crowd;
pub(crate) mod frame;
mod polling;
mod question;

pub(crate) use self::crowd::{Arrival, Crowd};
pub(super) use self::polling::PollingLoad;
pub(super) use self::question::{BURST, Question, ask_each_once, ask_on, tell_all};
