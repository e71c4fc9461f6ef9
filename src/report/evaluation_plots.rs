//! The pictures of an evaluation: confusion matrix, reliability, the most confident mistakes.

use std::path::Path;

use super::plot::{Reliability, Tile, confusion, gallery, reliability, save_png};
use crate::Result;
use crate::data::ImageSet;
use crate::eval::{Calibration, Evaluation, Mistake, Predictions};

/// Mistakes in the gallery.
const MISTAKES: usize = 24;

/// Writes `confusion.png`, `reliability.png` and `mistakes.png` to `folder`; `images` are those of `predictions`, in order.
///
/// # Errors
/// An image that cannot be read, or a folder that cannot be written.
pub fn evaluation_plots(
    folder: &Path,
    predictions: &Predictions,
    evaluation: &Evaluation,
    images: &dyn ImageSet,
) -> Result<()> {
    let names: Vec<String> = evaluation.classes.iter().map(|class| class.name.clone()).collect();
    save_png(folder.join("confusion.png"), &confusion("Confusion matrix", &evaluation.confusion, &names)?)?;

    let title = if evaluation.temperature.is_some() { "Before temperature scaling" } else { "Reliability" };
    let mut diagrams = vec![Reliability { title, calibration: &evaluation.calibration }];
    let cooled = match evaluation.temperature {
        Some(temperature) => Some(Calibration::of(&predictions.at_temperature(temperature.value)?)),
        None => None,
    };
    diagrams.extend(cooled.as_ref().map(|calibration| Reliability { title: "After", calibration }));
    save_png(folder.join("reliability.png"), &reliability(&diagrams)?)?;

    let mistakes = predictions.most_confident_mistakes(MISTAKES);
    let tile = |mistake: &Mistake| {
        Ok(Tile {
            image: images.load(mistake.index)?,
            label: names[mistake.label].clone(),
            predicted: names[mistake.predicted].clone(),
            confidence: mistake.confidence,
        })
    };
    let tiles = mistakes.iter().map(tile).collect::<Result<Vec<_>>>()?;
    save_png(folder.join("mistakes.png"), &gallery("Most confident mistakes", &tiles)?)
}
