//! Mean teacher, or self-ensembling: predictions that other views of an image do not change (source labelled, target not).
//!
//! French et al. 2018, "Self-ensembling for visual domain adaptation", sections 3.1 to 3.4, after Tarvainen & Valpola 2017. The network
//! learns on views of both domains' images. Its [teacher](super::adapt::Teacher), the average of what it has been, sees other views of
//! the target's, and counts where it is sure. With p the network's prediction, q the teacher's, τ the threshold, K classes:
//!
//! L = L_y(source) + w [ mean over target images of 1(max q ≥ τ) ‖p − q‖² / K + 0.005 c B ]
//!
//! where c is the share of sure predictions and B the binary cross-entropy of the batch's mean prediction with 1/K, summed over classes:
//! it keeps a class from taking all.
//!
//! | | paper | here |
//! |---|---|---|
//! | w | 3 | `--trade-off` 3 |
//! | τ | 0.968 | `--threshold` 0.968 |
//! | teacher's decay | 0.99 | `--teacher` 0.99 |
//! | views | shape and noise; between digits in black and in colours also tone and inversion | `--views shape,noise` |
//!
//! Differences from the paper: w weighs B too; both domains pass in one batch, not each with batch-norm statistics of its own; the teacher
//! predicts as in evaluation, with nothing dropped; the network is the result, not its teacher, which `--ema 0.99` makes of it.

use tch::{Kind, Tensor};

use super::adapt::{Adaptation, Change, Setup, Step, Teacher, Terms, view};
use crate::Result;

/// What the term against a class that takes all counts beside the other.
const BALANCE: f64 = 0.005;

/// The teacher and the strengths.
pub(super) struct MeanTeacher {
    teacher: Teacher,
    views: Vec<Change>,
    threshold: f64,
    strength: f64,
}

impl MeanTeacher {
    pub(super) fn new(setup: &Setup) -> Result<Self> {
        let strengths = setup.strengths;
        Ok(Self {
            teacher: Teacher::new(setup, setup.model.twin()?, strengths.teacher(0.99))?,
            views: strengths.views.clone(),
            threshold: strengths.threshold(0.968),
            strength: strengths.trade_off(3.0),
        })
    }
}

impl Adaptation for MeanTeacher {
    fn view(&self, input: &Tensor) -> Result<Option<Tensor>> {
        view(input, &self.views).map(Some)
    }

    fn terms(&mut self, step: &Step) -> Result<Terms> {
        let target = step.target()?;
        self.teacher.follow(step.network.model)?;
        let taught = self.teacher.logits(&step.network, &view(step.target_input, &self.views)?)?;
        let own = target.logits.f_softmax(-1, Kind::Float)?;
        let (loss, share) = consistency(&own, &taught.f_softmax(-1, Kind::Float)?, self.threshold)?;
        Ok(Terms {
            losses: vec![("consistency".into(), loss.f_mul_scalar(self.strength)?)],
            shares: vec![("confident".into(), share)],
        })
    }
}

/// The loss of predictions `own` beside those of the teacher, and the share of these that are sure.
///
/// # Shapes
/// `own`, `taught`: `[N, K]` in 0..1 → `[]`, `[]`
fn consistency(own: &Tensor, taught: &Tensor, threshold: f64) -> Result<(Tensor, Tensor)> {
    let sure = taught.f_amax([-1i64], false)?.f_ge(threshold)?.f_to_kind(Kind::Float)?;
    let apart = own.f_sub(taught)?.f_square()?.f_mean_dim([-1i64].as_slice(), false, Kind::Float)?;
    let share = sure.f_mean(Kind::Float)?;
    let (mean, even) = (own.f_mean_dim([0i64].as_slice(), false, Kind::Float)?, 1.0 / own.size()[1] as f64);
    let log = |x: Tensor| -> Result<Tensor> { Ok(x.f_add_scalar(1e-6)?.f_log()?) };
    let other = log(mean.f_neg()?.f_add_scalar(1.0)?)?.f_mul_scalar(even - 1.0)?;
    let uneven = log(mean)?.f_mul_scalar(-even)?.f_add(&other)?.f_sum(Kind::Float)?;
    let balance = uneven.f_mul(&share)?.f_mul_scalar(BALANCE)?;
    Ok((apart.f_mul(&sure)?.f_mean(Kind::Float)?.f_add(&balance)?, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_teacher_is_sure_of_draws_and_a_class_that_takes_all_costs() {
        let own = Tensor::from_slice2(&[[0.5f32, 0.5], [0.9, 0.1]]);
        let taught = Tensor::from_slice2(&[[1.0f32, 0.0], [0.4, 0.6]]);
        let (loss, share) = consistency(&own, &taught, 0.968).unwrap();
        // the first image's ‖p − q‖²/2 is 0.25, halved by the second, which does not count; the batch's mean is (0.7, 0.3)
        let uneven = 2.0 * -(0.5 * 0.7f64.ln() + 0.5 * 0.3f64.ln());
        assert!((loss.double_value(&[]) - (0.125 + BALANCE * 0.5 * uneven)).abs() < 1e-6);
        assert_eq!(share.double_value(&[]), 0.5);
        let none = consistency(&own, &taught.fill(0.5), 0.968).unwrap();
        assert_eq!((none.0.double_value(&[]), none.1.double_value(&[])), (0.0, 0.0));
    }
}
