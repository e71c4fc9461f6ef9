//! The jobs that this process does itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use tch::Device;

use super::job::Numbers;
use crate::data::{Augmentation, LoaderOptions, OpenOptions, Sampler, normalise, open_data};
use crate::models::formats::{StateDict, write_pth, write_safetensors};
use crate::models::{Builder, architecture, registry};
use crate::options::defaults;
use crate::train::{BatchSource, ImageSource, Input};
use crate::{Error, Result};

/// Decoded, cropped, mirrored and normalised batches per second, as training would get them.
pub(super) fn input(folder: &Path, model: &str, batch_size: usize, warmup: usize, steps: usize) -> Result<Numbers> {
    let preprocessing = &registry::find(model)?.preprocessing;
    let splits = open_data(folder, &OpenOptions::default())?;
    let options = LoaderOptions { batch_size, drop_last: true, ..LoaderOptions::default() };
    let augmentation = Augmentation { crop_scale: 0.08, ..defaults::<Augmentation>() };
    let sampler = Sampler::Shuffled { seed: 0 };
    let mut source = ImageSource::training(&splits.train, preprocessing, &augmentation, sampler, 0, options)?;
    let (mut seen, mut start) = (0, Instant::now());
    for epoch in 0.. {
        for batch in source.epoch(epoch, 0)? {
            let Input::Images(images) = batch?.input else { unreachable!("images come from images") };
            let _normalised = normalise(&images, preprocessing, Device::Cpu)?;
            seen += 1;
            if seen == warmup {
                start = Instant::now();
            }
            if seen == warmup + steps {
                let rate = (steps * batch_size) as f64 / start.elapsed().as_secs_f64();
                return Ok(BTreeMap::from([("images_per_second".into(), rate)]));
            }
        }
    }
    Err(Error::Data(format!("{}: there are no batches", folder.display())))
}

/// A network that has learned nothing, with a head for 1000 classes.
fn random(model: &str) -> Result<StateDict> {
    let builder = Builder::new(Device::Cpu);
    architecture::with_source_head(model, &builder, 1000)?;
    Ok(StateDict::new(builder.finish().views(), BTreeMap::new()))
}

/// Writes such a network to a file.
pub(super) fn write_random(model: &str, file: &Path) -> Result<()> {
    write_safetensors(file, &random(model)?)
}

/// Seconds to save the network as `.pth` and to load it, the median of `times`.
pub(super) fn file(model: &str, times: usize, scratch: &Path) -> Result<Numbers> {
    let dict = random(model)?;
    let file = scratch.join("model.pth");
    let (mut save, mut load) = (vec![], vec![]);
    for _ in 0..times {
        let start = Instant::now();
        write_pth(&file, &dict)?;
        save.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        StateDict::read(&file)?;
        load.push(start.elapsed().as_secs_f64());
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Ok(BTreeMap::from([("save_seconds".into(), median(save)), ("load_seconds".into(), median(load))]))
}
