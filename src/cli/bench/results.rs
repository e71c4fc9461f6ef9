//! What was measured, as a table that can be pasted into a report.

use std::collections::BTreeMap;

use serde::Serialize;

use super::job::{Job, Numbers, Variant, Work};
use super::{About, BenchArgs};

/// What each measured in one round, side by side in time.
pub(super) type Measured = BTreeMap<Variant, Numbers>;

/// One line of the table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: String,
    /// Every run's number, in the unit that `what` names.
    regraft: Vec<f64>,
    python: Vec<f64>,
    compiled: Vec<f64>,
    /// How many times better regraft was than the faster Python, round by round.
    better: Vec<f64>,
}

/// Which numbers of a job make a row: name, title, unit, and whether more is better.
fn columns(job: Job) -> &'static [(&'static str, &'static str, f64, bool)] {
    const MIB: f64 = 1.0 / (1 << 20) as f64;
    match job {
        Job::Train => &[
            ("images_per_second", "training, images/s", 1.0, true),
            ("peak_memory_bytes", "peak memory of that, MiB", MIB, false),
        ],
        Job::Adapt => &[
            ("images_per_second", "domain-adversarial training, images/s", 1.0, true),
            ("peak_memory_bytes", "peak memory of domain-adversarial training, MiB", MIB, false),
        ],
        Job::Input => &[("images_per_second", "input pipeline alone, images/s", 1.0, true)],
        Job::Start => &[("seconds", "start of the process to the end of the first step, s", 1.0, false)],
        Job::Epoch => &[("seconds", "process with one epoch and its validation, s", 1.0, false)],
        Job::Head => &[("seconds", "process with ten epochs of a head alone, s", 1.0, false)],
        Job::File => &[
            ("save_seconds", "saving a .pth, ms", 1000.0, false),
            ("load_seconds", "loading a .pth, ms", 1000.0, false),
        ],
    }
}

/// The rows of a work.
pub(super) fn rows(work: &Work, rounds: &[Measured]) -> Vec<Row> {
    let Work { job, model, precision } = work;
    let row = |&(key, title, unit, more): &(&str, &str, f64, bool)| {
        let of = |variant: Variant| -> Vec<f64> {
            rounds.iter().filter_map(|round| Some(round.get(&variant)?.get(key)? * unit)).collect()
        };
        let (regraft, python, compiled) = (of(Variant::Regraft), of(Variant::Python), of(Variant::Compiled));
        let best = |number: usize| {
            let rivals = [python.get(number), compiled.get(number)].into_iter().flatten().copied();
            rivals.reduce(if more { f64::max } else { f64::min })
        };
        let pairs = regraft.iter().enumerate().filter_map(|(number, ours)| Some((*ours, best(number)?)));
        let better = pairs.map(|(ours, theirs)| if more { ours / theirs } else { theirs / ours }).collect();
        let what =
            if *job == Job::File { format!("{title}: {model}") } else { format!("{title}: {model}, {precision}") };
        Row { what, regraft, python, compiled, better }
    };
    columns(*job).iter().map(row).collect()
}

/// What libjpeg-turbo decodes, and how much of that the input pipeline reaches.
pub(super) fn limit_row(rounds: &[Measured], limit: &[f64]) -> Row {
    let ours: Vec<f64> =
        rounds.iter().filter_map(|round| round.get(&Variant::Regraft)?.get("images_per_second").copied()).collect();
    let better = ours.iter().zip(limit).map(|(ours, limit)| ours / limit).collect();
    let what = "the same beside libjpeg-turbo that only decodes, images/s".into();
    Row { what, regraft: ours, python: limit.to_vec(), compiled: vec![], better }
}

/// Median, least and most.
fn spread(values: &[f64], unit: &str) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let digits = |value: f64| match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => {
            let middle = sorted.len() / 2;
            let median =
                if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
            format!("{}{unit} ({}–{})", digits(median), digits(*least), digits(*most))
        }
        _ => "–".into(),
    }
}

/// The rows as Markdown: medians with least and most; the last column above 1 where regraft is better.
pub(super) fn table(rows: &[Row]) -> String {
    let compiled = rows.iter().any(|row| !row.compiled.is_empty());
    let mut lines = vec![];
    let mut line = |what: &str, regraft: &str, python: &str, third: &str, better: &str| {
        let third = if compiled { format!(" {third} |") } else { String::new() };
        lines.push(format!("| {what} | {regraft} | {python} |{third} {better} |"));
    };
    line("", "regraft", "Python", "torch.compile", "regraft is better by");
    line("---", "---", "---", "---", "---");
    for row in rows {
        let [regraft, python, third] = [&row.regraft, &row.python, &row.compiled].map(|values| spread(values, ""));
        line(&row.what, &regraft, &python, &third, &spread(&row.better, " ×"));
    }
    lines.join("\n")
}

/// What the table is about.
pub(super) fn heading(about: &About, args: &BenchArgs) -> String {
    let python = match &about.python {
        Some(python) => {
            let word = |key: &str| python[key].as_str().unwrap_or("?").to_string();
            let (version, torch, vision) = (word("python"), word("torch"), word("torchvision"));
            format!("Python {version} with PyTorch {torch} and torchvision {vision}, {} workers", about.cores)
        }
        None => "no Python beside it".into(),
    };
    format!(
        "regraft {} on libtorch {}; {python}.\n{}, {} cores, {}; load before {:.1}. {}, batch {}, {} + {} steps, {} runs of each \
         in turns; median (least–most).",
        about.versions.regraft,
        about.versions.libtorch,
        about.processor,
        about.cores,
        about.device,
        about.load_before,
        about.images,
        about.batch_size,
        args.warmup,
        args.steps,
        args.repeat,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Precision;

    fn numbers(pairs: &[(&str, f64)]) -> Numbers {
        pairs.iter().map(|(name, value)| (name.to_string(), *value)).collect()
    }

    #[test]
    fn ratios_are_of_neighbours_and_beside_the_faster_python() {
        let work = Work { job: Job::Train, model: "resnet18".into(), precision: Precision::Fp32 };
        let round = |ours: f64, python: f64, compiled: f64| {
            let numbers = |rate| numbers(&[("images_per_second", rate), ("peak_memory_bytes", rate * 1048576.0)]);
            Measured::from([
                (Variant::Regraft, numbers(ours)),
                (Variant::Python, numbers(python)),
                (Variant::Compiled, numbers(compiled)),
            ])
        };
        let rows = rows(&work, &[round(30.0, 20.0, 10.0), round(20.0, 10.0, 16.0), round(12.0, 10.0, 5.0)]);
        assert_eq!(rows[0].better, [1.5, 1.25, 1.2]);
        assert_eq!(rows[1].better, [10.0 / 30.0, 0.5, 5.0 / 12.0]);
        let table = table(&rows);
        assert!(
            table.contains("| training, images/s: resnet18, fp32 | 20.00 (12.00–30.00) | 10.00 (10.00–20.00) |"),
            "{table}"
        );
        assert!(table.contains("torch.compile") && table.contains("1.25 × (1.20–1.50)"), "{table}");
    }

    #[test]
    fn alone_there_is_nothing_to_compare_with() {
        let work = Work { job: Job::Epoch, model: "resnet18".into(), precision: Precision::Bf16 };
        let rows = rows(&work, &[Measured::from([(Variant::Regraft, numbers(&[("seconds", 2.0)]))])]);
        let table = table(&rows);
        assert!(
            table.ends_with(
                "| process with one epoch and its validation, s: resnet18, bf16 | 2.00 (2.00–2.00) | – | – |"
            ),
            "{table}"
        );
    }
}
