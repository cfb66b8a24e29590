//! Writes the result as Markdown: values with their spread, ratios and goals, and what is needed to repeat the run.

use super::candidates::Candidate;
use super::load::PAIRS;
use super::rounds::{BATCH, Reading, Samples, Settings, Work};
use crate::report::{machine, one_line, print_head, show};
use crate::stats::{Summary, summarise};

/// The rows: what is done, what is read, the title, the unit, and whether goals are for it.
const ROWS: [(Work, Reading, &str, &str, bool); 18] = [
    (Work::Most, Reading::Receiving, "Receiving node, at most speed", "µs/event", true),
    (Work::Most, Reading::Publishing, "Publishing node, at most speed", "µs/event", true),
    (Work::Most, Reading::Redis, "Redis, at most speed", "µs/event", false),
    (Work::Most, Reading::Rate, "Events each second, all on two cores", "events/s", false),
    (Work::Most, Reading::Disordered, "Out of order, at most speed", "%", false),
    (Work::Fixed, Reading::Receiving, "Receiving node, at a fixed rate", "µs/event", true),
    (Work::Fixed, Reading::Publishing, "Publishing node, at a fixed rate", "µs/event", true),
    (Work::Fixed, Reading::Redis, "Redis, at a fixed rate", "µs/event", false),
    (Work::Fixed, Reading::Median, "From speaker to listener, median", "ms", false),
    (Work::Fixed, Reading::Tail, "From speaker to listener, p99", "ms", false),
    (Work::Single, Reading::Receiving, "Receiving node, each event alone", "µs/event", true),
    (Work::Single, Reading::Publishing, "Publishing node, each event alone", "µs/event", true),
    (Work::Single, Reading::Median, "From speaker to listener, alone, median", "ms", false),
    (Work::Single, Reading::Tail, "From speaker to listener, alone, p99", "ms", false),
    (Work::Elsewhere, Reading::Receiving, "Node where nobody is in the room", "µs/event", true),
    (Work::Elsewhere, Reading::Publishing, "Publishing node, of such events", "µs/event", false),
    (Work::Elsewhere, Reading::Redis, "Redis, of such events", "µs/event", false),
    (Work::Emitter, Reading::Emitting, "Emitter, in bulk", "µs/event", true),
];

/// Prints the whole report on standard output.
pub(super) fn print(settings: &Settings, samples: &Samples, command: &str) {
    print_setting(settings, command);
    print_values(settings, samples);
    print_goals(settings, samples);
}

fn print_setting(settings: &Settings, command: &str) {
    println!("## Buses side by side\n");
    println!("- Repeat with `{command}`");
    println!("- {}", one_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    println!("- {}; {}", machine(), one_line("redis-server", &["--version"]));
    for candidate in &settings.candidates {
        println!("- {}: {}", candidate.title(), settings.programs.version(*candidate));
    }
    println!(
        "- Two nodes with one thread each share core 0; a Redis without persistence and the load generator, which never sleeps, share core 1; \
         loopback. {PAIRS} clients of one node each cause events, {BATCH} at a time, for a room that one client of the other node is in. {} rounds, candidates \
         alternating, {:?} measured after {:?} of warm-up, {} events/s where the rate is fixed and half of it where each is alone. CPU is the run time of all \
         threads. What the publishing node costs includes the client's own event and its acknowledgement, what the \
         receiving node costs includes the delivery.\n",
        settings.rounds, settings.measured, settings.warm_up, settings.rate
    );
}

fn print_values(settings: &Settings, samples: &Samples) {
    println!("### Cost: median (min–max)\n");
    print_head("| Row | Unit |", settings.candidates.iter().map(|candidate| candidate.title()));
    for (work, reading, title, unit, _) in ROWS.iter().filter(|(work, ..)| settings.works.contains(work)) {
        let cells = settings.candidates.iter().map(|candidate| {
            let taken = of(samples, *work, *reading, *candidate);
            match summarise(taken.iter().copied().flatten()) {
                Some(summary) => show(summary),
                None if !candidate.does(*work) => String::new(),
                None => "failed".to_owned(),
            }
        });
        println!("| {title} | {unit} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    println!();
}

fn print_goals(settings: &Settings, samples: &Samples) {
    println!("### Limpet against the others: median of the ratios of each round (min–max)\n");
    println!("| Row | Limpet | Against | Measured | Goal | Met |\n|---|---|---|---|---|---|");
    let is_there = |candidate: &Candidate| settings.candidates.contains(candidate);
    for (work, reading, title, _, _) in ROWS.iter().filter(|row| row.4 && settings.works.contains(&row.0)) {
        for subject in Candidate::ALL.into_iter().filter(is_there) {
            for (against, at_most) in subject.goals().iter().filter(|(against, _)| is_there(against)) {
                let Some(measured) = ratio(samples, *work, *reading, subject, *against) else { continue };
                let bound = at_most.map(|goal| format!("≤ {goal}x")).unwrap_or_default();
                let verdict = at_most.map_or("", |goal| if measured.median <= goal { "yes" } else { "**no**" });
                let (subject, against) = (subject.title(), against.title());
                println!("| {title} | {subject} | {against} | {} | {bound} | {verdict} |", show(measured));
            }
        }
    }
    println!();
}

/// Ratios within a round, so that what disturbs a whole round disturbs no ratio.
fn ratio(samples: &Samples, work: Work, reading: Reading, subject: Candidate, against: Candidate) -> Option<Summary> {
    let pairs = of(samples, work, reading, subject).iter().zip(of(samples, work, reading, against));
    // Who costs nothing, as one who is not told of what it does not want, is not compared.
    summarise(pairs.filter_map(|(subject, against)| Some((*subject)? / against.filter(|against| *against > 0.0)?)))
}

fn of(samples: &Samples, work: Work, reading: Reading, candidate: Candidate) -> &[Option<f64>] {
    samples.get(&(work, reading, candidate)).map_or(&[], Vec::as_slice)
}
