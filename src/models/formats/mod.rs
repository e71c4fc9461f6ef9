//! Checkpoint files, read without running anything that they contain, and the report on what of one fits a model.
//!
//! | format | read | written |
//! |---|---|---|
//! | `torch.save`, zip and legacy (`.pth`, `.pt`, `.bin`) | a state dict, plain or nested in a training checkpoint | [`write_pth`] |
//! | safetensors | as views of the file's pages | [`write_safetensors`] |
//! | TorchScript (`torch.jit.save`) | parameters and buffers; the rest in [`torchscript::Archive`] | |
//! | `.ot` of tch, C++'s `torch::save` | names get their dots back | |
//! | `.npz` | stored and deflated, rows or columns first | |
//! | shards with an `*.index.json` | any of the above, by the index or its folder | |
//!
//! [`StateDict::read`] tells formats apart by content and answers everything that is not a checkpoint with what it is;
//! [`load_into`] copies by name, never broadcasts, and returns a [`LoadReport`]; what is written has the same bytes every
//! time, whole or not at all. No file makes a reader ask for more memory than about twice its size.
//!
//! ```
//! use std::collections::BTreeMap;
//! use regraft::models::formats::{StateDict, load_into, write_safetensors};
//! use tch::Tensor;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("weights.safetensors");
//! let saved = BTreeMap::from([("fc.bias".to_string(), Tensor::from_slice(&[1f32, 2.0]))]);
//! write_safetensors(&path, &StateDict::new(saved, BTreeMap::new()))?;
//!
//! let model = BTreeMap::from([("fc.bias".to_string(), Tensor::from_slice(&[0f32, 0.0]))]);
//! let report = load_into(&model, &StateDict::read(&path)?, |name| Some(name.to_string()))?;
//! assert!(report.is_clean());
//! assert_eq!(Vec::<f32>::try_from(&model["fc.bias"]).unwrap(), [1.0, 2.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod budget;
mod dtype;
mod legacy_pickle;
mod npz;
mod pickle;
mod report;
mod safetensors;
mod shards;
mod sniff;
mod state_dict;
mod storage;
pub mod torchscript;
mod unnest;
mod write_pth;
mod zip_file;
mod zip_pickle;

pub use dtype::dtype_name;
pub use report::{Conversion, LoadReport, Mismatch, Renaming, Reshaping, likely_architecture, load_into};
pub use safetensors::write_safetensors;
pub use sniff::Format;
pub use state_dict::StateDict;
pub use write_pth::write_pth;
