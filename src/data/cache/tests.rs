use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::data::{Augmentation, FolderSet, Interpolation, Loader, LoaderOptions, Preprocessing, Samples};

/// A folder of images of different sizes, eight to a class, with room for the cache beside it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..16u32 {
        let class = folder.path().join("data").join(["a", "b"][number as usize % 2]);
        std::fs::create_dir_all(&class).unwrap();
        picture(number).save(class.join(format!("{number}.{}", ["png", "jpg"][number as usize / 8]))).unwrap();
    }
    folder
}

fn picture(number: u32) -> RgbImage {
    RgbImage::from_fn(40 + number, 50 - number, |x, y| image::Rgb([(x * 5) as u8, (y * 5) as u8, number as u8 * 10]))
}

/// Training and validation images.
fn sets(folder: &tempfile::TempDir) -> [Labelled; 2] {
    let all = Labelled::new(Arc::new(FolderSet::open(&folder.path().join("data")).unwrap()));
    [all.subset(&[0, 1, 2, 3, 8, 9, 10, 11]), all.subset(&[4, 5, 6, 7, 12, 13, 14, 15])]
}

fn on_disk(folder: &tempfile::TempDir, limit: u64) -> (Arc<ImageCache>, usize) {
    let [train, val] = sets(folder);
    let mut decoded = 0;
    let images = folder.path().join("images");
    let mut count = |done, _| {
        decoded = done;
        Ok(())
    };
    let cache = ImageCache::on_disk(&[&train, &val], &images, limit, &mut count).unwrap();
    (cache, decoded)
}

/// Two epochs of augmented batches.
fn batches(set: &Labelled) -> Vec<Vec<u8>> {
    let preprocessing =
        Preprocessing { resize: 36, crop: 32, interpolation: Interpolation::Bilinear, mean: [0.5; 3], std: [0.5; 3] };
    let all = (0..set.len()).collect();
    let samples =
        Samples::for_training(Arc::new(set.clone()), all, &preprocessing, &Augmentation::default(), 3).unwrap();
    let options = LoaderOptions { batch_size: 4, workers: 4, ..LoaderOptions::default() };
    let loader = Loader::new(Arc::new(samples), options).unwrap();
    let order: Vec<usize> = (0..set.len()).rev().chain([1, 1, 1]).collect();
    let epoch = |epoch| loader.epoch(order.clone(), epoch, 0).map(|batch| batch.unwrap().images.reshape([-1]));
    (0..2).flat_map(epoch).map(|images| Vec::try_from(images).unwrap()).collect()
}

fn only_file(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let files: Vec<_> = std::fs::read_dir(folder.path().join("images")).unwrap().flatten().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].path()
}

#[test]
fn batches_are_the_same_with_and_without() {
    let folder = folder();
    let plain = sets(&folder);
    for limit in [0, 20_000, 1 << 30] {
        let memory = ImageCache::in_memory(&[&plain[0], &plain[1]], limit);
        let (disk, _) = on_disk(&folder, limit.max(2000));
        for cache in [memory, disk] {
            for (plain, cached) in plain.iter().zip(cache.sets()) {
                assert!(batches(plain) == batches(&cached));
                assert_eq!(plain.labels(), cached.labels());
            }
        }
    }
}

#[test]
fn memory_keeps_what_comes_first_and_says_once_that_the_limit_is_reached() {
    let folder = folder();
    let [train, val] = sets(&folder);
    let size = |index| train.load(index).unwrap().into_raw().len() as u64;
    let cache = ImageCache::in_memory(&[&train, &val], size(3) + size(2) + 10);
    let sets = cache.sets();
    for index in [3, 2, 1, 0, 3] {
        sets[0].load(index).unwrap();
    }
    let Store::Memory { images, kept, bytes, .. } = &cache.store else { unreachable!("in memory") };
    assert_eq!((kept.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed)), (2, size(3) + size(2)));
    let which: Vec<usize> = (0..16).filter(|&number| images[number].get().is_some()).collect();
    assert_eq!(which, [2, 3]);
    let notes = cache.notes();
    assert!(notes[0].contains("2 of 16 are kept") && notes[1].contains("limit") && notes.len() == 2, "{notes:?}");
    assert!(cache.notes().is_empty());
}

