//! `regraft inspect`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tch::Device;

use super::output;
use crate::data::Preprocessing;
use crate::models::formats::torchscript::Archive;
use crate::models::formats::{Format, StateDict, dtype_name};
use crate::models::torchscript::{self, TorchScript};
use crate::models::{Builder, OF_RUN, Outline, Selector, Spec, Store, architecture, names, recognise, registry};
use crate::report::{Align, Table, format};
use crate::train::Freezing;
use crate::{Error, Result, files};

/// The command's arguments.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  regraft inspect runs/finetune-001\n  regraft inspect weights.pth --select 'last:2,head' --tensors"
)]
pub struct InspectArgs {
    /// A run's folder, a checkpoint file, or the name of a source model
    #[arg(value_name = "RUN|FILE|NAME")]
    file: PathBuf,
    /// Marks what this selector matches
    #[arg(long, value_name = "SELECTOR")]
    select: Option<Selector>,
    /// Lists every tensor
    #[arg(long)]
    tensors: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What a file holds.
#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    format: String,
    architecture: Option<String>,
    description: Option<Spec>,
    /// Of a TorchScript module: its class, and the operators it calls that libtorch does not have.
    module: Option<ModuleReport>,
    parameters: u64,
    bytes: u64,
    dtypes: BTreeMap<&'static str, u64>,
    stages: Vec<StageReport>,
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tensors: Vec<TensorReport>,
}

