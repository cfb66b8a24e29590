//! Runs the fuzz targets, guided by coverage, on the stable toolchain: the compiler's own pass counts edges, and
//! `libfuzzer-sys` brings the rest. Only sanitizers would need more, and the decoders have no unsafe code.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{cargo, check, root};

/// What makes the compiler count edges and comparisons for libFuzzer.
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// How long each target runs unless it is said.
pub(crate) const SECONDS: u32 = 5;

/// The longest input. Longer ones show nothing new and are slow.
const MAX_BYTES: u32 = 4096;

/// Builds all targets and runs this one, or all of them, for some seconds each.
///
/// # Errors
/// When a target does not build or finds something; its input is kept and named.
pub(crate) fn run(seconds: u32, only: Option<&str>) -> Result<()> {
    let fuzz = root().join("fuzz");
    let mut names: Vec<String> = files(&fuzz.join("fuzz_targets"))?;
    names.sort();
    if let Some(only) = only {
        ensure!(names.iter().any(|name| name == only), "no target {only}; there are {}", names.join(", "));
        names.retain(|name| name == only);
    }
    let built = root().join("target/fuzz");
    let host = host()?;
    // With a target of its own, build scripts are not instrumented.
    let mut build = cargo();
    build.args(["build", "--release", "--target", &host, "--manifest-path"]).arg(fuzz.join("Cargo.toml"));
    check(build.arg("--target-dir").arg(&built).env("RUSTFLAGS", COVERAGE))?;
    for name in &names {
        let (corpus, found) = (built.join("corpus").join(name), built.join("found"));
        fs::create_dir_all(&corpus).and_then(|()| fs::create_dir_all(&found)).context("cannot make folders")?;
        let mut command = Command::new(built.join(&host).join("release").join(name));
        command.args([&format!("-max_total_time={seconds}"), &format!("-max_len={MAX_BYTES}"), "-timeout=10"]);
        command.arg("-rss_limit_mb=1024");
        command.arg(format!("-artifact_prefix={}/{name}-", found.display())).arg(&corpus);
        let seeds = fuzz.join("seeds").join(name);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        // It talks a lot, and about nothing while nothing is found.
        let log = built.join(format!("{name}.log"));
        let status = command.stderr(File::create(&log)?).status().with_context(|| format!("cannot run {name}"))?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let last = said.lines().rev().take(60).collect::<Vec<_>>();
        if !status.success() {
            last.iter().rev().for_each(|line| eprintln!("{line}"));
            bail!("{name} has found something ({status}); its input is in {}", found.display());
        }
        println!("{name}: {}", last.iter().find(|line| line.starts_with("Done ")).unwrap_or(&"nothing found"));
    }
    println!("xtask: {} targets found nothing in {seconds} s each", names.len());
    Ok(())
}

/// The names of the Rust files in a folder.
fn files(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect())
}

/// The platform that the compiler builds for by default.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8(output.stdout)?;
    match text.lines().find_map(|line| line.strip_prefix("host: ")) {
        Some(host) => Ok(host.to_owned()),
        None => bail!("rustc does not name its host: {text}"),
    }
}
