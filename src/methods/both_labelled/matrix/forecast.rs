//! What a source will be worth to a target, forecast from the target's training images before anything is learned from them.

use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::data::{ImageSet, Labelled, LoaderOptions};
use crate::eval::transferability::{h_score, leep, log_me, nce, shrunk_h_score};
use crate::methods::both_labelled::finetune::FinetuneOptions;
use crate::models::layers::{GlobalPool, Layer};
use crate::models::{Classifier, FeatureForm};
use crate::train::batch_size::BatchSize;
use crate::train::{ImageSource, Precision, inference};
use crate::{Result, files};

/// What can be forecast by; higher is better in all, and means nothing across targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Score {
    /// The evidence of a linear head on the source's features.
    LogMe,
    /// The variance of the features between classes, with a shrunk covariance.
    ShrunkHScore,
    /// The same without shrinkage; the same for all sources where there are fewer images than features.
    HScore,
    /// The likelihood of the classes given the source's probabilities.
    Leep,
    /// What the source's most probable class leaves unsaid.
    Nce,
}

impl Score {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::LogMe, Self::ShrunkHScore, Self::HScore, Self::Leep, Self::Nce];

    /// Its name in tables and plots.
    pub fn title(self) -> &'static str {
        match self {
            Self::LogMe => "LogME",
            Self::ShrunkHScore => "shrunk H-score",
            Self::HScore => "H-score",
            Self::Leep => "LEEP",
            Self::Nce => "NCE",
        }
    }
}

/// The scores of a source for a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// See [`log_me`].
    pub log_me: f64,
    /// See [`shrunk_h_score`].
    pub shrunk_h_score: f64,
    /// See [`h_score`].
    pub h_score: f64,
    /// See [`leep`].
    pub leep: f64,
    /// See [`nce`], of the source's most probable classes.
    pub nce: f64,
    /// How many images it is from.
    pub images: usize,
    /// How long the network took over the images.
    pub seconds_of_network: f64,
    /// How long the five scores took.
    pub seconds_of_scores: f64,
}

impl Forecast {
    /// The value of a score.
    pub fn of(&self, score: Score) -> f64 {
        match score {
            Score::LogMe => self.log_me,
            Score::ShrunkHScore => self.shrunk_h_score,
            Score::HScore => self.h_score,
            Score::Leep => self.leep,
            Score::Nce => self.nce,
        }
    }
}

/// What a source model makes of a target's images.
pub(super) struct Seen {
    /// `[N, features]`.
    features: Tensor,
    /// Of its own classes: `[N, classes]`.
    probabilities: Tensor,
}

/// Shows a source model images of a target, as evaluation sees them.
pub(super) fn look(
    source: &Classifier,
    images: &Labelled,
    loader: LoaderOptions,
    precision: Precision,
) -> Result<Seen> {
    let stages = source.backbone().stages.len();
    let mut batches = ImageSource::evaluation(images, &source.spec.preprocessing, loader)?;
    let width = source.backbone().features;
    let outputs = inference::over(&mut batches, source.store.device(), precision, &mut |_| Ok(()), |input| {
        let features = inference::features(source, input, stages)?;
        let logits = source.head().forward(&features, false)?.f_to_kind(Kind::Float)?;
        let pooled = match source.backbone().form {
            FeatureForm::Vector => features,
            FeatureForm::Map => GlobalPool.forward(&features, false)?,
        };
        Ok(Tensor::f_cat(&[pooled.f_to_kind(Kind::Float)?, logits], 1)?)
    })?;
    let logits = outputs.values.f_narrow(1, width, source.spec.classes.len() as i64)?;
    let probabilities = logits.f_div_scalar(source.spec.temperature)?.f_softmax(1, Kind::Float)?;
    Ok(Seen { features: outputs.values.f_narrow(1, 0, width)?, probabilities })
}

