//! The layer sweep: how far each layer of a network transfers (source and target labelled).
//!
//! Yosinski et al. 2014, "How transferable are features in deep neural networks?": the classes of a data set are divided into
//! two tasks A and B, and a network is trained on each. Then n layers of one of them are copied into a new network, whose other
//! layers begin at random, and which is trained on B; its accuracy is drawn against n.
//!
//! | curve | the n layers are copied from | and then | what a fall means |
//! |---|---|---|---|
//! | BnB | the network of B | frozen | *co-adaptation*: the layers above cannot find again what they had learned together |
//! | BnB+ | the network of B | trained with the rest | nothing should fall |
//! | AnB | the network of A | frozen | co-adaptation, and *specificity*: the layers know A, not B |
//! | AnB+ | the network of A | trained with the rest | above B: what was learned on A helps, whatever n |
//! | random | nowhere | frozen | what layers are worth that learned nothing (Jarrett et al. 2009) |
//!
//! n = 0 is the network of B. The n layers are the first ones, as images transfer, or the last ones below the head, as
//! speech does (there the input differs and the concepts are the same). The head always begins at random: A and B have
//! different classes.
//!
//! | | in the paper | here |
//! |---|---|---|
//! | network | AlexNet, 8 layers | any network of the registry, or [`small_cnn`](crate::models::architecture::unlearned) with 6 stages and a head |
//! | data | ImageNet, 500 + 500 classes at random or man-made/natural | any; random halves (others for each seed) or lists |
//! | A | the network of the other half | the same, or with `--pretrained` the published weights |
//! | repetitions | one of each, four for some | `--seeds` |
//!
//! *Differences from the paper:* a seed fixes the halves, the images that are held out and the networks; the random layers of a
//! cell are drawn from another seed than those of the network that it copies from, for with the same the layers above
//! would begin as those did that the copied ones grew up with.
//!
//! Every cell is an ordinary run of fine-tuning in a folder of its own, so all of its options hold, and a sweep that was
//! stopped goes on where it was.

mod options;
mod outcome;
mod plan;

pub use options::{Curve, End, LayersOptions};
pub use outcome::{Outcome, Point, table};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::plan::{Cell, Tasks};
use super::finetune;
use crate::data::{OpenOptions, open_data};
use crate::methods::cells::Cells;
use crate::methods::options::seeds;
use crate::models::{Builder, Named, architecture, cache};
use crate::{Error, Result};

/// The whole sweep, or what is left of it; leaves `layers.json` and a plot for each end in the folder of the cells.
///
/// # Errors
/// Options that make no sense; what fine-tuning finds; an interruption.
pub fn run(options: &LayersOptions, cells: &mut Cells) -> Result<Outcome> {
    options.validate()?;
    let stages = stages(&options.finetune.model.model)?;
    let counts = options.counts(stages.len())?;
    let splits = open_data(
        options.finetune.data.data.as_deref().expect("validated"),
        &OpenOptions { classes: options.finetune.data.classes.clone(), ..OpenOptions::default() },
    )?;
    let published = options.pretrained.then(|| cache::require(&options.finetune.model.model)).transpose()?;
    let seeds = seeds(options.first_seed(), options.seeds).map_err(Error::Usage)?;
    let tasks: Vec<Tasks> =
        seeds.clone().map(|seed| Tasks::of(options, &splits.classes, seed)).collect::<Result<_>>()?;
    let total =
        tasks.len() * plan::cells(options, &counts).count() + tasks.len() * if options.pretrained { 1 } else { 2 };
    let mut done = 0;
    let mut found: BTreeMap<Cell, Vec<f64>> = BTreeMap::new();
    for (seed, tasks) in seeds.zip(&tasks) {
        let folder = PathBuf::from(format!("seed-{seed}"));
        let mut train =
            |cells: &mut Cells, name: &Path, what: &str, options: &finetune::FinetuneOptions| -> Result<f64> {
                done += 1;
                let label = format!("[{done}/{total}] seed {seed}, {what}");
                let name = name.to_str().expect("made of letters and digits");
                Ok(finetune::cell(cells, name, &label, options)?.metrics["accuracy"])
            };
        let base = |which: &str| folder.join(format!("base-{which}"));
        let b = train(cells, &base("B"), "network of B", &plan::base(options, &tasks.b, seed))?;
        found.entry(Cell::Base).or_default().push(b);
        let source = match &published {
            Some(file) => file.clone(),
            None => {
                train(cells, &base("A"), "network of A", &plan::base(options, &tasks.a, seed))?;
                cells.root.join(base("A"))
            }
        };
        let own = cells.root.join(base("B"));
        for cell in plan::cells(options, &counts) {
            let Cell::Copied { end, curve, count } = cell else { unreachable!("the base is no cell of the sweep") };
            let from = if curve.copies_own() { &own } else { &source };
            let name = folder.join(end.name()).join(curve.cell_name(count));
            let run = plan::copied(options, &tasks.b, seed, end, curve, count, from);
            let accuracy = train(cells, &name, &format!("{} {}", end.name(), curve.cell_name(count)), &run)?;
            found.entry(cell).or_default().push(accuracy);
        }
    }
    let mut outcome = Outcome::new(options, stages, counts, &tasks, &found);
    outcome.write(&cells.root)?;
    Ok(outcome)
}

/// The stages of a network's backbone, first to last.
fn stages(model: &str) -> Result<Vec<String>> {
    let architecture = match Named::find(Path::new(model))? {
        Named::Source(entry) => entry.architecture.clone(),
        Named::Unlearned(network) => network.architecture.to_string(),
        Named::Trained(_) | Named::TorchScript(_) => {
            return Err(Error::Usage(format!(
                "--model {model}: the sweep trains networks from scratch; name one that 'regraft models' lists, or small_cnn"
            )));
        }
    };
    let backbone = architecture::build(&architecture, &Builder::skeleton().root())?;
    Ok(backbone.stages.into_iter().map(|stage| stage.name).collect())
}
