//! Knowledge distillation: the answers of an old network, doubts included, as targets for a new one.
//!
//! L = T² · mean over the batch of KL(p ‖ q),  p = softmax(z_old / T),  q = softmax(z_new / T),
//!
//! with logits z and temperature T: above 1 the classes that the old network holds improbable count for more. The gradient to
//! a row of z_new is T (q − p) / N. Its size stays about the same for any T, which is what the factor T² is for.
//!
//! Sources: Hinton, Vinyals & Dean, *Distilling the Knowledge in a Neural Network*, 2015, section 2; Li & Hoiem, *Learning
//! without Forgetting*, ECCV 2016.
//!
//! Differences: *Learning without Forgetting* takes the cross-entropy H(p, q) = KL(p ‖ q) + H(p) without the factor T². H(p)
//! does not depend on the new network, so its loss is L / T² plus a constant: the gradients are the same if L has 1/T² of the
//! weight there, which is a quarter at its T of 2. (It writes p as the T-th roots of the probabilities, made to sum to 1, which
//! is the same p.) Unlike the cross-entropy, L is 0 where the networks agree.

use tch::{Kind, Reduction, Tensor};

use crate::{Error, Result};

/// The loss, which is 0 or more. Nothing flows back into the old logits. It is computed in f32, also within autocast.
///
/// # Shapes
/// `new: [N, K]`, `old: [N, K]` → `[]`
///
/// # Errors
/// Shapes that differ or have no rows, a temperature that is not above 0.
pub fn distillation(new: &Tensor, old: &Tensor, temperature: f64) -> Result<Tensor> {
    let shape = new.size();
    if shape.len() != 2 || shape[0] == 0 || old.size() != shape {
        return Err(Error::Model(format!(
            "distillation: new logits have shape {shape:?} and old ones {:?}, expected [images, classes] for both",
            old.size()
        )));
    }
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::Usage(format!("distillation: the temperature is {temperature}, expected a number above 0")));
    }
    let softened = |logits: &Tensor| -> Result<Tensor> {
        Ok(logits.f_to_kind(Kind::Float)?.f_div_scalar(temperature)?.f_log_softmax(1, Kind::Float)?)
    };
    let divergence = softened(new)?.f_kl_div(&softened(&old.f_detach()?)?, Reduction::Sum, true)?;
    Ok(divergence.f_mul_scalar(temperature * temperature / shape[0] as f64)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::super::golden::{close, golden, leaf};
    use super::*;
    use crate::native::Autocast;

    #[test]
    fn value_and_gradient_equal_pytorchs() -> Result<()> {
        for case in ["warm", "hot", "plain"] {
            let golden = golden(&format!("distillation/{case}/"));
            let new = leaf(&golden["new"]);
            let loss = distillation(&new, &golden["old"], f64::try_from(&golden["temperature"])?)?;
            loss.f_backward()?;
            close(&loss, &golden["value"], 1e-5, case);
            close(&new.grad(), &golden["gradient/new"], 1e-5, case);
        }
        Ok(())
    }

    #[test]
    fn networks_that_agree_have_no_loss_and_no_gradient() -> Result<()> {
        let old = &golden("distillation/warm/")["old"];
        let new = leaf(old);
        let loss = distillation(&new, old, 2.0)?;
        loss.f_backward()?;
        assert_eq!(f64::try_from(&loss)?, 0.0);
        assert!(f64::try_from(new.grad().abs().max())? < 1e-7);
        // what all classes of an image have in common is no answer
        let shifted = distillation(&(old + 3.0), old, 2.0)?;
        assert!(f64::try_from(shifted)?.abs() < 1e-6);
        Ok(())
    }

    #[test]
    fn it_is_the_cross_entropy_of_learning_without_forgetting_but_for_a_constant() -> Result<()> {
        let golden = golden("distillation/warm/");
        let [ours, theirs] = [0, 1].map(|_| leaf(&golden["new"]));
        let roots = golden["old"].softmax(1, Kind::Float).sqrt(); // T = 2
        let targets = &roots / roots.sum_dim_intlist(1i64, true, Kind::Float);
        (distillation(&ours, &golden["old"], 2.0)? / 4.0).f_backward()?;
        (&theirs / 2.0).f_cross_entropy_loss(&targets, None::<Tensor>, Reduction::Mean, -100, 0.0)?.f_backward()?;
        close(&ours.grad(), &theirs.grad(), 1e-5, "gradient");
        Ok(())
    }

    #[test]
    fn nothing_flows_into_the_old_network_and_all_is_computed_in_f32() -> Result<()> {
        let golden = golden("distillation/warm/");
        let (new, old) = (leaf(&golden["new"]), leaf(&golden["old"]));
        let loss = distillation(&new, &old, 2.0)?;
        let within = {
            let _autocast = Autocast::begin(Device::Cpu, Kind::BFloat16)?;
            distillation(&new, &old, 2.0)?
        };
        assert_eq!((within.kind(), &within), (Kind::Float, &loss));
        let half = new.detach().to_kind(Kind::BFloat16);
        assert_eq!(distillation(&half, &old, 2.0)?, distillation(&half.to_kind(Kind::Float), &old, 2.0)?);
        loss.f_backward()?;
        assert!(!old.grad().defined());
        Ok(())
    }

    #[test]
    fn bad_input_is_named() {
        let [narrow, wide] = [2, 3].map(|classes| Tensor::zeros([4, classes], (Kind::Float, Device::Cpu)));
        let message = |new: &Tensor, old: &Tensor, t| distillation(new, old, t).unwrap_err().to_string();
        assert!(message(&narrow, &wide, 1.0).contains("shape [4, 2] and old ones [4, 3]"));
        assert!(message(&narrow.narrow(0, 0, 0), &narrow.narrow(0, 0, 0), 1.0).contains("shape [0, 2]"));
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(message(&wide, &wide, temperature).contains("expected a number above 0"));
        }
    }
}
