//! The fused batch norm beside libtorch's own operations on the same numbers.

use tch::{Device, Kind, Tensor};

use super::*;
use crate::models::Builder;

const ALL: [Activation; 5] =
    [Activation::Linear, Activation::Relu, Activation::Relu6, Activation::Silu, Activation::Hardswish];

/// Numbers between -1.7 and 1.7 that look random, and that no other test can change as libtorch's own.
fn noise(shape: &[i64], seed: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let numbers: Tensor = Tensor::arange(count, (Kind::Double, Device::Cpu)) * 12.9898 + seed;
    (numbers.sin() * 43758.5453).frac().to_kind(Kind::Float).view(shape) * 1.7
}

/// Output, gradients of x, of what is added, of weight and bias, and the running statistics.
type Found = Vec<Tensor>;

struct Case {
    shape: [i64; 4],
    activation: Activation,
    added: bool,
    train: bool,
    kind: Kind,
}

impl Case {
    /// What one way of computing gives for numbers that depend on the seed alone: the fused one for maps with their
    /// channels innermost, else libtorch's.
    fn run(&self, fused: bool) -> Result<Found> {
        let builder = Builder::new(Device::Cpu);
        let norm = BatchNorm2d::with(&builder.root(), self.shape[1], 1e-3, 0.1)?;
        let channels = self.shape[1];
        tch::no_grad(|| {
            norm.weight.shallow_clone().copy_(&(noise(&[channels], 1.0) + 1.8));
            norm.bias.shallow_clone().copy_(&noise(&[channels], 2.0));
            norm.mean.shallow_clone().copy_(&(noise(&[channels], 3.0) * 5.0 + 50.0));
            norm.variance.shallow_clone().copy_(&(noise(&[channels], 4.0) + 2.0));
        });
        // far from zero, as a sum of squares alone would not bear
        let offset = Tensor::linspace(40.0, 60.0, channels, (Kind::Float, Device::Cpu)).view([1, channels, 1, 1]);
        let make = |x: Tensor| -> Result<Tensor> {
            let x = x.to_kind(self.kind);
            // libtorch's gets the same numbers in f32: in bf16 it rounds between the operations
            let x = if fused { native::to_channels_last(&x)? } else { x.to_kind(Kind::Float) };
            Ok(x.detach().set_requires_grad(true))
        };
        let x = make(noise(&self.shape, 5.0) + offset)?;
        let added = make(noise(&self.shape, 6.0))?;
        let added = self.added.then_some(&added);
        let state = NormState {
            weight: &norm.weight,
            bias: &norm.bias,
            mean: &norm.mean,
            variance: &norm.variance,
            momentum: 0.1,
            eps: 1e-3,
        };
        let taken = native::norm(&x, state, added, self.activation, false)?.is_some();
        assert_eq!(taken, fused, "{:?}", self.shape);
        let y = norm.activated(&x, added, self.activation, self.train)?;
        assert_eq!(y.kind(), x.kind());
        let weights = noise(&self.shape, 7.0);
        (y.to_kind(Kind::Float) * weights).sum(Kind::Float).f_backward()?;
        let grads = [Some(&x), added, Some(&norm.weight), Some(&norm.bias)].into_iter().flatten().map(Tensor::grad);
        let mut found: Found = vec![y.detach()];
        found.extend(grads);
        found.extend([norm.mean.copy(), norm.variance.copy(), norm.batches.to_kind(Kind::Float)]);
        Ok(found)
    }
}

/// The share of numbers that are further apart than `limit` times the largest.
fn apart(a: &Tensor, b: &Tensor, limit: f64) -> f64 {
    let (a, b) = (a.to_kind(Kind::Double).contiguous(), b.to_kind(Kind::Double).contiguous());
    let limit = limit * b.abs().max().double_value(&[]).max(1e-12);
    (&a - &b).abs().gt(limit).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
}

#[test]
fn the_fused_operation_is_libtorchs() -> Result<()> {
    for kind in [Kind::Float, Kind::BFloat16] {
        for shape in [[4, 5, 6, 7], [2, 64, 9, 9], [3, 33, 1, 2], [16, 24, 40, 40]] {
            for activation in ALL {
                for (added, train) in [(false, true), (true, true), (false, false), (true, false)] {
                    let case = Case { shape, activation, added, train, kind };
                    let (ours, theirs) = (case.run(true)?, case.run(false)?);
                    assert_eq!(ours.len(), theirs.len());
                    let limit = if kind == Kind::Float { 3e-5 } else { 1e-2 };
                    for (number, (a, b)) in ours.iter().zip(&theirs).enumerate() {
                        // Right at a kink a last digit decides a gradient; one element shows in the sum over a channel.
                        let (limit, share) = match number {
                            0 => (limit, 0.0),
                            _ if a.dim() == 1 => (f64::max(limit, 2e-3), 0.0),
                            _ => (limit, 2e-6),
                        };
                        let found = apart(a, b, limit);
                        assert!(found <= share, "{kind:?} {shape:?} {activation:?} {added} {train}: {number}: {found}");
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let case =
        Case { shape: [64, 24, 40, 40], activation: Activation::Silu, added: true, train: true, kind: Kind::Float };
    let before = tch::get_num_threads();
    let results = [1, 2, 3].map(|threads| {
        tch::set_num_threads(threads);
        case.run(true)
    });
    tch::set_num_threads(before);
    let [one, two, three] = results;
    let (one, two, three) = (one?, two?, three?);
    assert!(one.iter().zip(&two).zip(&three).all(|((a, b), c)| a == b && a == c));
    Ok(())
}

#[test]
fn a_number_that_is_none_goes_through() -> Result<()> {
    for activation in ALL {
        let builder = Builder::new(Device::Cpu);
        let norm = BatchNorm2d::new(&builder.root(), 3)?;
        let x = Tensor::ones([2, 3, 2, 2], (Kind::Float, Device::Cpu)) * f64::NAN;
        let y = norm.activated(&native::to_channels_last(&x)?, None, activation, false)?;
        assert!(y.isnan().all().int64_value(&[]) == 1, "{activation:?}");
    }
    Ok(())
}