#[derive(Debug, Serialize)]
struct ModuleReport {
    class: String,
    saved_in_training_mode: bool,
    custom_operators: Vec<String>,
    extra_files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StageReport {
    name: String,
    tensors: usize,
    parameters: u64,
    trainable: Option<u64>,
    selected: Option<u64>,
}

#[derive(Debug, Serialize)]
struct TensorReport {
    name: String,
    shape: Vec<i64>,
    dtype: &'static str,
}

/// Runs the command.
///
/// # Errors
/// A file that cannot be read or is no checkpoint, or a selector that matches nothing.
pub fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let report = report(&args)?;
    if args.json {
        output::print_json(&report)?;
    } else {
        output::print(&render(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn report(args: &InspectArgs) -> Result<Report> {
    let is_known = |name: &&str| registry::find(name).is_ok() || architecture::unlearned(name).is_some();
    let by_name = args.file.to_str().filter(is_known).filter(|_| !args.file.exists());
    let (dict, file) = match by_name {
        Some(name) => (None, PathBuf::from(name)),
        None => {
            let file = OF_RUN
                .iter()
                .map(|name| args.file.join(name))
                .find(|file| file.is_file())
                .unwrap_or_else(|| args.file.clone());
            (Some(StateDict::read(&file)?), file)
        }
    };
    let description: Option<Spec> = match &dict {
        Some(dict) => Spec::of(dict).map_err(|error| Error::file(&file, error.to_string()))?,
        None => None,
    };
    let described = description.as_ref().map(|spec| spec.architecture.clone());
    let is_module = dict.as_ref().is_some_and(|dict| dict.format == Format::TorchScript)
        && described.as_ref().is_none_or(|name| name == torchscript::ARCHITECTURE);
    let archive = is_module.then(|| Archive::read(&file)).transpose()?;
    let mut notes = dict.as_ref().map_or(vec![], |dict| dict.notes.clone());
    let (architecture, known) = if let Some(archive) = &archive {
        (Some(torchscript::ARCHITECTURE.to_string()), look_into(&file, archive, &mut notes))
    } else {
        let name = described.or(by_name.map(str::to_string));
        let mut name = name.map_or_else(|| dict.as_ref().map_or(Ok(None), recognise), |name| Ok(Some(name)))?;
        if let (None, Some(dict)) = (&name, &dict)
            && let Some((architecture, dialect)) = names::recognise(dict)?
        {
            notes.push(format!("its tensors have the names of {dialect}; the stages are those of {architecture} here"));
            name = Some(architecture.to_string());
        }
        let known = name.as_deref().map(|name| skeleton(name, description.as_ref())).transpose()?;
        (name, known)
    };
    if known.is_none() && args.select.is_some() {
        return Err(Error::file(&file, "its architecture is not known, so there are no stages to select from"));
    }
    let stages = match &known {
        Some((outline, store)) => stages(outline, store, args)?,
        None => vec![],
    };
    let contents: Vec<(String, Vec<i64>, &'static str, u64)> = match (&dict, &known) {
        (Some(dict), _) => dict.tensors.iter().map(|(name, tensor)| entry(name, tensor)).collect(),
        (None, Some((_, store))) => store.entries().map(|(name, e)| entry(name, &e.tensor)).collect(),
        (None, None) => vec![],
    };
    let mut dtypes = BTreeMap::new();
    for (_, shape, dtype, _) in &contents {
        *dtypes.entry(*dtype).or_default() += shape.iter().product::<i64>() as u64;
    }
    Ok(Report {
        format: dict.as_ref().map_or("source model of the registry".into(), |dict| dict.format.to_string()),
        architecture,
        description,
        module: archive.map(ModuleReport::of),
        parameters: stages.iter().map(|stage| stage.parameters).sum(),
        bytes: contents.iter().map(|(.., bytes)| bytes).sum(),
        dtypes,
        stages,
        notes,
        tensors: if args.tensors {
            contents.into_iter().map(|(name, shape, dtype, _)| TensorReport { name, shape, dtype }).collect()
        } else {
            vec![]
        },
        file,
    })
}

impl ModuleReport {
    fn of(archive: Archive) -> Self {
        let root = archive.modules.first();
        Self {
            class: root.map_or_else(String::new, |module| torchscript::plain_class(&module.class)),
            saved_in_training_mode: root.is_some_and(|module| module.training),
            custom_operators: archive.custom_ops,
            extra_files: archive.extra_files.into_keys().collect(),
        }
    }
}

fn entry(name: &str, tensor: &tch::Tensor) -> (String, Vec<i64>, &'static str, u64) {
    let bytes = (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64;
    (name.to_string(), tensor.size(), dtype_name(tensor.kind()), bytes)
}

/// The stages of a TorchScript module, with what is to be known of it in `notes`. libtorch reads its code for that, and runs
/// none of it; a module that it cannot load without running something has no stages here.
fn look_into(file: &Path, archive: &Archive, notes: &mut Vec<String>) -> Option<(Outline, Store)> {
    if archive.runs_on_load {
        notes.push(
            "libtorch runs code of this file as it loads it (`__setstate__`), so its stages were not looked for".into(),
        );
        return None;
    }
    let cut = TorchScript::load(file, Device::Cpu).and_then(|module| module.cut(None));
    // what is no classifier, or needs an extension, can be looked at all the same
    let cut = cut.map_err(|error| notes.push(error.to_string())).ok()?;
    notes.extend(cut.notes());
    if !cut.arithmetic().is_empty() {
        let kinds = cut.arithmetic().join(", ");
        notes.push(format!(
            "it computes with the pixels before its first layer ({kinds}): to be used with --mean and --std"
        ));
    }
    cut.outline().map_err(|error| notes.push(error.to_string())).ok()
}

/// The network by itself, for its stages.
fn skeleton(architecture: &str, spec: Option<&Spec>) -> Result<(Outline, Store)> {
    if let Some(spec) = spec {
        let model = crate::models::Classifier::new(spec.clone(), Device::Cpu, 0)?;
        return Ok((model.outline(), model.store));
    }
    let builder = Builder::skeleton();
    let classes = registry::imagenet_classes().len() as i64;
    let (backbone, _) = architecture::with_source_head(architecture, &builder, classes)?;
    let store = builder.finish();
    Ok((backbone.outline(&store), store))
}

fn stages(outline: &Outline, store: &Store, args: &InspectArgs) -> Result<Vec<StageReport>> {
    let selected = args.select.as_ref().map(|selector| selector.select(outline)).transpose()?;
    // A run says what it froze; what is frozen to its end is what never learned.
    let frozen = match args.file.join("config.json") {
        config if config.is_file() => {
            let freezing: Freezing = files::read_json(config)?;
            Some(freezing.plan(outline, store)?.frozen(usize::MAX))
        }
        _ => None,
    };
    let size = |name: &String| store.get(name).map_or(0, |tensor| tensor.numel() as u64);
    let count = |names: &[String], wanted: &dyn Fn(&String) -> bool| names.iter().filter(|n| wanted(n)).map(size).sum();
    let head = ("head".to_string(), outline.head.clone());
    let columns = [("laterals", &outline.laterals), ("beside", &outline.beside)];
    let columns: Vec<_> = columns.iter().filter(|(_, names)| !names.is_empty()).collect();
    let columns: Vec<_> = columns.iter().map(|(name, names)| (name.to_string(), names.to_vec())).collect();
    let stages = outline.stages.iter().chain([&head]).chain(&columns).map(|(name, names)| StageReport {
        name: name.clone(),
        tensors: names.len(),
        parameters: count(names, &|_| true),
        trainable: frozen.as_ref().map(|frozen| count(names, &|name| !frozen.contains(name))),
        selected: selected.as_ref().map(|selected| count(names, &|name| selected.contains(name))),
    });
    Ok(stages.collect())
}

fn render(report: &Report) -> String {
    let mut text = format!("{}: {}\n", report.file.display(), report.format);
    let mut fact = |name: &str, value: &str| text += &format!("{name:<14}{value}\n");
    if let Some(architecture) = &report.architecture {
        fact("architecture", architecture);
    }
    if let Some(module) = &report.module {
        let mode = if module.saved_in_training_mode { "training" } else { "evaluation" };
        fact("module", &format!("{}, saved in {mode} mode", module.class));
        if !module.custom_operators.is_empty() {
            fact("operators", &format!("{} (not part of libtorch)", module.custom_operators.join(", ")));
        }
        if !module.extra_files.is_empty() {
            fact("extra files", &module.extra_files.join(", "));
        }
    }
    if let Some(spec) = &report.description {
        let (kind, classes) = (spec.head.to_possible_value(), &spec.classes);
        let kind = kind.map_or(String::new(), |kind| kind.get_name().to_string());
        fact("source", &spec.source);
        fact("head", &format!("{kind}, {} classes: {}", classes.len(), brief(classes)));
        if let Some(earlier) = &spec.earlier {
            let classes = &earlier.classes;
            fact("earlier head", &format!("{} classes: {} (--earlier)", classes.len(), brief(classes)));
        }
        let mut model = spec;
        while let Some(beside) = &model.beside {
            let (name, classes) = (&beside.architecture, &beside.classes);
            fact("beside", &format!("{name}, {} classes: {} (--earlier)", classes.len(), brief(classes)));
            model = beside;
        }
        let Preprocessing { resize, crop, interpolation, mean, std } = &spec.preprocessing;
        fact("resize, crop", &format!("{resize} → {crop} pixels, {interpolation:?}").to_lowercase());
        fact("mean, std", &format!("{mean:?}, {std:?}"));
    }
    let dtypes = report.dtypes.keys().copied().collect::<Vec<_>>().join(", ");
    fact("size", &format!("{} of {dtypes}", format::bytes(report.bytes)));
    for note in &report.notes {
        fact("note", note);
    }
    if !report.stages.is_empty() {
        text += &format!("\n{}\n", stage_table(report));
    }
    if !report.tensors.is_empty() {
        let mut table = Table::new([("tensor", Align::Left), ("shape", Align::Left), ("dtype", Align::Left)]);
        for tensor in &report.tensors {
            table.row([tensor.name.clone(), format!("{:?}", tensor.shape), tensor.dtype.into()]);
        }
        text += &format!("\n{table}\n");
    }
    text
}

fn stage_table(report: &Report) -> Table {
    let mut columns = vec![("stage", Align::Left), ("tensors", Align::Right), ("parameters", Align::Right)];
    let first = &report.stages[0];
    columns.extend(first.trainable.map(|_| ("trainable", Align::Right)));
    columns.extend(first.selected.map(|_| ("selected", Align::Right)));
    let mut table = Table::new(columns);
    let mut add = |name: &str, tensors: usize, numbers: [Option<u64>; 3]| {
        let mut row = vec![name.to_string(), tensors.to_string()];
        row.extend(numbers.into_iter().flatten().map(format::count));
        table.row(row);
    };
    for stage in &report.stages {
        add(&stage.name, stage.tensors, [Some(stage.parameters), stage.trainable, stage.selected]);
    }
    let sum = |field: fn(&StageReport) -> Option<u64>| report.stages.iter().map(field).sum::<Option<u64>>();
    let tensors = report.stages.iter().map(|stage| stage.tensors).sum();
    add("all", tensors, [sum(|s| Some(s.parameters)), sum(|s| s.trainable), sum(|s| s.selected)]);
    table
}

fn brief(classes: &[String]) -> String {
    let shown: Vec<_> = classes.iter().take(8).map(String::as_str).collect();
    format!("{}{}", shown.join(", "), if classes.len() > 8 { ", …" } else { "" })
}