/// The scores of a source model for a target of these `images`.
///
/// # Errors
/// An image that cannot be read; features that are not finite.
pub fn forecast(
    source: &Classifier,
    images: &Labelled,
    loader: LoaderOptions,
    precision: Precision,
) -> Result<Forecast> {
    let began = Instant::now();
    let Seen { features, probabilities } = look(source, images, loader, precision)?;
    let seconds_of_network = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let (labels, classes) = (images.labels(), images.classes().len());
    let likeliest = Vec::<i64>::try_from(probabilities.f_argmax(1, false)?)?;
    let likeliest: Vec<usize> = likeliest.into_iter().map(|class| class as usize).collect();
    Ok(Forecast {
        log_me: log_me(&features, &labels, classes)?,
        shrunk_h_score: shrunk_h_score(&features, &labels, classes)?,
        h_score: h_score(&features, &labels, classes)?,
        leep: leep(&probabilities, &labels, classes)?,
        nce: nce(&likeliest, &labels, classes)?,
        images: images.len(),
        seconds_of_network,
        seconds_of_scores: began.elapsed().as_secs_f64(),
    })
}

/// A forecast as it is kept beside the runs.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// The options of the run that it forecasts.
    options: serde_json::Value,
    forecast: Forecast,
}

/// The forecast in `file` if it is of the run with these `options`; otherwise it is made, with the source model that these
/// name, and written there.
///
/// # Errors
/// As [`forecast`]; a file that cannot be read or written.
pub(super) fn kept(file: &Path, options: &FinetuneOptions, images: &Labelled, force: bool) -> Result<Forecast> {
    let wanted = serde_json::to_value(options.resolved()).expect("options are plain data");
    if file.is_file() && !force {
        let kept: Kept = files::read_json(file)?;
        if kept.options == wanted {
            return Ok(kept.forecast);
        }
    }
    let device = options.machine.device()?;
    let source = Classifier::open(Path::new(&options.model.model), device, &options.model.preprocessing)?;
    let usual = LoaderOptions::default();
    let batch_size = match options.machine.batch_size {
        BatchSize::Fixed(images) => images,
        BatchSize::Auto => usual.batch_size,
    };
    let loader = LoaderOptions { batch_size, workers: options.machine.workers, device, ..usual };
    let forecast = forecast(&source, images, loader, options.fit.precision)?;
    files::write_json(file, &Kept { options: wanted, forecast: forecast.clone() })?;
    Ok(forecast)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::data::{SyntheticOptions, SyntheticSet};
    use crate::models::small_classifier;

    #[test]
    fn it_is_what_the_scores_say_of_the_same_features() -> Result<()> {
        let set = SyntheticSet::new(SyntheticOptions { classes: 4, per_class: 5, size: 32, ..Default::default() });
        let images = Labelled::new(Arc::new(set));
        let source = small_classifier(&["a", "b", "c"], 1)?;
        let loader = LoaderOptions { batch_size: 7, ..LoaderOptions::default() };
        let found = forecast(&source, &images, loader, Precision::Fp32)?;

        // the same by hand: features and logits each in a pass of its own
        let stages = source.backbone().stages.len();
        let pass = |head: bool| -> Result<Tensor> {
            let mut batches = ImageSource::evaluation(&images, &source.spec.preprocessing, loader)?;
            let outputs =
                inference::over(&mut batches, source.store.device(), Precision::Fp32, &mut |_| Ok(()), |input| {
                    if head {
                        inference::logits(&source, input, false)
                    } else {
                        inference::features(&source, input, stages)
                    }
                })?;
            Ok(outputs.values)
        };
        let (features, logits) = (pass(false)?, pass(true)?);
        assert_eq!(features.size(), [20, source.backbone().features]);
        let probabilities = (logits / source.spec.temperature).softmax(1, Kind::Float);
        let classes: Vec<usize> =
            Vec::<i64>::try_from(probabilities.argmax(1, false))?.into_iter().map(|class| class as usize).collect();
        let labels = images.labels();
        let by_hand = [
            log_me(&features, &labels, 4)?,
            shrunk_h_score(&features, &labels, 4)?,
            h_score(&features, &labels, 4)?,
            leep(&probabilities, &labels, 4)?,
            nce(&classes, &labels, 4)?,
        ];
        assert_eq!(Score::ALL.map(|score| found.of(score)), by_hand);
        assert_eq!(found.images, 20);
        Ok(())
    }
}
