//! Writes the result as Markdown: values with their spread, ratios, goals, and what is needed to repeat the run.

use std::fs;
use std::process::Command;

use crate::candidates::Candidate;
use crate::rounds::{Sample, Samples, Settings};
use crate::rows::{Goal, Row};
use crate::stats::{Summary, summarise};

/// Prints the whole report on standard output.
pub(crate) fn print(settings: &Settings, samples: &Samples, command: &str) {
    print_setting(settings, command);
    print_values(settings, samples);
    print_ratios(settings, samples);
    print_goals(settings, samples);
}

fn print_setting(settings: &Settings, command: &str) {
    println!("## Side by side\n");
    println!("- Repeat with `{command}`");
    println!("- {}", one_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    println!("- {}", machine());
    for candidate in settings.candidates.iter().filter(|candidate| Candidate::COMPARED.contains(candidate)) {
        println!("- {}: {}", candidate.title(), candidate.version(&settings.limpet));
    }
    println!(
        "- Proxy alone on core 0, one thread; load generator and endpoints on core 1, which never sleep. Between them: {}. {} rounds, candidates \
         alternating, {:?} measured after {:?} of warm-up. CPU is the run time of all threads of the proxy{}. \
         Fixed rates start their round trips every {:?}.\n",
        settings.network.describe(),
        settings.rounds,
        settings.measured,
        settings.warm_up,
        settings.network.describe_cost(),
        settings.tick
    );
}

fn print_values(settings: &Settings, samples: &Samples) {
    let columns = &settings.candidates;
    println!("### Cost: median (min–max)\n");
    print_head("| Row | Unit |", columns.iter().map(|candidate| candidate.title()));
    for row in &settings.rows {
        let cells = columns.iter().map(|candidate| {
            if !row.candidates.contains(candidate) {
                return String::new();
            }
            let taken: Vec<Sample> = of(samples, row, *candidate).iter().copied().flatten().collect();
            let Some(summary) = summarise(taken.iter().map(|sample| sample.value)) else {
                return "failed".to_owned();
            };
            let failed = of(samples, row, *candidate).len() - taken.len();
            let loose = taken.iter().filter(|sample| !sample.counts).count();
            let mut cell = show(summary);
            if loose * 2 > taken.len() {
                cell.push_str(" †");
            }
            if failed > 0 {
                cell.push_str(&format!(" ({failed} failed)"));
            }
            cell
        });
        println!("| {} (`{}`) | {} | {} |", row.title, row.name, row.unit(), cells.collect::<Vec<_>>().join(" | "));
    }
    println!(
        "\n† In most rounds the proxy was not at its limit (ready to run less than 90 % of the time), or the offered"
    );
    println!("rate was not reached. The value then also holds the price of going to sleep and waking up.\n");
    print_disturbance(samples);
}

/// HAProxy and nginx have one thread, so they wait for their core only when a stranger uses it.
fn print_disturbance(samples: &Samples) {
    let single = samples.iter().filter(|((_, name), _)| matches!(name, Candidate::Haproxy | Candidate::Nginx));
    let waits = single.flat_map(|(_, taken)| taken).flatten().map(|sample| sample.waited * 100.0);
    if let Some(Summary { median, max, .. }) = summarise(waits.filter(|share| *share > 0.0)) {
        println!(
            "HAProxy and nginx waited for their core {median:.1} % of the time (median; at most {max:.0} %): other"
        );
        println!(
            "processes of the machine used it. That adds cache misses: prefer a run with a small share (see `--nice`).\n"
        );
    }
}

fn print_ratios(settings: &Settings, samples: &Samples) {
    let columns: Vec<Candidate> =
        settings.candidates.iter().copied().filter(|candidate| *candidate != Candidate::Haproxy).collect();
    if columns.len() == settings.candidates.len() {
        return;
    }
    println!("### Ratio to HAProxy: median of the ratios of each round (min–max)\n");
    print_head("| Row |", columns.iter().map(|candidate| candidate.title()));
    for row in settings.rows.iter().filter(|row| row.candidates.contains(&Candidate::Haproxy)) {
        let cells = columns
            .iter()
            .map(|candidate| ratio(samples, row, *candidate, Candidate::Haproxy).map(show).unwrap_or_default());
        println!("| {} | {} |", row.title, cells.collect::<Vec<_>>().join(" | "));
    }
    println!();
}

fn print_goals(settings: &Settings, samples: &Samples) {
    if !settings.candidates.iter().any(|candidate| candidate.is_limpet()) {
        return;
    }
    println!("### Goals of Limpet\n");
    println!("| Row | Against | Measured | Goal | Met |\n|---|---|---|---|---|");
    for row in &settings.rows {
        for goal in row.goals {
            let measured = outcome(samples, row, goal);
            let verdict = match measured {
                Some(summary) if summary.median <= goal.at_most => "yes",
                Some(_) => "**no**",
                None => "not measured",
            };
            let (against, sign) = match goal.against {
                Some(candidate) => (candidate.title(), "x"),
                None => (row.unit(), ""),
            };
            let measured = measured.map(show).unwrap_or_default();
            println!("| {} | {against} | {measured} | ≤ {}{sign} | {verdict} |", row.title, goal.at_most);
        }
    }
    println!();
}

fn outcome(samples: &Samples, row: &Row, goal: &Goal) -> Option<Summary> {
    match goal.against {
        Some(against) => ratio(samples, row, goal.subject, against),
        None => summarise(of(samples, row, goal.subject).iter().flatten().map(|sample| sample.value)),
    }
}

/// Ratios within a round, so that what disturbs a whole round disturbs no ratio.
fn ratio(samples: &Samples, row: &Row, subject: Candidate, against: Candidate) -> Option<Summary> {
    let pairs = of(samples, row, subject).iter().zip(of(samples, row, against));
    summarise(pairs.filter_map(|(subject, against)| Some((*subject)?.value / (*against)?.value)))
}

fn of<'a>(samples: &'a Samples, row: &Row, candidate: Candidate) -> &'a [Option<Sample>] {
    samples.get(&(row.name, candidate)).map_or(&[], Vec::as_slice)
}

/// Prints the head of a table.
pub(crate) fn print_head<'a>(first: &str, columns: impl Iterator<Item = &'a str>) {
    let columns: Vec<&str> = columns.collect();
    println!("{first} {} |", columns.join(" | "));
    println!("|{}", "---|".repeat(columns.len() + first.matches('|').count() - 1));
}

/// The median, and the spread where there is one.
pub(crate) fn show(Summary { median, min, max }: Summary) -> String {
    if min == max { number(median) } else { format!("{} ({}–{})", number(median), number(min), number(max)) }
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The machine in one line.
pub(crate) fn machine() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let count = processor.lines().filter(|line| line.starts_with("processor")).count().max(cores);
    let congestion = fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    format!(
        "{} with {count} cores, {}, congestion control {}",
        model.map_or("unknown processor", |(_, name)| name),
        one_line("uname", &["-sr"]),
        congestion.trim()
    )
}

/// What a program says.
pub(crate) fn one_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(|_| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
