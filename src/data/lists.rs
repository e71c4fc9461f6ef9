//! Lists of images, as DomainNet has for each of its domains: a line `sketch/zebra/sketch_345_000123.jpg 344` for each
//! image, with its path from the folder of the list and the number of its class. The class is named as the folder that
//! the image lies in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{FolderSet, folder};
use crate::{Error, Result};

const EXPECTED: &str = "expected a path and the number of a class on every line, as in sketch/zebra/1.jpg 344";
const TRAIN: &str = "_train.txt";
const TEST: &str = "_test.txt";

/// Reads the list `file`, under the classes of its own or, where there are some already, under `classes`.
///
/// # Errors
/// A list that is missing, empty or no list; two names of a class; a class that is none of `classes`; a first image that
/// is not there.
pub(super) fn open(file: &Path, classes: Option<&[String]>) -> Result<FolderSet> {
    let text = std::fs::read_to_string(file).map_err(Error::io(file, "cannot read the list"))?;
    let base = file.parent().unwrap_or(Path::new(""));
    let mut names: BTreeMap<usize, &str> = BTreeMap::new();
    let mut images = vec![];
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |what: String| Error::file(file, format!("line {}: {what}", number + 1));
        let (path, label) = entry(line.trim()).ok_or_else(|| wrong(format!("{:?}; {EXPECTED}", shortened(line))))?;
        let class = Path::new(path).parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let class = class.ok_or_else(|| wrong(format!("{path:?} lies in no folder that names its class")))?;
        let known = *names.entry(label).or_insert(class);
        if known != class {
            return Err(wrong(format!("class {label} is {class:?} here and {known:?} above")));
        }
        images.push((base.join(path), label));
    }
    let Some((first, _)) = images.first() else { return Err(Error::file(file, format!("is empty; {EXPECTED}"))) };
    if !first.is_file() {
        let reason = format!("names {}, which is not there; paths start from the folder of the list", first.display());
        return Err(Error::file(file, reason));
    }
    let own: Vec<String> = names.values().map(ToString::to_string).collect();
    let classes = match classes {
        Some(classes) => classes.to_vec(),
        None if own.len() < 2 => {
            return Err(Error::file(file, "has images of one class only; at least two are needed"));
        }
        None => own,
    };
    let mut places = BTreeMap::new();
    for (label, class) in &names {
        let place = classes.iter().position(|name| name == class).ok_or_else(|| {
            let (count, some) = (classes.len(), folder::some_of(&classes));
            Error::file(file, format!("class {class:?} is none of the {count} classes expected here ({some})"))
        })?;
        if let Some(other) = places.insert(place, label) {
            return Err(Error::file(file, format!("class {class:?} has the numbers {other} and {label}")));
        }
    }
    let places: BTreeMap<usize, usize> = places.into_iter().map(|(place, label)| (*label, place)).collect();
    let mut set = FolderSet::empty(classes);
    images.into_iter().for_each(|(path, label)| set.push(path, places[&label]));
    Ok(set)
}

/// Path and class of a line; a path may have spaces.
fn entry(line: &str) -> Option<(&str, usize)> {
    let (path, label) = line.rsplit_once(char::is_whitespace)?;
    Some((path.trim_end(), label.parse().ok()?)).filter(|(path, _)| !path.is_empty())
}

fn shortened(line: &str) -> String {
    line.chars().take(60).collect()
}

/// The list for the test beside one for training.
pub(super) fn test_of(file: &Path) -> Option<PathBuf> {
    let domain = file.file_name()?.to_str()?.strip_suffix(TRAIN)?;
    Some(file.with_file_name(format!("{domain}{TEST}"))).filter(|test| test.is_file())
}

