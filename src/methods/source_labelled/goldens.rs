//! The terms of the methods against what PyTorch makes of their formulas; `tests/golden/adaptation/generate.py` made it.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Kind, Tensor};

use super::{deep_coral, mcc, mcd};
use crate::Result;
use crate::eval::Unsupervised;
use crate::loss::{discrepancy, gaussian_kernels};

/// Everything in the file.
pub(super) fn golden() -> BTreeMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/adaptation/data.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// Within a tolerance that is relative to the largest expected number.
pub(super) fn close(found: &Tensor, expected: &Tensor, tolerance: f64, what: &str) {
    assert_eq!(found.numel(), expected.numel(), "{what}");
    let (found, expected) =
        (found.detach().to_kind(Kind::Double).flatten(0, -1), expected.to_kind(Kind::Double).flatten(0, -1));
    let (difference, scale) = ((&found - &expected).abs().max(), expected.abs().max());
    let (difference, scale) = (f64::try_from(difference).unwrap(), f64::try_from(scale).unwrap());
    assert!(difference <= tolerance * scale, "{what}: off by {difference} of {scale}");
}

/// A loss of these inputs, and its gradient to each of them.
fn check(name: &str, inputs: &[&Tensor], loss: impl Fn(&[Tensor]) -> Result<Tensor>) -> Result<()> {
    let expected = golden();
    let leaves: Vec<Tensor> = inputs.iter().map(|input| input.copy().set_requires_grad(true)).collect();
    let loss = loss(&leaves)?;
    close(&loss, &expected[&format!("{name}/loss")], 1e-5, name);
    for (number, gradient) in Tensor::run_backward(&[&loss], &leaves, false, false).iter().enumerate() {
        close(gradient, &expected[&format!("{name}/grad{number}")], 1e-5, &format!("{name}, gradient {number}"));
    }
    Ok(())
}

#[test]
fn terms_and_their_gradients_are_those_of_pytorch() -> Result<()> {
    let all = golden();
    let (s, t, zs, zt) = (&all["source"], &all["target"], &all["source_logits"], &all["target_logits"]);
    check("coral", &[s, t], |x| deep_coral::coral(&x[0], &x[1]))?;
    check("mmd", &[s, t], |x| discrepancy(&gaussian_kernels(&x[0], &x[1])?, 7))?;
    check("jmmd", &[s, t, zs, zt], |x| {
        let guesses = [2, 3].map(|side| x[side].softmax(-1, Kind::Float));
        discrepancy(&(gaussian_kernels(&x[0], &x[1])? * gaussian_kernels(&guesses[0], &guesses[1])?), 7)
    })?;
    check("mcc", &[zt], |x| mcc::class_confusion(&x[0], 2.5))?;
    check("mcd", &[zt, &(zt.flip([0]) * 0.5)], |x| mcd::disagreement(&x[0], &x[1]))
}

#[test]
fn scores_without_labels_are_those_of_pytorch() -> Result<()> {
    let all = golden();
    let found = Unsupervised::of(&all["target_logits"])?;
    for (name, value) in [("info_max", found.info_max), ("density", found.density)] {
        let expected = f64::try_from(&all[name])?;
        assert!((value - expected).abs() < 1e-7, "{name}: {value}, expected {expected}");
    }
    Ok(())
}
