use std::sync::atomic::{AtomicUsize, Ordering};

use image::RgbImage;

use super::*;
use crate::data::{Augmentation, ImageSet, Interpolation, Preprocessing, Samples};

/// Pictures in memory; some are broken.
struct Pictures {
    count: usize,
    broken: Vec<usize>,
    panics: Vec<usize>,
    loaded: AtomicUsize,
}

impl Pictures {
    fn new(count: usize) -> Self {
        Self { count, broken: Vec::new(), panics: Vec::new(), loaded: AtomicUsize::new(0) }
    }
}

impl ImageSet for Pictures {
    fn len(&self) -> usize {
        self.count
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn label(&self, index: usize) -> usize {
        index % 3
    }

    fn name(&self, index: usize) -> String {
        format!("picture[{index}]")
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        self.loaded.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics.contains(&index), "a bug");
        if self.broken.contains(&index) {
            return Err(Error::Data(format!("{}: is broken", self.name(index))));
        }
        let (width, height) = (20 + index as u32 % 7, 20 + index as u32 % 5);
        Ok(RgbImage::from_fn(width, height, |x, y| image::Rgb([(x * 9) as u8, (y * 9) as u8, index as u8])))
    }
}

fn loader(set: Arc<Pictures>, workers: usize, options: LoaderOptions) -> Loader {
    let interpolation = Interpolation::Bilinear;
    let preprocessing = Preprocessing { resize: 18, crop: 16, interpolation, mean: [0.5; 3], std: [0.5; 3] };
    let indices = (0..set.count).collect();
    let samples = Samples::for_training(set, indices, &preprocessing, &Augmentation::default(), 1).unwrap();
    Loader::new(Arc::new(samples), LoaderOptions { workers, ..options }).unwrap()
}

const OPTIONS: LoaderOptions =
    LoaderOptions { batch_size: 4, workers: 2, prefetch_batches: 2, drop_last: false, device: tch::Device::Cpu };

fn bytes(batch: &ImageBatch) -> Vec<u8> {
    Vec::try_from(batch.images.reshape([-1])).unwrap()
}

/// Pixels, labels and indices of all batches.
fn all(epoch: Epoch) -> Vec<(Vec<u8>, Vec<i64>, Vec<usize>)> {
    let batches = epoch.map(|batch| batch.unwrap());
    batches.map(|batch| (bytes(&batch), Vec::try_from(&batch.labels).unwrap(), batch.indices)).collect()
}

#[test]
fn batches_are_the_same_for_any_number_of_workers() {
    let order: Vec<usize> = (0..30).rev().chain([5, 5]).collect();
    let expected = all(loader(Arc::new(Pictures::new(30)), 1, OPTIONS).epoch(order.clone(), 3, 0));
    assert_eq!(expected.len(), 8);
    assert_eq!(expected[0].2, [29, 28, 27, 26]);
    assert_eq!(expected[0].1, [2, 1, 0, 2]);
    for (workers, prefetch_batches) in [(2, 1), (3, 2), (8, 20)] {
        let loader = loader(Arc::new(Pictures::new(30)), workers, LoaderOptions { prefetch_batches, ..OPTIONS });
        assert_eq!(all(loader.epoch(order.clone(), 3, 0)), expected);
        // The same threads serve the next epoch, which has other pixels.
        assert_ne!(all(loader.epoch(order.clone(), 4, 0)), expected);
    }
}

#[test]
fn an_image_drawn_again_in_an_epoch_is_varied_again() {
    let loader = loader(Arc::new(Pictures::new(3)), 2, OPTIONS);
    let batch = loader.epoch(vec![1, 1, 1, 0], 0, 0).next().unwrap().unwrap();
    let bytes = bytes(&batch);
    let images: Vec<&[u8]> = bytes.chunks(16 * 16 * 3).collect();
    assert!(images[0] != images[1] && images[1] != images[2] && images[0] != images[2]);
}

#[test]
fn an_epoch_continues_at_any_batch_without_decoding_what_was_before() {
    let order: Vec<usize> = (0..13).chain(0..13).collect();
    let expected = all(loader(Arc::new(Pictures::new(13)), 2, OPTIONS).epoch(order.clone(), 0, 0));
    for first in 0..9 {
        let set = Arc::new(Pictures::new(13));
        let loader = loader(set.clone(), 2, OPTIONS);
        assert_eq!(all(loader.epoch(order.clone(), 0, first)), expected[first.min(7)..]);
        assert_eq!(set.loaded.load(Ordering::Relaxed), 26usize.saturating_sub(first * 4));
        assert_eq!(loader.images_decoded(), 26u64.saturating_sub(first as u64 * 4));
    }
}

