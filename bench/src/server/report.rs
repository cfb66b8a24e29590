//! Writes the result as Markdown: values with their spread, ratios, goals, and what is needed to repeat the run.

use super::candidates::Candidate;
use super::rounds::{Sample, Samples, Settings};
use super::rows::{Goal, Row};
use crate::report::{machine, one_line, print_head, show};
use crate::stats::{Summary, summarise};

/// Prints the whole report on standard output.
pub(super) fn print(settings: &Settings, samples: &Samples, command: &str) {
    print_setting(settings, command);
    print_values(settings, samples);
    print_goals(settings, samples);
    print_own_work(settings, samples);
}

fn print_setting(settings: &Settings, command: &str) {
    println!("## Servers side by side\n");
    println!("- Repeat with `{command}`");
    println!("- {}", one_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]));
    println!("- {}", machine());
    for candidate in &settings.candidates {
        println!("- {}: {}", candidate.title(), settings.programs.version(*candidate));
    }
    println!(
        "- Server alone on core 0, one thread; load generator on core 1, which never sleeps; no balancer. Between them: {}. \
         {} rounds, candidates alternating, {:?} measured after {:?} of warm-up. CPU is the run time of all threads of \
         the server{}, memory the growth of its proportional set size.\n",
        settings.network.describe(),
        settings.rounds,
        settings.measured,
        settings.warm_up,
        settings.network.describe_cost()
    );
}

fn print_values(settings: &Settings, samples: &Samples) {
    let columns = &settings.candidates;
    println!("### Cost: median (min–max)\n");
    print_head("| Row | Unit |", columns.iter().map(|candidate| candidate.title()));
    for row in &settings.rows {
        let cells = columns.iter().map(|candidate| {
            let all = of(samples, row, *candidate);
            let taken: Vec<Sample> = all.iter().copied().flatten().collect();
            let Some(summary) = summarise(taken.iter().map(|sample| sample.value)) else {
                return "failed".to_owned();
            };
            let mut cell = show(summary);
            if taken.iter().filter(|sample| !sample.counts).count() * 2 > taken.len() {
                cell.push_str(" †");
            }
            if all.len() > taken.len() {
                cell.push_str(&format!(" ({} failed)", all.len() - taken.len()));
            }
            cell
        });
        println!("| {} (`{}`) | {} | {} |", row.title, row.name, row.unit(), cells.collect::<Vec<_>>().join(" | "));
    }
    println!("\n† In most rounds the server was not at its limit (ready to run less than 90 % of the time): the value");
    println!("then also holds the price of going to sleep and waking up.\n");
}

/// Every ratio of Limpet is a line, those without a goal too.
fn print_goals(settings: &Settings, samples: &Samples) {
    if !settings.candidates.contains(&Candidate::Limpet) {
        return;
    }
    println!("### Limpet against the others: median of the ratios of each round (min–max)\n");
    println!("| Row | Against | Measured | Goal | Met |\n|---|---|---|---|---|");
    for row in &settings.rows {
        // Bare sockets have no sessions to remember.
        let compares = |candidate: &Candidate| match candidate {
            Candidate::Limpet => false,
            Candidate::Floor => row.work.is_cpu(),
            Candidate::Node | Candidate::Socketioxide => true,
        };
        let others = settings.candidates.iter().copied().filter(compares);
        for against in others.map(Some).chain([None]) {
            let goal = row.goals.iter().find(|goal| goal.against == against);
            print_goal(samples, row, against, goal);
        }
    }
    println!();
}

fn print_goal(samples: &Samples, row: &Row, against: Option<Candidate>, goal: Option<&Goal>) {
    let measured = match against {
        Some(against) => ratio(samples, row, against),
        // The value itself is in the other table.
        None if goal.is_none() => return,
        None => summarise(of(samples, row, Candidate::Limpet).iter().flatten().map(|sample| sample.value)),
    };
    let (against, sign) = against.map_or_else(|| (row.unit(), ""), |against| (against.title(), "x"));
    let bound = goal.map(|goal| format!("≤ {}{sign}", goal.at_most)).unwrap_or_default();
    let verdict = match (measured, goal) {
        (_, None) => "",
        (None, _) => "not measured",
        (Some(summary), Some(goal)) if summary.median <= goal.at_most => "yes",
        _ => "**no**",
    };
    let measured = measured.map(show).unwrap_or_default();
    println!("| {} | {against} | {measured} | {bound} | {verdict} |", row.title);
}

/// What a library costs above the bare sockets is its own work: the part that it can do something about.
fn print_own_work(settings: &Settings, samples: &Samples) {
    let has = |candidate| settings.candidates.contains(&candidate);
    let is_cpu = settings.rows.iter().any(|row| row.work.is_cpu());
    if !(is_cpu && has(Candidate::Floor) && has(Candidate::Limpet)) {
        return;
    }
    let others = [Candidate::Node, Candidate::Socketioxide].into_iter().filter(|candidate| has(*candidate));
    println!("### Own work: what Limpet costs above the bare sockets, against what the others cost above them\n");
    println!("| Row | Limpet | Against | Ratio |\n|---|---|---|---|");
    for row in settings.rows.iter().filter(|row| row.work.is_cpu()) {
        for against in others.clone() {
            let rounds = of(samples, row, Candidate::Floor)
                .iter()
                .zip(of(samples, row, Candidate::Limpet))
                .zip(of(samples, row, against))
                .filter_map(|((floor, limpet), other)| {
                    let floor = (*floor)?.value;
                    Some(((*limpet)?.value - floor, (*other)?.value - floor))
                });
            let own = summarise(rounds.clone().map(|(limpet, _)| limpet)).map(show).unwrap_or_default();
            let ratio = summarise(rounds.map(|(limpet, other)| limpet / other)).map(show).unwrap_or_default();
            println!("| {} | {own} {} | {} | {ratio} |", row.title, row.unit(), against.title());
        }
    }
    println!();
}

/// Ratios within a round, so that what disturbs a whole round disturbs no ratio.
fn ratio(samples: &Samples, row: &Row, against: Candidate) -> Option<Summary> {
    let pairs = of(samples, row, Candidate::Limpet).iter().zip(of(samples, row, against));
    summarise(pairs.filter_map(|(subject, against)| Some((*subject)?.value / (*against)?.value)))
}

fn of<'a>(samples: &'a Samples, row: &Row, candidate: Candidate) -> &'a [Option<Sample>] {
    samples.get(&(row.name, candidate)).map_or(&[], Vec::as_slice)
}
