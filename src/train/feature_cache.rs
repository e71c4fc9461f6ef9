//! What the frozen first stages of a backbone make of images, computed once per image and kept on the disk.
//!
//! A folder holds the features of the same stages: its name is the SHA-256 of all that they depend on apart from the image
//! (the stages' tensors, the preprocessing, the number format, the device). In it, each file holds the images that
//! were computed together, and a list beside it their fingerprints, made of name, size and time of change. So nothing
//! in it can be stale, another split or another number of shots computes nothing again, and all of it may be deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use sha2::{Digest, Sha256};
use tch::{Device, Kind, Tensor};

use super::inference;
use super::memory::Memory;
use super::observe::{Event, Observer, Observers};
use super::precision::Precision;
use super::sources::{Features, ImageSource, Input};
use crate::data::{ImageSet, Labelled, LoaderOptions};
use crate::files::write_json;
use crate::models::formats::{StateDict, write_safetensors};
use crate::models::{Classifier, EARLIER_HEAD, cache, lies_under};
use crate::{Error, Result};

const NAME: &str = "features";

/// The share of this machine's memory that features may take; while they are put in order they are there up to three
/// times.
const SHARE: u64 = 8;

/// More bytes than this are not kept on the disk for the next run.
const DISK: u64 = 4 << 30;

/// After how many of the backbone's first `held` stages, which never change, the features of `images` images are worth
/// keeping: all of them, or none where a module runs only as a whole or memory is too small, which is then said.
///
/// # Errors
/// What libtorch refuses.
pub fn cached_stages(model: &Classifier, held: usize, images: usize, observers: &mut Observers) -> Result<usize> {
    if held == 0 || !model.backbone().is_cut_at(held) {
        return Ok(0);
    }
    let most = Memory::probe().map_or(u64::MAX, |memory| memory.most()) / SHARE;
    let bytes = bytes_per_image(model, held)? * images as u64;
    if bytes <= most {
        return Ok(held);
    }
    let stage = &model.backbone().stages[held - 1].name;
    observers.message(&format!(
        "features of {images} images after {stage} would take {} MB, more than an eighth of the memory: they are computed in \
         every epoch",
        bytes / 1_000_000
    ))?;
    Ok(0)
}

/// What an image's features take after so many stages.
fn bytes_per_image(model: &Classifier, stages: usize) -> Result<u64> {
    let _no_grad = tch::no_grad_guard();
    let side = i64::from(model.spec.preprocessing.crop);
    let images = Input::Images(Tensor::f_zeros([1, side, side, 3], (Kind::Uint8, Device::Cpu))?);
    Ok(inference::features(model, &images, stages)?.numel() as u64 * 4)
}

/// What the first `stages` stages make of every image of `set`, in its order.
///
/// # Errors
/// An image that cannot be read, what libtorch refuses, or an interruption. A cache that cannot be read or written is
/// passed over with a message.
pub fn feature_cache(
    model: &Classifier,
    stages: usize,
    set: &Labelled,
    loader: LoaderOptions,
    precision: Precision,
    observers: &mut Observers,
) -> Result<Features> {
    let weights = cache::Cache::open()?;
    Ok(Features { values: features_in(weights.folder(), model, stages, set, loader, precision, observers)?, stages })
}