#[test]
fn a_file_serves_later_runs_and_other_splits_until_an_image_changes() {
    let folder = folder();
    assert_eq!(on_disk(&folder, 1 << 30).1, 16);
    let (cache, decoded) = on_disk(&folder, 1 << 30);
    assert_eq!(decoded, 0);
    assert!(cache.notes()[0].starts_with("decoded images: 16 of 16 are kept"));
    let all = Labelled::new(Arc::new(FolderSet::open(&folder.path().join("data")).unwrap()));
    let other = [&all.subset(&(0..5).collect::<Vec<_>>()), &all.subset(&(5..16).collect::<Vec<_>>())];
    let images = folder.path().join("images");
    ImageCache::on_disk(&other, &images, 1 << 30, &mut |_, _| panic!("decoded again")).unwrap();
    let old = only_file(&folder);
    // The same name, other pixels.
    picture(3).save(folder.path().join("data/a/0.png")).unwrap();
    let (cache, decoded) = on_disk(&folder, 1 << 30);
    assert_eq!(decoded, 16);
    assert_eq!(cache.sets()[0].load(0).unwrap(), picture(3));
    assert!(old.exists());
}

#[test]
fn the_folder_stays_below_the_limit_and_what_a_killed_run_left_goes() {
    let folder = folder();
    let whole = {
        std::fs::metadata({
            on_disk(&folder, 1 << 30);
            only_file(&folder)
        })
        .unwrap()
        .len()
    };
    let left = folder.path().join("images").join(format!("{}x", crate::files::TEMPORARY));
    std::fs::write(&left, "half").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options().write(true).open(&left).unwrap().set_modified(long_ago).unwrap();
    picture(3).save(folder.path().join("data/a/0.png")).unwrap();
    // The file before the change makes room.
    let (cache, _) = on_disk(&folder, whole + 5000);
    assert!(cache.notes()[0].contains("made room") && !left.exists());
    only_file(&folder);
    // A limit below makes it smaller, one above makes it whole again.
    let (cache, decoded) = on_disk(&folder, whole / 2);
    let notes = cache.notes();
    assert!(decoded == 16 && notes.iter().any(|note| note.contains("reach the limit")), "{notes:?}");
    assert!(std::fs::metadata(only_file(&folder)).unwrap().len() <= whole / 2);
    assert_eq!(on_disk(&folder, whole / 2).1, 0);
    let (cache, decoded) = on_disk(&folder, 1 << 30);
    assert!(decoded == 16 && cache.notes()[0].contains("16 of 16"));
}

#[test]
fn writing_can_be_ended_and_leaves_nothing() {
    let folder = folder();
    let [train, val] = sets(&folder);
    let images = folder.path().join("images");
    let mut end = |done, _| if done < 3 { Ok(()) } else { Err(crate::Error::Interrupted("now".into())) };
    let ended = ImageCache::on_disk(&[&train, &val], &images, 1 << 30, &mut end).map(drop).unwrap_err();
    assert!(matches!(ended, crate::Error::Interrupted(_)), "{ended}");
    assert_eq!(std::fs::read_dir(&images).unwrap().count(), 0);
    assert_eq!(on_disk(&folder, 1 << 30).1, 16);
}

#[test]
fn a_damaged_file_is_never_believed() {
    let folder = folder();
    on_disk(&folder, 1 << 30);
    let bytes = std::fs::read(only_file(&folder)).unwrap();
    let [train, _] = sets(&folder);
    // The head, and the end, tell at once: the file is written again.
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    for damaged in [flipped(3), flipped(20), flipped(50), bytes[..bytes.len() - 1].to_vec(), b"short".to_vec()] {
        std::fs::write(only_file(&folder), damaged).unwrap();
        let (cache, decoded) = on_disk(&folder, 1 << 30);
        assert!(decoded == 16 && cache.notes()[0].contains("is damaged"));
    }
    // Pixels tell when they are read.
    std::fs::write(only_file(&folder), flipped(bytes.len() - 9)).unwrap();
    let path = only_file(&folder);
    let (cache, decoded) = on_disk(&folder, 1 << 30);
    assert_eq!(decoded, 0);
    for (plain, cached) in sets(&folder).iter().zip(cache.sets()) {
        assert!((0..8).all(|index| plain.load(index).unwrap() == cached.load(index).unwrap()));
    }
    let notes = cache.notes();
    assert_eq!(notes.iter().filter(|note| note.contains("is damaged")).count(), 1, "{notes:?}");
    assert!(!path.exists());
    assert_eq!(train.load(0).unwrap(), picture(0));
}

#[test]
fn several_threads_and_runs_at_once_have_the_same_pixels() {
    let folder = folder();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (cache, _) = on_disk(&folder, 1 << 30);
                let memory = ImageCache::in_memory(&sets(&folder).each_ref(), 30_000);
                for (plain, cached) in
                    sets(&folder).iter().zip(cache.sets()).chain(sets(&folder).iter().zip(memory.sets()))
                {
                    for index in (0..8).chain(0..8) {
                        assert_eq!(plain.load(index).unwrap(), cached.load(index).unwrap());
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 4 * 4 * 16);
    only_file(&folder);
}
