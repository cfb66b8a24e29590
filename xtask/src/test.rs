//! The one test command: install what is missing, then `cargo test`.
//!
//! On a person's machine a missing tool is a warning, and the tests that need it fail by name.
//! When `CI` is set it is an error at once.

use anyhow::{Result, bail};

use crate::run::{cargo, check};
use crate::{fuzz, install};

/// Installs, then runs `cargo test` with these arguments, on the whole workspace unless they name packages.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let steps = [
        ("system packages", install::tools(&install::TEST_TOOLS)),
        ("Node peers", install::node_peers()),
        ("Python peers", install::python_peers()),
    ];
    let mut missing = Vec::new();
    for (what, outcome) in steps {
        if let Err(error) = outcome {
            eprintln!("xtask: could not install the {what}: {error:#}");
            missing.push(what);
        }
    }
    if !missing.is_empty() && std::env::var_os("CI").is_some() {
        bail!("CI needs all of them: {}", missing.join(", "));
    }

    let names_packages = arguments.iter().take_while(|word| *word != "--").any(|word| is_package_choice(word));
    // Before the tests, whose counts are to come last.
    if !names_packages && std::env::var_os("CI").is_some() {
        fuzz::run(fuzz::SECONDS, None)?;
    }
    let mut command = cargo();
    command.arg("test");
    if !names_packages {
        command.arg("--workspace");
    }
    check(command.args(arguments))?;
    if !missing.is_empty() {
        eprintln!("xtask: passed, but these could not be installed: {}", missing.join(", "));
    }
    Ok(())
}

fn is_package_choice(word: &str) -> bool {
    word.starts_with("-p") || word.starts_with("--package") || word == "--workspace"
}
