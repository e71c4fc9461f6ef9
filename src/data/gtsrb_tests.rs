//! Tests of [`super`]: tables, tracks, and the layouts that the benchmark comes in.

use image::Rgb;

use super::*;
use crate::data::{OpenOptions, open_data, open_for_evaluation};

/// An image of `size` × `size` pixels whose values are column and row.
fn image(root: &Path, name: &str, size: u32) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(size, size, |x, y| Rgb([x as u8, y as u8, 0])).save(path).unwrap();
}

/// Class folders of `tracks` with three frames each, without tables.
fn tracks_of(root: &Path, classes: &[(&str, usize)]) {
    for (class, tracks) in classes {
        for track in 0..*tracks {
            (0..3).for_each(|frame| image(root, &format!("{class}/{track:05}_{frame:05}.ppm"), 8));
        }
    }
}

const HEADER: &str = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId\r\n";

/// What is trained on and what validates: class folder and track of every image.
fn sides(root: &Path, options: &OpenOptions) -> ([Vec<(PathBuf, String)>; 2], Vec<String>) {
    let splits = open_data(root, options).unwrap();
    let of = |set: &Labelled| (0..set.len()).map(|index| track(Path::new(&set.name(index))).unwrap()).collect();
    ([of(&splits.train), of(&splits.val)], splits.notes)
}

#[test]
fn no_track_is_on_both_sides() {
    let root = tempfile::tempdir().unwrap();
    tracks_of(root.path(), &[("00000", 10), ("00001", 5), ("00002", 1)]);
    for shots in [None, Some(2)] {
        let ([train, val], notes) = sides(root.path(), &OpenOptions { shots, ..Default::default() });
        assert!(val.iter().all(|track| !train.contains(track)));
        // a fifth of the tracks of each class, all frames of each
        assert_eq!((val.len(), train.len()), (9, shots.map_or(39, |_| 6)));
        assert!(notes.iter().any(|note| note.contains("tracks are held out as a whole")), "{notes:?}");
    }
    // one name that is none of the benchmark's, and images are what is divided
    image(root.path(), "00002/sign.ppm", 8);
    let splits = open_data(root.path(), &OpenOptions::default()).unwrap();
    assert!(splits.notes.is_empty() && splits.val.class_counts().counts == [6, 3, 1]);
}

#[test]
fn signs_are_cut_out_where_a_table_says_so() {
    let root = tempfile::tempdir().unwrap();
    tracks_of(root.path(), &[("00000", 2), ("00001", 2)]);
    let table = format!("{HEADER}00000_00000.ppm;8;8;1;2;5;6;0\r\n00001_00002.ppm;8;8;0;0;7;7;0\r\n");
    std::fs::write(root.path().join("00000/GT-00000.csv"), table).unwrap();
    let set = open_for_evaluation(root.path(), &["00000".into(), "00001".into()]).unwrap();
    let first = set.load(0).unwrap();
    assert_eq!((first.dimensions(), first.get_pixel(0, 0).0, first.get_pixel(4, 4).0), ((5, 5), [1, 2, 0], [5, 6, 0]));
    assert_eq!((set.load(1).unwrap().dimensions(), set.load(7).unwrap().dimensions()), ((8, 8), (8, 8)));
    assert!(set.fingerprint(0).unwrap().contains("width: 5"));
    let splits = open_data(root.path(), &OpenOptions::default()).unwrap();
    assert!(splits.notes.iter().any(|note| note == "signs are cut out of 2 of 12 images, as GT-*.csv says"));

    let table = format!("{HEADER}00000_00000.ppm;8;8;1;2;8;6;0");
    std::fs::write(root.path().join("00000/GT-00000.csv"), table).unwrap();
    let set = open_for_evaluation(root.path(), &["00000".into(), "00001".into()]).unwrap();
    let message = set.load(0).unwrap_err().to_string();
    assert!(message.contains("00000_00000.ppm: is 8 x 8 pixels, but its sign is 8 x 5 from 1, 2 on"), "{message}");
}

/// The whole benchmark in little, and its test alone, in the folders that people keep it in.
#[test]
fn the_test_has_its_classes_in_a_table() {
    let root = tempfile::tempdir().unwrap();
    tracks_of(&root.path().join("Final_Training/Images"), &[("00000", 2), ("00001", 2)]);
    let test = root.path().join("Final_Test/Images");
    (0..3).for_each(|number| image(&test, &format!("{number:05}.ppm"), 8));
    let table = [0, 1, 1].iter().enumerate().map(|(at, class)| format!("{at:05}.ppm;8;8;1;1;6;6;{class}\n"));
    let table = HEADER.to_string() + &table.collect::<String>();
    for place in ["Final_Test/Images", "Final_Test", "."] {
        let path = root.path().join(place).join(TEST_TABLE);
        std::fs::write(&path, &table).unwrap();
        let splits = open_data(root.path(), &OpenOptions::default()).unwrap();
        assert_eq!((splits.train.len(), splits.val.labels()), (12, vec![0, 1, 1]));
        assert_eq!(splits.val.load(2).unwrap().dimensions(), (6, 6));
        // a model that knows the signs in another order
        let alone = open_for_evaluation(&test, &["00001".into(), "00000".into()]).unwrap();
        assert_eq!(alone.labels(), [1, 0, 0]);
        std::fs::remove_file(path).unwrap();
    }
    std::fs::write(root.path().join("Final_Test").join(TEST_TABLE), &table).unwrap();
    let unknown = open_for_evaluation(&test, &["00000".into(), "stop".into()]).err().unwrap().to_string();
    assert!(unknown.contains("class 1 of 00001.ppm is none of the classes expected here (00000, stop)"), "{unknown}");
    std::fs::remove_file(test.join("00002.ppm")).unwrap();
    let missing = open_for_evaluation(&test, &["00000".into(), "00001".into()]).err().unwrap().to_string();
    assert!(missing.contains("00002.ppm: is not there, but stands in"), "{missing}");
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("GT-1.csv");
    let message = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read(&path).err().unwrap().to_string()
    };
    assert!(message("").contains("its first line lacks a column; expected Filename, Roi.X1"));
    assert!(message("Filename,Width\n").contains("parted by ;"));
    for row in
        ["a.ppm;8;8;1;2;0;6;0", "a.ppm;8;8;1", "../a.ppm;8;8;1;2;5;6;0", "a.ppm;8;8;1;2;5;4294967296;0", ";;;;;;;"]
    {
        let said = message(&format!("{HEADER}{row}"));
        assert!(said.contains("line 2: ") && said.contains("does not fit the first line"), "{said}");
    }
    std::fs::write(&path, "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2\n").unwrap();
    let said = open_table(folder.path(), &path, None).err().unwrap().to_string();
    assert!(said.contains("has no column ClassId"), "{said}");
}