/// The same, with the cache that lies in the folder `weights`.
fn features_in(
    weights: &Path,
    model: &Classifier,
    stages: usize,
    set: &Labelled,
    loader: LoaderOptions,
    precision: Precision,
    observers: &mut Observers,
) -> Result<Tensor> {
    let folder = weights.join("features").join(name_of(model, stages, precision)?);
    let wanted: Vec<String> = (0..set.len()).map(|index| Ok(hex(set.fingerprint(index)?))).collect::<Result<_>>()?;
    let mut found = read(&folder, &wanted, observers)?;
    let missing: Vec<usize> = (0..set.len()).filter(|&index| !found.rows.contains_key(&wanted[index])).collect();
    if missing.is_empty() {
        observers.message(&format!("features of {} images come from {}", set.len(), folder.display()))?;
    } else {
        let features = compute(model, stages, &set.subset(&missing), loader, precision, observers)?;
        let names: Vec<String> = missing.iter().map(|&index| wanted[index].clone()).collect();
        if features.numel() as u64 * 4 > DISK {
            observers.message("features are not kept for the next run: they would take more than 4 GiB of the disk")?;
        } else if let Err(error) = keep(&folder, &names, &features) {
            observers.message(&format!("features are not kept for the next run: {error}"))?;
        }
        found.add(names, features)?;
    }
    let order: Vec<i64> = wanted.iter().map(|name| found.rows[name]).collect();
    Ok(Tensor::f_cat(&found.parts, 0)?.f_index_select(0, &Tensor::from_slice(&order))?)
}

/// Features that are known, and in which row of all parts together an image's are.
#[derive(Default)]
struct Found {
    parts: Vec<Tensor>,
    rows: BTreeMap<String, i64>,
    length: i64,
}

impl Found {
    fn add(&mut self, names: Vec<String>, features: Tensor) -> Result<()> {
        if features.size()[0] != names.len() as i64 {
            return Err(Error::Data(format!("{:?} features of {} images", features.size(), names.len())));
        }
        self.rows.extend(names.into_iter().zip(self.length..));
        self.length += features.size()[0];
        self.parts.push(features);
        Ok(())
    }
}

/// What the folder has of the wanted images.
fn read(folder: &Path, wanted: &[String], observers: &mut Observers) -> Result<Found> {
    let wanted: BTreeSet<&String> = wanted.iter().collect();
    let mut found = Found::default();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(found) };
    let mut lists: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    lists.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    lists.sort();
    for list in lists {
        let mut part = || -> Result<()> {
            let text = std::fs::read_to_string(&list).map_err(Error::io(&list, "cannot read"))?;
            let names: Vec<String> =
                serde_json::from_str(&text).map_err(|error| Error::file(&list, error.to_string()))?;
            if !names.iter().any(|name| wanted.contains(name) && !found.rows.contains_key(name)) {
                return Ok(());
            }
            let file = list.with_extension("safetensors");
            let features = StateDict::read_safetensors(&file)?.tensors.remove(NAME);
            let features = features.ok_or_else(|| Error::file(&file, format!("holds no tensor `{NAME}`")))?;
            found.add(names, features)
        };
        if let Err(error) = part() {
            observers.message(&format!("features are computed again: {error}"))?;
        }
    }
    Ok(found)
}

fn compute(
    model: &Classifier,
    stages: usize,
    set: &Labelled,
    loader: LoaderOptions,
    precision: Precision,
    observers: &mut Observers,
) -> Result<Tensor> {
    let (began, total) = (Instant::now(), set.len() as u64);
    let mut source = ImageSource::evaluation(set, &model.spec.preprocessing, loader)?;
    let mut done = 0;
    let mut report = |images: usize| {
        done += images as u64;
        observers.observe(&Event::Work { what: "features", done, total })
    };
    let outputs = inference::over(&mut source, model.store.device(), precision, &mut report, |input| {
        Ok(inference::features(model, input, stages)?.f_to_device(Device::Cpu)?)
    })?;
    let rate = total as f64 / began.elapsed().as_secs_f64();
    observers.message(&format!("features of {total} images computed once ({rate:.0} images/s)"))?;
    Ok(outputs.values)
}

/// The list comes last: what has no list is not there.
fn keep(folder: &Path, names: &[String], features: &Tensor) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder, "cannot create the folder"))?;
    let file = folder.join(&hex(names.concat())[..16]);
    let tensors = BTreeMap::from([(NAME.to_string(), features.shallow_clone())]);
    write_safetensors(file.with_extension("safetensors"), &StateDict::new(tensors, BTreeMap::new()))?;
    write_json(file.with_extension("json"), &names)
}

