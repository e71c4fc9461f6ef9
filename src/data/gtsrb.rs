//! The German Traffic Sign Recognition Benchmark (Stallkamp et al., *Man vs. computer*, Neural Networks 32, 2012).
//!
//! Class folders `00000` to `00042` hold images `00012_00003.ppm`, the fourth of the thirteenth *track*: frames of a film
//! that drives up to a sign, which all but repeat one another. `GT-00000.csv` in the folder says where in an image the sign
//! is; it is cut out where the table is there. The images of the test lie in one folder, with their classes in
//! `GT-final_test.csv`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use image::imageops;

use super::{FolderSet, ImageSet, Labelled, Region, folder};
use crate::{Error, Result};

const TEST_TABLE: &str = "GT-final_test.csv";
const COLUMNS: [&str; 5] = ["Filename", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2"];
const CLASS: &str = "ClassId";

/// Images of which a region is taken, where there is one.
struct Cropped {
    set: FolderSet,
    regions: Vec<Option<Region>>,
}

/// A line of a table.
struct Row {
    file: String,
    region: Region,
    class: Option<usize>,
}

/// The images of `set`, cut out where the folder of their class in `root` has a table; otherwise the set as it is.
///
/// # Errors
/// A table that is none.
pub(super) fn cropped(root: &Path, set: FolderSet, notes: &mut Vec<String>) -> Result<Arc<dyn ImageSet>> {
    let mut regions = BTreeMap::new();
    for class in set.classes() {
        let table = root.join(class).join(format!("GT-{class}.csv"));
        if table.is_file() {
            let rows = read(&table)?;
            regions
                .extend(rows.into_iter().map(|row| (table.with_file_name(row.file).display().to_string(), row.region)));
        }
    }
    if regions.is_empty() {
        return Ok(Arc::new(set));
    }
    let regions: Vec<Option<Region>> = (0..set.len()).map(|index| regions.get(&set.name(index)).copied()).collect();
    let count = regions.iter().flatten().count();
    notes.push(format!("signs are cut out of {count} of {} images, as GT-*.csv says", set.len()));
    Ok(Arc::new(Cropped { set, regions }))
}

/// The table of classes that belongs to the folder `images`: in it, or in one of the two above it.
pub(super) fn table_of(images: &Path) -> Option<PathBuf> {
    let above = images.ancestors().take(3).map(|folder| folder.join(TEST_TABLE));
    above.into_iter().find(|table| table.is_file())
}

/// The images of the folder `images`, with the classes that stand in `table`: those of `classes` that are called by its
/// numbers or, where there are none yet, `00000` and on.
///
/// # Errors
/// A table that is none or has no classes; a class that is none of `classes`; an image that is not there.
pub(super) fn open_table(images: &Path, table: &Path, classes: Option<&[String]>) -> Result<impl ImageSet + use<>> {
    let rows = read(table)?;
    let highest = rows.iter().filter_map(|row| row.class).max();
    let highest =
        highest.ok_or_else(|| Error::file(table, format!("has no column {CLASS}; fetch the table with classes")))?;
    let own = || (0..=highest).map(|number| format!("{number:05}")).collect();
    let classes: Vec<String> = classes.map_or_else(own, <[String]>::to_vec);
    let mut set = FolderSet::empty(classes.clone());
    let mut regions = vec![];
    for Row { file, region, class } in rows {
        let place = classes.iter().position(|name| name.parse().ok() == class).ok_or_else(|| {
            let (number, some) = (class.unwrap_or_default(), folder::some_of(&classes));
            Error::file(table, format!("class {number} of {file} is none of the classes expected here ({some})"))
        })?;
        let path = images.join(file);
        if !path.is_file() {
            return Err(Error::file(&path, format!("is not there, but stands in {}", table.display())));
        }
        set.push(path, place);
        regions.push(Some(region));
    }
    Ok(Cropped { set, regions })
}

/// The rows of a table, whose columns are told by their names and parted by semicolons.
fn read(table: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(table).map_err(Error::io(table, "cannot read the table"))?;
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let header: Vec<&str> = lines.next().map_or(vec![], |(_, line)| line.trim().split(';').collect());
    let column = |name: &str| header.iter().position(|found| *found == name);
    let places: Option<Vec<usize>> = COLUMNS.iter().map(|name| column(name)).collect();
    let places = places.ok_or_else(|| {
        Error::file(
            table,
            format!("its first line lacks a column; expected {} and {CLASS}, parted by ;", COLUMNS.join(", ")),
        )
    })?;
    let class = column(CLASS);
    let row = |(number, line): (usize, &str)| {
        let cells: Vec<&str> = line.trim().split(';').collect();
        let wrong = || Error::file(table, format!("line {}: {line:?} does not fit the first line", number + 1));
        let whole = |place: usize| cells.get(place).and_then(|cell| cell.trim().parse::<u32>().ok()).ok_or_else(wrong);
        let (left, top, right, bottom) = (whole(places[1])?, whole(places[2])?, whole(places[3])?, whole(places[4])?);
        let file =
            cells.get(places[0]).filter(|file| !file.is_empty() && !file.contains(['/', '\\'])).ok_or_else(wrong)?;
        // the last column and row belong to the sign
        let length =
            |from: u32, to: u32| to.checked_sub(from).and_then(|length| length.checked_add(1)).ok_or_else(wrong);
        let region = Region { left, top, width: length(left, right)?, height: length(top, bottom)? };
        let class = class.map(whole).transpose()?.map(|class| class as usize);
        Ok(Row { file: (*file).to_string(), region, class })
    };
    lines.map(row).collect()
}

impl ImageSet for Cropped {
    fn len(&self) -> usize {
        self.set.len()
    }

    fn classes(&self) -> &[String] {
        self.set.classes()
    }

    fn label(&self, index: usize) -> usize {
        self.set.label(index)
    }

    fn name(&self, index: usize) -> String {
        self.set.name(index)
    }

    fn fingerprint(&self, index: usize) -> Result<String> {
        Ok(format!("{} {:?}", self.set.fingerprint(index)?, self.regions[index]))
    }

    fn load(&self, index: usize) -> Result<RgbImage> {
        let image = self.set.load(index)?;
        let Some(Region { left, top, width, height }) = self.regions[index] else { return Ok(image) };
        if u64::from(left) + u64::from(width) > image.width().into()
            || u64::from(top) + u64::from(height) > image.height().into()
        {
            let (found, high) = image.dimensions();
            let reason =
                format!("is {found} x {high} pixels, but its sign is {width} x {height} from {left}, {top} on");
            return Err(Error::file(self.name(index), reason));
        }
        Ok(imageops::crop_imm(&image, left, top, width, height).to_image())
    }
}

/// Which track each image is of, if all are called as those of the benchmark.
pub(super) fn tracks(set: &Labelled) -> Option<Vec<usize>> {
    let mut numbers = BTreeMap::new();
    (0..set.len())
        .map(|index| {
            let name = set.name(index);
            let track = track(Path::new(&name))?;
            let next = numbers.len();
            Some(*numbers.entry(track).or_insert(next))
        })
        .collect()
}

/// Class folder and track of an image that is called as `00012_00003.ppm`.
fn track(path: &Path) -> Option<(PathBuf, String)> {
    let (track, frame) = path.file_name()?.to_str()?.strip_suffix(".ppm")?.split_once('_')?;
    let number = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    (number(track) && number(frame))
        .then(|| (path.parent().map(Path::to_path_buf).unwrap_or_default(), track.to_string()))
}

#[cfg(test)]
#[path = "gtsrb_tests.rs"]
mod tests;