/// The lists for training and test that belong to the folder `root`, which has these `folders`: in it or beside it.
///
/// # Errors
/// A folder of several domains.
pub(super) fn find(root: &Path, folders: &[String]) -> Result<Option<(PathBuf, Option<PathBuf>)>> {
    let with_test = |train: PathBuf| {
        let test = test_of(&train);
        (train, test)
    };
    let listed: Vec<&String> = folders.iter().filter(|name| root.join(format!("{name}{TRAIN}")).is_file()).collect();
    match listed.as_slice() {
        [] => {}
        [domain] => return Ok(Some(with_test(root.join(format!("{domain}{TRAIN}"))))),
        [first, ..] => {
            let count = listed.len();
            let example = root.join(first);
            return Err(Error::file(
                root,
                format!("holds {count} domains with lists; name one, as {}", example.display()),
            ));
        }
    }
    // the name of a folder that is called `.`
    let Ok(real) = root.canonicalize() else { return Ok(None) };
    let Some(name) = real.file_name().and_then(|name| name.to_str()) else { return Ok(None) };
    let list = format!("{name}{TRAIN}");
    let beside = [real.join(&list), real.with_file_name(&list)];
    Ok(beside.into_iter().find(|path| path.is_file()).map(with_test))
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::data::ImageSet;

    /// Two domains of three classes, of which one is in no test list.
    fn domains() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for domain in ["real", "sketch"] {
            let mut lists = [String::new(), String::new()];
            for (label, class) in ["axe", "bee", "t shirt"].iter().enumerate() {
                for number in 0..3 {
                    let name = format!("{domain}/{class}/{number}.png");
                    std::fs::create_dir_all(root.path().join(&name).parent().unwrap()).unwrap();
                    RgbImage::new(1, 1).save(root.path().join(&name)).unwrap();
                    let part = usize::from(number == 2 && label != 0);
                    lists[part] += &format!("{name} {label}\n");
                }
            }
            for (list, part) in lists.iter().zip([TRAIN, TEST]) {
                std::fs::write(root.path().join(format!("{domain}{part}")), list).unwrap();
            }
        }
        root
    }

    fn labels(set: &FolderSet) -> Vec<usize> {
        (0..set.len()).map(|index| set.label(index)).collect()
    }

    #[test]
    fn the_lists_of_a_domain_are_found_beside_it_and_within_it() {
        let root = domains();
        let sketch = root.path().join("sketch");
        let (train, test) = find(&sketch, &["axe".into()]).unwrap().unwrap();
        let set = open(&train, None).unwrap();
        assert_eq!(
            (set.classes(), labels(&set)),
            (&["axe", "bee", "t shirt"].map(String::from)[..], vec![0, 0, 0, 1, 1, 2, 2])
        );
        assert_eq!(set.load(6).unwrap().dimensions(), (1, 1));
        let test = open(&test.unwrap(), Some(set.classes())).unwrap();
        assert_eq!((labels(&test), test.classes().len()), (vec![1, 2], 3));
        let both = find(root.path(), &["real".into(), "sketch".into()]).err().unwrap().to_string();
        assert!(both.contains("holds 2 domains with lists; name one, as"), "{both}");
        let one = find(root.path(), &["real".into()]).unwrap().unwrap();
        assert!(one.0.ends_with("real_train.txt") && one.1.unwrap().ends_with("real_test.txt"));
        assert_eq!(find(&sketch.join("axe"), &[]).unwrap(), None);
    }

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        let root = domains();
        let path = root.path().join("x.txt");
        let message = |text: &str, classes: Option<&[String]>| {
            std::fs::write(&path, text).unwrap();
            open(&path, classes).err().unwrap().to_string()
        };
        let (axe, bee) = ("real/axe/0.png 0", "real/bee/0.png");
        for (text, expected) in [
            ("", "is empty; expected a path and the number"),
            ("\n\nwords", "line 3: \"words\"; expected a path"),
            ("a/b.png -1", "line 1: \"a/b.png -1\"; expected"),
            ("b.png 1", "line 1: \"b.png\" lies in no folder"),
            ("no/axe/1.png 0", "no/axe/1.png, which is not there"),
            (axe, "one class only"),
            (&format!("{axe}\n{bee} 0"), "line 2: class 0 is \"bee\" here and \"axe\" above"),
            (&format!("{axe}\n{bee} 1\n{bee} 2"), "class \"bee\" has the numbers 1 and 2"),
        ] {
            let message = message(text, None);
            assert!(message.contains(expected), "{message}\nlacks: {expected}");
        }
        let unknown = message(axe, Some(&["bee".into()]));
        assert!(unknown.contains("class \"axe\" is none of the 1 classes expected here (bee)"), "{unknown}");
    }
}