#[test]
fn a_last_batch_is_short_or_left_out() {
    let sizes = |drop_last| {
        let loader = loader(Arc::new(Pictures::new(10)), 2, LoaderOptions { drop_last, ..OPTIONS });
        let sizes: Vec<i64> =
            loader.epoch((0..10).collect(), 0, 0).map(|batch| batch.unwrap().images.size()[0]).collect();
        assert_eq!(sizes.len(), loader.batches(10));
        sizes
    };
    assert_eq!(sizes(false), [4, 4, 2]);
    assert_eq!(sizes(true), [4, 4]);
    let loader = loader(Arc::new(Pictures::new(10)), 2, OPTIONS);
    assert!(loader.epoch(Vec::new(), 0, 0).next().is_none());
}

#[test]
fn a_broken_image_is_an_error_at_its_batch_and_the_end() {
    for workers in [1, 3] {
        let set = Pictures { broken: vec![11, 9], ..Pictures::new(20) };
        let loader = loader(Arc::new(set), workers, OPTIONS);
        let mut epoch = loader.epoch((0..20).collect(), 0, 0);
        assert!(epoch.next().unwrap().is_ok());
        assert!(epoch.next().unwrap().is_ok());
        // The first of the two, whichever was found first.
        assert_eq!(epoch.next().unwrap().unwrap_err().to_string(), "picture[9]: is broken");
        assert!(epoch.next().is_none());
        // The workers are as good as new.
        assert_eq!(all(loader.epoch((0..8).collect(), 0, 0)).len(), 2);
    }
}

#[test]
fn a_panic_and_a_wrong_order_are_errors_not_hangs() {
    let set = Pictures { panics: vec![2], ..Pictures::new(6) };
    let loader = loader(Arc::new(set), 2, OPTIONS);
    let message = loader.epoch((0..6).collect(), 0, 0).next().unwrap().unwrap_err().to_string();
    assert!(message.starts_with("picture[2]: ") && message.contains("a bug"), "{message}");
    let message = loader.epoch(vec![0, 6], 0, 0).next().unwrap().unwrap_err().to_string();
    assert!(message.contains("image 6") && message.contains("there are 6"), "{message}");
}

#[test]
fn only_so_many_batches_are_ahead_and_dropping_stops_them() {
    let set = Arc::new(Pictures::new(400));
    let loader = loader(set.clone(), 2, OPTIONS);
    let mut epoch = loader.epoch((0..400).collect(), 0, 0);
    for _ in 0..3 {
        epoch.next().unwrap().unwrap();
    }
    // Three batches delivered, two ahead.
    std::thread::sleep(Duration::from_millis(20));
    assert!(set.loaded.load(Ordering::Relaxed) <= 20);
    drop(epoch);
    drop(loader);
    assert!(set.loaded.load(Ordering::Relaxed) <= 20);
    // Every worker is gone, and with it its hold on the set.
    assert_eq!(Arc::strong_count(&set), 1);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_bound_is_what_the_options_say() {
    let samples = || {
        let interpolation = Interpolation::Bilinear;
        let preprocessing = Preprocessing { resize: 18, crop: 16, interpolation, mean: [0.5; 3], std: [0.5; 3] };
        Arc::new(Samples::for_evaluation(Arc::new(Pictures::new(4)), vec![0, 3], &preprocessing).unwrap())
    };
    assert_eq!(samples().labels(), [0, 0]);
    for options in [LoaderOptions { batch_size: 0, ..OPTIONS }, LoaderOptions { prefetch_batches: 0, ..OPTIONS }] {
        assert_eq!(Loader::new(samples(), options).err().unwrap().exit_code(), 2);
    }
    let loader = Loader::new(samples(), OPTIONS).unwrap();
    assert_eq!(loader.memory_bound(), 16 * 16 * 3 * (2 * 4 + 2));
    assert!(loader.data_wait().is_zero());
    loader.epoch(vec![0, 1], 0, 0).for_each(|batch| drop(batch.unwrap()));
    assert!(!loader.data_wait().is_zero());
}
