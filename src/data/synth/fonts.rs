//! Fonts with digits, wherever there are any.

use std::path::{Path, PathBuf};

use ab_glyph::FontVec;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::glyphs::Glyph;
use crate::data::folder;
use crate::{Error, Result};

/// The height of a digit, in the units that shapes are drawn in.
pub(super) const HEIGHT: f64 = 100.0;
/// How deep folders are searched.
const DEEPEST: usize = 12;
/// The largest file that is read: fonts with all characters of East Asia have about 30 MB.
const LARGEST: u64 = 1 << 27;
/// How many of what was skipped a note names.
const NAMED: usize = 5;

/// The ten digits of a font, each about [`HEIGHT`] high.
pub(super) type Digits = [Glyph; 10];

/// Some fonts.
pub(super) struct Fonts {
    faces: Vec<Digits>,
    /// What was found and what was skipped.
    pub(super) note: String,
}

impl Fonts {
    /// Those in `folder` and below it; without a folder those of the system, or two that are built in where it has none.
    ///
    /// # Errors
    /// A folder that cannot be read, or without a font that has digits.
    pub(super) fn find(folder: Option<&Path>) -> Result<Self> {
        if let Some(folder) = folder {
            let found = Self::of(&files(folder)?, &folder.display().to_string());
            if found.faces.is_empty() {
                let reason = format!("holds no font with digits ({}); expected .ttf or .otf files", found.note);
                return Err(Error::file(folder, reason));
            }
            return Ok(found);
        }
        let present = system_folders().into_iter().filter(|folder| folder.is_dir());
        let found =
            Self::of(&present.map(|folder| files(&folder)).collect::<Result<Vec<_>>>()?.concat(), "this system");
        if found.faces.is_empty() { Self::built_in() } else { Ok(found) }
    }

    fn built_in() -> Result<Self> {
        let fonts = [epaint_default_fonts::UBUNTU_LIGHT, epaint_default_fonts::HACK_REGULAR];
        let faces = fonts.map(|font| digits(font.to_vec())).into_iter().collect::<Result<Vec<_>, _>>();
        let faces = faces.map_err(|reason| Error::Data(format!("the built-in fonts: {reason}")))?;
        Ok(Self { faces, note: "fonts: 2 that are built in, as this system has none; --fonts names others".into() })
    }

    fn of(files: &[PathBuf], place: &str) -> Self {
        let read: Vec<Result<Digits, String>> = files.par_iter().map(|file| read(file)).collect();
        let (mut faces, mut skipped) = (vec![], vec![]);
        for (face, file) in read.into_iter().zip(files) {
            match face {
                Ok(face) => faces.push(face),
                Err(reason) => {
                    let name = file.file_name().unwrap_or_default().to_string_lossy();
                    skipped.push(format!("{name} {reason}"));
                }
            }
        }
        let mut note = format!("fonts: {} of {place}", faces.len());
        if !skipped.is_empty() {
            let more = if skipped.len() > NAMED { ", …" } else { "" };
            let named = skipped[..skipped.len().min(NAMED)].join(", ");
            note += &format!("; skipped {}: {named}{more}", skipped.len());
        }
        Self { faces, note }
    }

    /// Any of them.
    pub(super) fn any(&self, random: &mut ChaCha8Rng) -> &Digits {
        &self.faces[random.random_range(0..self.faces.len())]
    }
}

/// Where systems keep their fonts.
fn system_folders() -> Vec<PathBuf> {
    let home = std::env::home_dir().unwrap_or_default();
    let shared = ["/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts", "/System/Library/Fonts"];
    let own = [".fonts", ".local/share/fonts", "Library/Fonts"].map(|folder| home.join(folder));
    shared.into_iter().map(PathBuf::from).chain(own).collect()
}

/// The font files in `root` and below it, in sorted order.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    fn add(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in folder::entries(folder)? {
            let ending = entry.path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
            if entry.is_folder && depth < DEEPEST {
                add(&entry.path, depth + 1, found)?;
            } else if matches!(ending.as_deref(), Some("ttf" | "otf")) {
                found.push(entry.path);
            }
        }
        Ok(())
    }
    let mut found = vec![];
    if !root.is_dir() {
        return Err(Error::file(root, "no such folder; expected one with .ttf or .otf files"));
    }
    add(root, 0, &mut found)?;
    Ok(found)
}

fn read(file: &Path) -> Result<Digits, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read ({error})");
    if std::fs::metadata(file).map_err(unreadable)?.len() > LARGEST {
        return Err(format!("is larger than {} MiB", LARGEST >> 20));
    }
    digits(std::fs::read(file).map_err(unreadable)?)
}

/// The digits of the font whose content is `bytes`.
fn digits(bytes: Vec<u8>) -> Result<Digits, String> {
    let font = FontVec::try_from_vec(bytes).map_err(|_| "is no font that can be read".to_string())?;
    let glyphs: Option<Vec<Glyph>> = ('0'..='9').map(|digit| Glyph::of(&font, digit)).collect();
    let glyphs: Digits = glyphs.and_then(|glyphs| glyphs.try_into().ok()).ok_or("has no digits")?;
    if !are_digits(&glyphs) {
        return Err("has something else for digits".into());
    }
    let highest = highest(&glyphs);
    Ok(glyphs.map(|glyph| glyph.scaled(HEIGHT / highest)))
}

/// Whether the shapes can be digits: those of fonts of symbols have other holes, or none.
fn are_digits(glyphs: &Digits) -> bool {
    let outlines = glyphs.each_ref().map(Glyph::outlines);
    let holed = [0, 6, 8, 9].iter().all(|&digit| outlines[digit] >= 2);
    let whole = [1, 2, 3, 5, 7].iter().all(|&digit| outlines[digit] <= 2);
    // old figures are of two heights
    holed && whole && glyphs.iter().all(|glyph| glyph.height() > 0.4 * highest(glyphs))
}

fn highest(glyphs: &Digits) -> f64 {
    glyphs.iter().map(Glyph::height).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fonts_without_digits_are_skipped_and_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        write("deep/hack.TTF", epaint_default_fonts::HACK_REGULAR);
        write("icons.ttf", epaint_default_fonts::EGUI_ICONS);
        write("words.otf", b"no font");
        write("notes.txt", b"not looked at");
        let fonts = Fonts::find(Some(folder.path())).unwrap();
        assert_eq!(fonts.faces.len(), 1);
        for part in ["fonts: 1 of", "skipped 2: icons.ttf has", "words.otf is no font"] {
            assert!(fonts.note.contains(part), "{}", fonts.note);
        }
        assert!((highest(&fonts.faces[0]) - HEIGHT).abs() < 1e-9);
    }

    #[test]
    fn what_has_no_holes_where_digits_have_some_is_no_digit() {
        let face = digits(epaint_default_fonts::UBUNTU_LIGHT.to_vec()).unwrap();
        assert!(are_digits(&face));
        let with = |place: usize, glyph: Glyph| {
            let mut face = face.clone();
            face[place] = glyph;
            are_digits(&face)
        };
        assert!(!with(8, face[1].clone()) && with(9, face[6].clone()));
        assert!(!with(4, face[4].clone().scaled(0.2)));
    }

    #[test]
    fn a_folder_without_fonts_is_an_error_and_a_system_without_them_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let message = |path: &Path| Fonts::find(Some(path)).err().unwrap().to_string();
        assert!(message(folder.path()).contains("holds no font with digits (fonts: 0 of"));
        assert!(message(&folder.path().join("absent")).contains("absent: no such folder"));
        assert_eq!(Fonts::built_in().unwrap().faces.len(), 2);
    }
}