/// The name of the folder for features of exactly these stages.
fn name_of(model: &Classifier, stages: usize, precision: Precision) -> Result<String> {
    let backbone = model.backbone();
    let heads = [backbone.head_path.as_str(), EARLIER_HEAD];
    let later = |name: &str| {
        heads.iter().any(|head| lies_under(name, head))
            || backbone.stages[stages..].iter().any(|stage| stage.owns(name))
    };
    let weights = model.store.digest(|name| !later(name))?;
    let preprocessing = serde_json::to_string(&model.spec.preprocessing).expect("plain data");
    let about = format!("{stages} {weights} {preprocessing} {precision} {:?}", model.store.device());
    Ok(hex(about)[..16].to_string())
}

/// The SHA-256 of a text in hexadecimal.
fn hex(text: String) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet};
    use crate::models::small_classifier as small;

    /// Keeps what it is told.
    struct Messages(Arc<Mutex<Vec<String>>>);

    impl Observer for Messages {
        fn observe(&mut self, event: &Event) -> Result<()> {
            if let Event::Message(text) = event {
                self.0.lock().unwrap().push(text.to_string());
            }
            Ok(())
        }
    }

    #[test]
    fn an_image_is_computed_once_whatever_set_it_is_in() -> Result<()> {
        let set = SyntheticSet::new(SyntheticOptions { classes: 2, per_class: 3, size: 32, ..Default::default() });
        let set = Labelled::new(Arc::new(set));
        let weights = tempfile::tempdir().unwrap();
        let heard = Arc::new(Mutex::new(vec![]));
        let mut observers = Observers(vec![Box::new(Messages(heard.clone()))]);
        let mut features = |model: &Classifier, positions: &[usize]| {
            let loader = LoaderOptions { batch_size: 4, workers: 1, ..LoaderOptions::default() };
            let stages = model.backbone().stages.len();
            features_in(weights.path(), model, stages, &set.subset(positions), loader, Precision::Fp32, &mut observers)
        };
        let said = |start: &str| {
            let last = heard.lock().unwrap().last().cloned().unwrap_or_default();
            assert!(last.starts_with(start), "{last}, expected {start}");
        };
        let model = small(&["a", "b"], 1)?;
        let four = features(&model, &[0, 1, 2, 3])?;
        said("features of 4 images computed once");
        assert_eq!(features(&model, &[0, 1, 2, 3])?, four);
        said("features of 4 images come from");
        let six = features(&model, &[5, 3, 4, 0, 1, 2])?;
        said("features of 2 images computed once");
        let rows = |tensor: &Tensor, rows: &[i64]| tensor.index_select(0, &Tensor::from_slice(rows));
        assert_eq!(rows(&six, &[3, 4, 5, 1]), four);
        assert_eq!(features(&model, &[4, 5, 0])?, rows(&six, &[2, 0, 3]));
        said("features of 3 images come from");
        // another backbone has its own
        let other = features(&small(&["a", "b"], 2)?, &[0, 1, 2, 3])?;
        said("features of 4 images computed once");
        assert_ne!(other, four);
        Ok(())
    }

    #[test]
    fn a_damaged_file_is_said_and_computed_again() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a", "b"].map(String::from);
        let features = Tensor::from_slice2(&[[1f32, 2.0], [3.0, 4.0]]);
        keep(folder.path(), &names, &features)?;
        let heard = Arc::new(Mutex::new(vec![]));
        let mut observers = Observers(vec![Box::new(Messages(heard.clone()))]);
        let found = read(folder.path(), &names, &mut observers)?;
        assert_eq!((found.length, &found.parts[0]), (2, &features));
        for entry in std::fs::read_dir(folder.path()).unwrap().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "safetensors") {
                std::fs::write(entry.path(), "damaged").unwrap();
            }
        }
        assert_eq!(read(folder.path(), &names, &mut observers)?.length, 0);
        assert!(heard.lock().unwrap()[0].starts_with("features are computed again: "), "{heard:?}");
        Ok(())
    }
}
