//! How a network runs forwards, for the commands that only ask it.

use std::path::{Path, PathBuf};

use clap::Args;
use tch::{Kind, Tensor};

use crate::data::{EvaluationTransform, decode, normalise};
use crate::models::Classifier;
use crate::train::Precision;
use crate::train::device::DeviceChoice;
use crate::{Error, Result};

/// The arguments of all such commands.
#[derive(Debug, Clone, Args)]
pub struct ForwardArgs {
    /// Images in a batch
    #[arg(long, value_name = "IMAGES", default_value_t = 32)]
    pub(super) batch_size: usize,
    /// Number format of the forward pass
    #[arg(long, value_enum, default_value = "fp32")]
    pub(super) precision: Precision,
    /// Where the network runs: auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
}

impl ForwardArgs {
    /// The device.
    ///
    /// # Errors
    /// A device that cannot be had, or a batch of no images.
    pub(super) fn device(&self) -> Result<tch::Device> {
        if self.batch_size == 0 {
            return Err(Error::Usage("--batch-size must be at least 1".into()));
        }
        self.device.resolve()
    }

    /// The images' logits, in f32 and divided by the model's temperature, on its device: `[N, classes]`.
    pub(super) fn logits<'a>(&self, model: &Classifier, images: Images<'a>) -> Result<(Vec<&'a Path>, Tensor)> {
        let side = i64::from(model.spec.preprocessing.crop);
        let batch = Tensor::f_from_slice(&images.pixels.concat())?.f_view([-1, side, side, 3])?;
        let _no_grad = tch::no_grad_guard();
        let logits = {
            let _autocast = self.precision.autocast(model.store.device())?;
            model.forward(&normalise(&batch, &model.spec.preprocessing, model.store.device())?, false)?
        };
        Ok((images.paths, logits.f_to_kind(Kind::Float)?.f_div_scalar(model.spec.temperature)?))
    }
}

/// Images that could be read, as the model takes them.
pub(super) struct Images<'a> {
    paths: Vec<&'a Path>,
    pixels: Vec<Vec<u8>>,
}

impl<'a> Images<'a> {
    /// Decodes and resizes on all cores; and whether all of them could be read. What is wrong with the others is printed.
    pub(super) fn read(paths: &'a [PathBuf], model: &Classifier) -> Result<(Self, bool)> {
        let transform = EvaluationTransform::new(&model.spec.preprocessing)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let read = |path: &'a PathBuf| {
            let mut out = vec![];
            let made = decode(path).and_then(|image| transform.apply(&image, &mut out));
            (path.as_path(), made.map(|()| out))
        };
        let all: Vec<_> = std::thread::scope(|scope| {
            let per_core = paths.len().div_ceil(cores).max(1);
            let threads: Vec<_> =
                paths.chunks(per_core).map(|part| scope.spawn(|| part.iter().map(read).collect::<Vec<_>>())).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("decoding does not panic")).collect()
        });
        let mut images = Self { paths: vec![], pixels: vec![] };
        for (path, made) in all {
            match made {
                Ok(pixels) => {
                    images.paths.push(path);
                    images.pixels.push(pixels);
                }
                Err(error) => eprintln!("regraft: {error}"),
            }
        }
        let complete = images.paths.len() == paths.len();
        Ok((images, complete))
    }

    /// Whether none could be read.
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}
