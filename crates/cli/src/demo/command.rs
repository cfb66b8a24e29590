//! Decides what a line means that is typed while the demonstration runs.

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Takes a node out of the balancer, and ends it.
    Stop(u32),
    /// Ends a node without a word to the balancer.
    Kill(u32),
    /// Starts a node that was ended, or lets one that drains take new users again.
    Start(u32),
    /// Sends no new users to a node, and moves those that it has.
    Drain(u32),
    /// Starts one more node.
    Add,
    /// Shows the nodes.
    List,
    /// Shows the commands.
    Help,
    /// Ends all.
    Quit,
}

/// What can be typed.
pub(super) const HELP: &str = "  \
    stop 2    take node 2 out and end it; its users move to the others\n  \
    kill 2    end node 2 without telling the balancer, as a crash would\n  \
    start 2   start it again\n  \
    drain 1   send no new users to node 1 and move those that it has; start 1 takes it back\n  \
    add       start one more node\n  \
    list      show the nodes and how many users each has\n  \
    quit      end all (as Ctrl-C does)\n";

impl Command {
    /// Reads a line; `None` if it is empty.
    pub(super) fn read(line: &str) -> Result<Option<Self>, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let with_node = |command: fn(u32) -> Self, number: &str| match number.parse() {
            Ok(number) => Ok(Some(command(number))),
            Err(_) => Err(format!("{number:?} is no node; write a number, such as {} 2", words[0])),
        };
        match words[..] {
            [] => Ok(None),
            ["stop", node] | ["stop", "node", node] => with_node(Self::Stop, node),
            ["kill", node] | ["kill", "node", node] => with_node(Self::Kill, node),
            ["start", node] | ["start", "node", node] => with_node(Self::Start, node),
            ["drain", node] | ["drain", "node", node] => with_node(Self::Drain, node),
            [word @ ("stop" | "kill" | "start" | "drain")] => Err(format!("which node? write for example {word} 2")),
            [word @ ("stop" | "kill" | "start" | "drain"), ..] => Err(format!("one node at a time, such as {word} 2")),
            ["add"] => Ok(Some(Self::Add)),
            ["list" | "ls" | "status"] => Ok(Some(Self::List)),
            ["help" | "?"] => Ok(Some(Self::Help)),
            ["quit" | "exit" | "q"] => Ok(Some(Self::Quit)),
            _ => Err(format!(
                "there is no command {:?}; help shows them",
                line.trim().chars().take(40).collect::<String>()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        for (line, command) in [
            ("stop 2", Some(Command::Stop(2))),
            ("  START   node 3 ", Some(Command::Start(3))),
            ("drain 1", Some(Command::Drain(1))),
            ("kill 12", Some(Command::Kill(12))),
            ("add", Some(Command::Add)),
            ("list", Some(Command::List)),
            ("?", Some(Command::Help)),
            ("q", Some(Command::Quit)),
            ("", None),
            (" \t", None),
        ] {
            assert_eq!(Command::read(line), Ok(command), "{line:?}");
        }
    }

    #[test]
    fn says_what_would_be_right() {
        for (line, hint) in [
            ("stop", "write for example stop 2"),
            ("stop two", "\"two\" is no node"),
            ("stop 1 2", "one node at a time, such as stop 2"),
            ("drain -1", "\"-1\" is no node"),
            ("halt 2", "help shows them"),
            ("add 3", "help shows them"),
        ] {
            let error = Command::read(line).unwrap_err();
            assert!(error.contains(hint), "{line:?}: {error}");
        }
    }
}
