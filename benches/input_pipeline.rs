//! The input pipeline alone: decoded, augmented, normalised batches per second, as training would get them.
//!
//! `cargo bench --bench input_pipeline -- FOLDER MODEL BATCH_SIZE WORKERS BATCHES [memory|disk]` prints one line of JSON.
//! The first two batches are not counted, and with a cache of decoded images (the file of one lies in a temporary folder)
//! the first epoch; `benches/compare.py` runs it beside torchvision's loader.

use std::path::Path;
use std::time::Instant;

use regraft::data::{Augmentation, ImageCache, LoaderOptions, OpenOptions, Sampler, normalise, open_data};
use regraft::models::registry;
use regraft::options::defaults;
use regraft::train::{BatchSource, ImageSource, Input};

const WARM_UP: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [folder, model, batch_size, workers, batches, cache @ ..] = &words[..] else {
        return Err("expected FOLDER MODEL BATCH_SIZE WORKERS BATCHES [memory|disk]".into());
    };
    let (batch_size, workers, batches): (usize, usize, usize) =
        (batch_size.parse()?, workers.parse()?, batches.parse()?);
    let preprocessing = &registry::find(model)?.preprocessing;
    let splits = open_data(Path::new(folder), &OpenOptions { val_fraction: 0.01, ..OpenOptions::default() })?;
    let images = tempfile::tempdir()?;
    let cache = match cache {
        [] => None,
        [kind] if kind == "memory" => Some(ImageCache::in_memory(&[&splits.train], u64::MAX)),
        [kind] if kind == "disk" => {
            Some(ImageCache::on_disk(&[&splits.train], images.path(), u64::MAX, &mut |_, _| ())?)
        }
        other => return Err(format!("expected memory or disk, not {other:?}").into()),
    };
    let train = cache.as_ref().map_or_else(|| splits.train.clone(), |cache| cache.sets().remove(0));
    let options = LoaderOptions { batch_size, workers, drop_last: true, ..LoaderOptions::default() };
    let augmentation = defaults::<Augmentation>();
    let sampler = Sampler::Shuffled { seed: 0 };
    let mut source = ImageSource::training(&train, preprocessing, &augmentation, sampler, 0, options)?;
    let warm_up = WARM_UP + if cache.is_some() { source.steps() } else { 0 };
    let (mut seen, mut epoch, mut start) = (0, 0, Instant::now());
    'all: loop {
        for batch in source.epoch(epoch, 0)? {
            let Input::Images(images) = batch?.input else { unreachable!("images come from images") };
            let _normalised = normalise(&images, preprocessing, tch::Device::Cpu)?;
            seen += 1;
            if seen == warm_up {
                start = Instant::now();
            }
            if seen == warm_up + batches {
                break 'all;
            }
        }
        epoch += 1;
    }
    let rate = (batches * batch_size) as f64 / start.elapsed().as_secs_f64();
    println!("{{\"input_images_per_second\": {rate:.2}}}");
    Ok(())
}
