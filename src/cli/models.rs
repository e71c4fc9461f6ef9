//! `regraft models`: which source models there are, what each is made of, fetching their weights, and measuring them.

mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use self::verify::VerifyArgs;
use super::output::{self, print, print_json};
use crate::Result;
use crate::models::cache::Cache;
use crate::models::registry::{self, SourceModel};
use crate::models::{Builder, architecture, architectures};
use crate::report::{Align, Table, format};
use crate::text::published;
use clap::{Args, Subcommand};
use serde::Serialize;

/// List, show, fetch or measure the source models.
#[derive(Debug, Clone, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Clone, Subcommand)]
enum Command {
    /// All source models, one per line (the default)
    List {
        /// Prints JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// One model: origin, licence, preprocessing, and its stages with their parameters
    Show {
        /// A name from the list
        name: String,
        /// Prints JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Fetch weights into the cache ($REGRAFT_CACHE, or ~/.cache/regraft/weights)
    Fetch {
        /// Names from the list, or all of it; glove or minilm for word vectors and a sentence encoder
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Measure a model's accuracy on labelled images of ImageNet, beside the published one
    Verify(VerifyArgs),
}

/// Runs the command.
///
/// # Errors
/// An unknown name, weights that cannot be fetched, or images that cannot be read.
pub fn run(args: &ModelsArgs) -> anyhow::Result<ExitCode> {
    match args.command.as_ref().unwrap_or(&Command::List { json: false }) {
        Command::List { json } => list(*json)?,
        Command::Show { name, json } => show(registry::find(name)?, *json)?,
        Command::Fetch { names } => fetch(names)?,
        Command::Verify(args) => verify::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// An entry of the registry and where its weights lie on this machine.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    model: &'a SourceModel,
    cached: Option<PathBuf>,
}

fn list(json: bool) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    let listed: Vec<_> = registry::models().iter().map(|model| Listed { model, cached: cache.locate(model) }).collect();
    if json {
        return print_json(&listed);
    }
    let [left, right] = [Align::Left, Align::Right];
    let mut table = Table::new([
        ("name", left),
        ("parameters", right),
        ("input", right),
        ("top-1 (published)", right),
        ("licence", left),
        ("weights", left),
    ]);
    for Listed { model, cached } in &listed {
        let weights = match (&model.origin, cached) {
            (_, Some(_)) => "cached",
            (Some(_), None) => "to fetch",
            (None, None) => "none published",
        };
        let input = model.preprocessing.crop;
        table.row([
            model.name.clone(),
            millions(model.parameters),
            format!("{input} × {input}"),
            format!("{:.1} %", model.published_top1),
            model.licence.clone(),
            weights.to_string(),
        ]);
    }
    let unlearned =
        architectures().filter(|name| architecture::unlearned(name).is_some()).collect::<Vec<_>>().join(", ");
    print(&format!(
        "{table}\n\nwithout weights, for --from-scratch: {unlearned}\nword vectors and sentence encoders, for zeroshot: {}\nweights cache: {}\n",
        published::models().iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", "),
        cache.folder().display()
    ))
}

/// A stage and how many numbers it learns.
#[derive(Serialize)]
struct StageSize {
    stage: String,
    parameters: usize,
}

fn show(model: &SourceModel, json: bool) -> anyhow::Result<()> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        listed: Listed<'a>,
        stages: Vec<StageSize>,
    }
    let listed = Listed { model, cached: Cache::open()?.locate(model) };
    let stages = stage_sizes(model)?;
    if json {
        return print_json(&Shown { listed, stages });
    }
    let weights = model.origin().map_or_else(|error| error.to_string(), ToString::to_string);
    let cached = listed.cached.map_or_else(|| "no".to_string(), |file| file.display().to_string());
    let crate::data::Preprocessing { resize, crop, interpolation, mean, std } = &model.preprocessing;
    let facts = [
        ("name", model.name.clone()),
        ("architecture", model.architecture.clone()),
        ("parameters", format!("{} ({})", model.parameters, millions(model.parameters))),
        ("weights", weights),
        ("SHA-256", model.sha256.clone().unwrap_or_else(|| "–".to_string())),
        ("cached", cached),
        ("licence", model.licence.clone()),
        ("paper", model.paper.clone()),
        ("classes", model.classes.to_string()),
        ("top-1", format!("{:.1} % ({})", model.published_top1, model.published_at)),
        ("resize, crop", format!("{resize} → {crop} pixels, {interpolation:?}").to_lowercase()),
        ("mean, std", format!("{mean:?}, {std:?}")),
    ];
    let facts: String = facts.iter().map(|(fact, value)| format!("{fact:<14}{value}\n")).collect();
    let mut table = Table::new([("stage", Align::Left), ("parameters", Align::Right)]);
    for StageSize { stage, parameters } in stages {
        table.row([stage, format::count(parameters as u64)]);
    }
    print(&format!("{facts}\n{table}\n"))
}

/// The stages in order and, last, the source network's head.
fn stage_sizes(model: &SourceModel) -> Result<Vec<StageSize>> {
    let builder = Builder::skeleton();
    let (backbone, _) = architecture::with_source_head(&model.architecture, &builder, model.classes)?;
    let store = builder.finish();
    let outline = backbone.outline(&store);
    let count = |names: &[String]| names.iter().filter_map(|name| store.get(name)).map(tch::Tensor::numel).sum();
    let stages = outline.stages.iter().map(|(stage, names)| (stage.as_str(), names));
    let sizes = stages.chain([("head", &outline.head)]);
    Ok(sizes.map(|(stage, names)| StageSize { stage: stage.to_string(), parameters: count(names) }).collect())
}

fn fetch(names: &[String]) -> anyhow::Result<()> {
    let with_weights = || registry::models().iter().filter(|model| model.origin.is_some()).collect();
    let (texts, names): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| published::find(name).is_some());
    for name in texts {
        print(&format!("{name}: {}\n", output::fetch_text(name, false)?.display()))?;
    }
    let models: Vec<_> = if names.iter().any(|name| *name == "all") {
        with_weights()
    } else {
        names.iter().map(|name| registry::find(name)).collect::<Result<_>>()?
    };
    for model in models {
        model.origin()?;
        let file = output::fetch(&model.name, false)?;
        print(&format!("{}: {}\n", model.name, file.display()))?;
    }
    Ok(())
}

/// `11689512` → `11.7 M`.
fn millions(count: u64) -> String {
    format!("{:.1} M", count as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_head_add_up_to_the_whole_network() -> Result<()> {
        for name in ["resnet18", "efficientnet_lite0"] {
            let model = registry::find(name)?;
            let sizes = stage_sizes(model)?;
            assert_eq!(sizes.iter().map(|size| size.parameters as u64).sum::<u64>(), model.parameters);
            assert_eq!(sizes[sizes.len() - 1].stage, "head");
        }
        Ok(())
    }

    #[test]
    fn an_unknown_name_ends_before_anything_is_fetched() {
        let names = ["resnet18".to_string(), "resnet19".to_string()];
        assert!(fetch(&names).unwrap_err().to_string().contains("resnet19"));
    }
}
