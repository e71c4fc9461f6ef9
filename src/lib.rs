//! Transfer learning on libtorch: what a network learned on one task, put to work on another.
//!
//! *Which labels exist* decides which methods may be used, so the methods are laid out as that square:
//!
//! | | target labelled | target unlabelled |
//! |---|---|---|
//! | **source labelled** | [`methods::both_labelled`] | [`methods::source_labelled`] |
//! | **source unlabelled** | | |
//!
//! Where both are labelled, all is built around [`methods::both_labelled::finetune`]: [`methods::both_labelled::conserve`] (losses that
//! hold it to its source), [`methods::both_labelled::layers`] (which layers transfer), [`methods::both_labelled::multitask`]
//! (several tasks at once), [`methods::both_labelled::progressive`] (one after the other without forgetting) and
//! [`methods::both_labelled::matrix`] (which task helps which). Where the target is not, [`methods::source_labelled::adapt`] carries
//! over what the source teaches, by domain-adversarial training and its rivals, and [`methods::source_labelled::zero_shot`] names classes
//! without any image of them. What the program does is in [`cli`],
//! and everything that it can do is in the library too:
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use regraft::data::{ImageSet, SyntheticOptions, SyntheticSet};
//! use regraft::methods::both_labelled::finetune::{self, FinetuneOptions};
//! use regraft::report::RunDir;
//! use regraft::train::batch_size::BatchSize;
//! use regraft::train::device::DeviceChoice;
//! use regraft::train::observe::Observers;
//!
//! // a folder of images with one folder per class, as every photo collection can be laid out
//! let folder = tempfile::tempdir()?;
//! let data = folder.path().join("shapes");
//! let set = SyntheticSet::new(SyntheticOptions { classes: 2, per_class: 8, ..Default::default() });
//! for index in 0..set.len() {
//!     let class = data.join(&set.classes()[set.label(index)]);
//!     std::fs::create_dir_all(&class)?;
//!     set.load(index)?.save(class.join(format!("{index}.png")))?;
//! }
//!
//! let mut options = FinetuneOptions::default();
//! options.data.data = Some(data);
//! options.model.model = "resnet18".into();
//! options.model.from_scratch = true; // leave this out to start from published weights
//! options.model.preprocessing.image_size = Some(32);
//! options.fit.epochs = Some(1);
//! options.machine.batch_size = BatchSize::Fixed(4);
//! options.machine.device = DeviceChoice::Cpu;
//!
//! let run = RunDir::create(folder.path().join("run"), false)?;
//! let mut observers = Observers::of_run(&run, None, true)?;
//! let outcome = finetune::run(&options, &run, &mut observers, &AtomicBool::new(false), false)?;
//! assert_eq!(outcome.result.epochs, 1);
//! assert!((0.0..=1.0).contains(&outcome.evaluation.accuracy));
//! assert!(run.model().is_file() && run.is_finished());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Below the methods lie [`train`] (the one epoch loop, optimizers, freezing, checkpoints), [`eval`] (metrics),
//! [`report`] (run directory, plots, tables), [`text`] (word vectors, sentence encoders), [`loss`], [`models`] (backbones as named stages, TorchScript, heads, checkpoint
//! formats) and [`data`] (image sets, transforms, the loader); and below all of them [`options`] (flags that are also
//! JSON), [`files`] (written whole or not at all), [`Error`] and [`native`] (the C++ shim, and the only `unsafe` code).

pub mod cli;
pub mod data;
mod error;
pub mod eval;
pub mod files;
pub mod loss;
pub mod methods;
pub mod models;
pub mod native;
pub mod options;
pub mod report;
pub mod text;
pub mod train;

pub use error::{Error, Result};

/// The README's code, compiled and run by the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
