//! `regraft synth`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand};
use serde_json::json;

use super::{interrupt, output};
use crate::data::synth::{DigitsOptions, Made, MnistMOptions, Recipe, SignsOptions};
use crate::data::{ImageSet, OpenOptions, open_data};
use crate::report::plot::{contact_sheet, save_png};
use crate::report::{Align, Table, format};
use crate::{Error, Result};

/// How many images of a class are on the contact sheet.
const SHOWN: usize = 10;
const SHEET: &str = "contact-sheet.png";

/// The command's arguments.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// What to make.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// MNIST-M: digits blended over patches of photographs
    #[command(after_help = "Example:\n  regraft synth mnist-m --digits mnist --photos BSDS500/images --out mnist-m")]
    MnistM(MakeArgs<MnistMOptions>),
    /// Syn Numbers: printed digits in many fonts, to adapt to house numbers (SVHN)
    #[command(
        after_help = "Examples:\n  regraft synth digits --out syn-numbers\n  regraft synth digits --fonts fonts --count 500000 --out syn-numbers"
    )]
    Digits(MakeArgs<DigitsOptions>),
    /// Syn Signs: the 43 signs of the German benchmark, drawn, to adapt to photographs of them (GTSRB)
    #[command(
        after_help = "Examples:\n  regraft synth signs --out syn-signs\n  regraft synth signs --photos BSDS500/images --per-class 2000 --out syn-signs"
    )]
    Signs(MakeArgs<SignsOptions>),
}

/// What every data set is made with.
#[derive(Debug, Args)]
struct MakeArgs<R: Args> {
    #[command(flatten)]
    recipe: R,
    /// Folder of the data set: IDX files in colour, a contact sheet, and how it was made
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Makes it anew where there is one
    #[arg(long)]
    force: bool,
    /// Prints what was made as JSON
    #[arg(long)]
    json: bool,
    /// Shows no progress
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`Recipe::make`] and [`Made::write`]; a data set that is there already.
pub fn run(args: &SynthArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        What::MnistM(args) => make(args),
        What::Digits(args) => make(args),
        What::Signs(args) => make(args),
    }
}

fn make<R: Recipe + Args>(args: &MakeArgs<R>) -> anyhow::Result<ExitCode> {
    let folder = &args.out;
    if let Some(found) = Made::found(folder).filter(|_| !args.force) {
        let message = format!("{} is there already; --force makes it anew, or choose another --out", found.display());
        return Err(Error::Usage(message).into());
    }
    let begun = Instant::now();
    let made = args.recipe.make()?;
    let (train, test) = (made.train.len(), made.test.len());
    if !args.quiet {
        made.notes.iter().for_each(|note| eprintln!("{note}"));
    }
    let bar = output::bar("images", train + test, args.quiet);
    let stopped = interrupt::flag();
    made.write(&args.recipe, folder, &mut |done| {
        bar.set_position(done as u64);
        match stopped.load(std::sync::atomic::Ordering::Relaxed) {
            true => {
                Err(Error::Interrupted(format!("{done} of {} images were made; --force starts anew", train + test)))
            }
            false => Ok(()),
        }
    })?;
    bar.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();
    let (width, height) = made.train.load(0)?.dimensions();
    sheet(R::NAME, folder)?;
    if args.json {
        output::print_json(&json!({
            "made": R::NAME, "folder": folder, "train": train, "test": test, "width": width, "height": height,
            "classes": made.train.classes(), "notes": made.notes, "seconds": seconds,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new([("part", Align::Left), ("images", Align::Right)]);
    table.row(["training".into(), format::count(train as u64)]);
    table.row(["test".into(), format::count(test as u64)]);
    let rate = format::rate((train + test) as f64 / seconds, "images");
    output::print(&format!(
        "{table}\n{width} x {height} pixels, {} classes, in {} ({rate}); everything is in {}\n  look at it  {}\n  learn it    \
         regraft finetune --data {} --model small_cnn --from-scratch --image-size {width} --flip 0\n",
        made.train.classes().len(),
        format::seconds(seconds),
        folder.display(),
        folder.join(SHEET).display(),
        output::shell_word(folder),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Draws images of every class, as they are read from what was written.
fn sheet(name: &str, folder: &Path) -> Result<()> {
    let splits = open_data(folder, &OpenOptions::default())?;
    let mut classes: Vec<(String, Vec<_>)> = splits.classes.iter().map(|class| (class.clone(), vec![])).collect();
    for index in 0..splits.train.len() {
        let images = &mut classes[splits.train.label(index)].1;
        if images.len() < SHOWN {
            images.push(splits.train.load(index)?);
        }
    }
    save_png(folder.join(SHEET), &contact_sheet(&format!("{name}: training images"), &classes)?)
}
