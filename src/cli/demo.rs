//! `regraft demo`: one network learns ten kinds of clothes from a few images, in three ways.
//!
//! Every cell of its table is an ordinary run of `regraft finetune` in a folder of its own, so what is finished is not
//! done again when the demo is started again, and what was interrupted goes on from its checkpoint.

mod recipe;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::{embedded, interrupt, output};
use crate::data::{ImageSet, OpenOptions, open_data};
use crate::methods::both_labelled::finetune::{self, FinetuneOptions};
use crate::report::format;
use crate::train::Precision;
use crate::train::device::DeviceChoice;
use recipe::{Common, Method};
use report::Cell;

/// The command's arguments.
#[derive(Debug, Args)]
#[command(after_help = "Started again, it goes on where it was stopped.\n\n\
    Examples:\n  regraft demo\n  regraft demo --shots 1,2,5,10,20 --out runs/more\n  \
    regraft demo --shots 1 --epochs 1 --image-size 32 --out runs/trial")]
pub struct DemoArgs {
    /// Folder for the images, one run per method and number of images, and the picture
    #[arg(long, value_name = "FOLDER", default_value = "runs/demo")]
    out: PathBuf,
    /// Images per class to learn from, 200 at most; several separated by commas
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1,5,20")]
    shots: Vec<usize>,
    /// Passes over the images, for all methods alike [default: what suits each]
    #[arg(long)]
    epochs: Option<usize>,
    /// Side of the images that go into the network, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 64)]
    image_size: u32,
    /// Number format, for all methods alike
    #[arg(long, value_enum, default_value = "fp32")]
    precision: Precision,
    /// Fixes every random choice, also which images are learned from
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Starts over, whatever is there from an earlier demo
    #[arg(long)]
    force: bool,
    /// Prints what was found as JSON
    #[arg(long)]
    json: bool,
    /// Shows no progress
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`finetune::run`]; a folder with runs of other options.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut shots = args.shots.clone();
    shots.sort_unstable();
    shots.dedup();
    let data = args.out.join("fashion-mnist");
    let common = Common {
        data: data.clone(),
        image_size: args.image_size,
        epochs: args.epochs,
        precision: args.precision,
        seed: args.seed,
        device: args.device,
    };
    let plan: Vec<_> = shots.iter().flat_map(|&shots| Method::ALL.map(|method| (method, shots))).collect();
    for &(method, shots) in &plan {
        recipe::options(method, shots, &common).validate()?;
    }
    let device = args.device.resolve()?;
    output::fetch_if_missing(&FinetuneOptions::default().model, args.quiet)?;
    embedded::unpack(&data)?;
    if !args.quiet {
        eprintln!(
            "EfficientNet-Lite0 learns ten kinds of clothes from a few images of each; {} × {} pixels, {}, {}",
            args.image_size,
            args.image_size,
            args.precision,
            args.device.describe(device)
        );
    }
    let mut runs = interrupt::cells(&args.out, args.force, args.quiet);
    let mut cells = vec![];
    for (index, &(method, shots)) in plan.iter().enumerate() {
        let label = format!("[{}/{}] {}, {shots} per class", index + 1, plan.len(), method.title());
        let name = format!("{}-{shots}", method.name());
        let result = finetune::cell(&mut runs, &name, &label, &recipe::options(method, shots, &common))?;
        let accuracy = result.metrics["accuracy"];
        if !args.quiet {
            eprintln!("{label}: {} in {}", report::percent(accuracy), format::seconds(result.seconds));
        }
        cells.push(Cell { method, shots, accuracy, seconds: result.seconds, run: runs.path(&name) });
    }
    let picture = args.out.join("learning-curve.png");
    let test_images = open_data(&data, &OpenOptions::default())?.val.len();
    report::plot(&cells, test_images, &picture)?;
    let found = json!({ "seconds": began.elapsed().as_secs_f64(), "precision": args.precision, "runs": cells,
        "picture": picture });
    crate::files::write_json(args.out.join("demo.json"), &found)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        let count = format::count(test_images as u64);
        println!("\nShare of {count} test images named rightly, after learning from so many images per class:\n");
        println!("{}\n", report::table(&cells, &shots));
        println!("{}", report::next_steps(&cells, &data, &args.out));
    }
    Ok(ExitCode::SUCCESS)
}
