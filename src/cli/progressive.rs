//! `regraft progressive`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args};

use super::output;
use super::run_args::RunArgs;
use crate::methods::both_labelled::progressive::{self, Outcome, ProgressiveOptions};
use crate::report::{Align, Table, format};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Started again, it goes on where it was stopped. Each column is a run that regraft predict, evaluate and export \
    take; with --earlier they do the task before.\n\n\
    Examples:\n  regraft progressive --task cars=photos/cars --task boats=photos/boats --task planes=photos/planes,shots=10\n  \
    regraft progressive --model small_cnn --from-scratch --image-size 32 --task digits=data/mnist,classes=0+1+2+3+4 \
    --task clothes=data/fashion --task more=data/mnist,classes=5+6+7+8+9,shots=5 --seeds 3"
)]
pub struct ProgressiveArgs {
    #[command(flatten)]
    options: ProgressiveOptions,
    /// Folder of the results and of a run for each network
    #[arg(long, value_name = "FOLDER", default_value = "runs/progressive", help_heading = "Run")]
    out: PathBuf,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`progressive::run`].
pub fn run(args: ProgressiveArgs, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let options = args.run.options(&args.options, matches)?;
    if args.run.print_config {
        output::print_json(&options)?;
        return Ok(ExitCode::SUCCESS);
    }
    options.validate()?;
    output::fetch_if_missing(&options.finetune.model, args.run.quiet)?;
    let root = &args.out;
    let mut cells = args.run.cells(root);
    let outcome = progressive::run(&options, &mut cells)?;
    crate::files::write_json(root.join("progressive.json"), &outcome)?;
    if args.run.json {
        output::print_json(&outcome)?;
    } else {
        output::print(&format!("{}\n{}", table(&outcome), summary(&outcome, root)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tasks down, ways to learn them across.
fn table(outcome: &Outcome) -> Table {
    let right = Align::Right;
    let mut columns = vec![("task", Align::Left), ("images", right), ("progressive", right)];
    let compared = !outcome.tasks[0].alone.is_empty();
    if compared {
        columns.extend([("fine-tuned", right), ("alone", right), ("forgotten by fine-tuning", right)]);
    }
    let mut table = Table::new(columns);
    for task in &outcome.tasks {
        let mut row =
            vec![task.name.clone(), format::count(task.training_images as u64), format::spread(&task.progressive)];
        if compared {
            let forgotten = outcome.forgotten(&task.name).map_or("–".into(), |lost| format::spread(&lost));
            row.extend([format::spread(&task.fine_tuned), format::spread(&task.alone), forgotten]);
        }
        table.row(row);
    }
    table
}

/// What is proven, and where everything is.
fn summary(outcome: &Outcome, root: &std::path::Path) -> String {
    let images: usize = outcome.proofs.iter().map(|proof| proof.images).sum();
    format!(
        "\nforgotten by the columns: nothing; the logits of earlier tasks are the same to the bit in {} comparisons over {} \
         images\n{} networks, {}; everything is in {}\n  connections  {}\n  last task    {}\n",
        outcome.proofs.len(),
        format::count(images as u64),
        outcome.trained,
        format::seconds(outcome.seconds),
        root.display(),
        progressive::plots_in(root).join("ablation.png").display(),
        progressive::plots_in(root).join("last-task.png").display(),
    )
}
