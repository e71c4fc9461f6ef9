//! Plots as PNG: one file per kind. Drawn with `plotters` at twice the size and averaged down, so that every edge is smooth;
//! the type face is compiled in, so no font of the system is needed.
//!
//! Colours are Okabe and Ito's, which people with any kind of colour vision can tell apart (*Color Universal Design*, 2008).

mod axis;
mod bars;
mod canvas;
mod confusion;
mod contact_sheet;
mod curves;
mod gallery;
mod grid;
mod heat_map;
mod picture;
mod points;
mod reliability;

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};

pub use bars::{Bar, bars};
pub use confusion::confusion;
pub use contact_sheet::contact_sheet;
pub use curves::{Chart, Marker, Range, Series, curves};
pub use gallery::{Tile, gallery};
pub use heat_map::{Colours, HeatCell, HeatMap, heat_maps};
pub use points::{Points, points};
pub use reliability::{Reliability, reliability};

use crate::{Error, Result, files};

/// Writes `image` to `path` as PNG: the whole file or nothing.
///
/// # Errors
/// The file cannot be written.
pub fn save_png(path: impl AsRef<Path>, image: &RgbImage) -> Result<()> {
    let path = path.as_ref();
    let mut bytes = Vec::new();
    image
        .write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png)
        .map_err(|error| Error::file(path, format!("cannot encode the plot: {error}")))?;
    files::write_bytes(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_is_written_as_png() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plots/a.png");
        let image = RgbImage::from_fn(3, 2, |x, y| image::Rgb([x as u8, y as u8, 9]));
        save_png(&path, &image).unwrap();
        assert_eq!(image::open(&path).unwrap().to_rgb8(), image);
    }
}
