//! What a run leaves behind and what a user sees of it: the run directory, plots, tables, numbers with units.

mod evaluation_plots;
pub mod format;
pub mod plot;
pub mod projection;
mod projector;
mod result;
mod run_dir;
mod table;
mod weights;

pub use evaluation_plots::evaluation_plots;
pub use projector::{Projected, write_projector};
pub use result::{RunResult, Versions, peak_memory_bytes};
pub use run_dir::RunDir;
pub use table::{Align, Table, evaluation_table};
pub use weights::weights_table;
