//! The layers that backbones are made of, with PyTorch's names, defaults and initial values.

use std::sync::atomic::Ordering;

use tch::{Kind, Tensor};

use super::init::Init;
use super::store::{Scope, Switch};
use crate::Result;

/// Something that maps a tensor to a tensor; `train` says whether dropout drops and batch norm takes its statistics
/// from the batch.
pub trait Layer: Send {
    /// The output for `x`.
    ///
    /// # Errors
    /// What libtorch refuses, as a wrong shape or too little memory.
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor>;
}

/// Layers one after the other.
#[derive(Default)]
pub struct Sequential(pub Vec<Box<dyn Layer>>);

impl Layer for Sequential {
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        self.0.iter().try_fold(x.shallow_clone(), |x, layer| layer.forward(&x, train))
    }
}

/// What a convolution sees beyond the border: zeros, so many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// This many on each of the four sides.
    Each(i64),
    /// TensorFlow's "same": what makes the output ⌈size / stride⌉ long; where that is odd, one more on the right and below.
    Same,
}

/// The geometry of a convolution.
#[derive(Debug, Clone, Copy)]
pub struct ConvConfig {
    /// Input channels.
    pub inputs: i64,
    /// Output channels.
    pub outputs: i64,
    /// Side of the square kernel.
    pub kernel: i64,
    /// Step between outputs.
    pub stride: i64,
    /// Zeros around the input.
    pub padding: Padding,
    /// Groups of channels; `inputs` of them make it depthwise.
    pub groups: i64,
    /// Whether there is a bias per output channel.
    pub bias: bool,
    /// How the weight starts; `None` as `nn.Conv2d`.
    pub init: Option<Init>,
}

impl ConvConfig {
    /// A square convolution of stride 1 that keeps the size, without a bias.
    pub fn new(inputs: i64, outputs: i64, kernel: i64) -> Self {
        let padding = Padding::Each(kernel / 2);
        Self { inputs, outputs, kernel, stride: 1, padding, groups: 1, bias: false, init: None }
    }

    /// The same with another stride.
    pub fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }
}

/// A two-dimensional convolution.
#[derive(Debug)]
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    config: ConvConfig,
}

impl Conv2d {
    /// `weight: [outputs, inputs / groups, kernel, kernel]` and, if wanted, `bias: [outputs]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, config: ConvConfig) -> Result<Self> {
        let ConvConfig { inputs, outputs, kernel, groups, .. } = config;
        let per_group = inputs / groups;
        let default = Init::default_for(per_group * kernel * kernel);
        let weight =
            scope.parameter("weight", &[outputs, per_group, kernel, kernel], config.init.unwrap_or(default))?;
        let bias = config.bias.then(|| scope.parameter("bias", &[outputs], default)).transpose()?;
        Ok(Self { weight, bias, config })
    }
}

impl Layer for Conv2d {
    /// # Shapes
    /// `x: [N, inputs, H, W]` → `[N, outputs, H', W']`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let ConvConfig { kernel, stride, groups, .. } = self.config;
        let convolve = |x: &Tensor, padding| {
            Ok(x.f_conv2d(&self.weight, self.bias.as_ref(), [stride; 2], padding, [1; 2], groups)?)
        };
        match self.config.padding {
            Padding::Each(padding) => convolve(x, [padding; 2]),
            Padding::Same => {
                let (_, _, height, width) = x.size4()?;
                let ((top, below), (left, right)) =
                    (same_padding(height, kernel, stride), same_padding(width, kernel, stride));
                if (top, left) == (below, right) {
                    return convolve(x, [top, left]);
                }
                // The convolution pads both sides alike; only the odd row and column cost a copy.
                convolve(&x.f_constant_pad_nd([0, right - left, 0, below - top])?, [top, left])
            }
        }
    }
}

/// The zeros before and after an axis of that size that TensorFlow's "same" padding adds.
fn same_padding(size: i64, kernel: i64, stride: i64) -> (i64, i64) {
    let outputs = (size + stride - 1) / stride;
    let zeros = ((outputs - 1) * stride + kernel - size).max(0);
    (zeros / 2, zeros - zeros / 2)
}

/// Batch normalisation over N, H and W (Ioffe & Szegedy 2015), whose statistics can be held.
#[derive(Debug)]
pub struct BatchNorm2d {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    variance: Tensor,
    batches: Tensor,
    momentum: f64,
    eps: f64,
    held: Switch,
}

impl BatchNorm2d {
    /// With PyTorch's ε = 1e-5 and momentum 0.1.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, channels: i64) -> Result<Self> {
        Self::with(scope, channels, 1e-5, 0.1)
    }

    /// With an ε and a momentum: the weight that a new batch has in the running statistics.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn with(scope: &Scope, channels: i64, eps: f64, momentum: f64) -> Result<Self> {
        Ok(Self {
            weight: scope.parameter("weight", &[channels], Init::Constant(1.0))?,
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0))?,
            mean: scope.buffer("running_mean", &[channels], 0.0, Kind::Float)?,
            variance: scope.buffer("running_var", &[channels], 1.0, Kind::Float)?,
            batches: scope.buffer("num_batches_tracked", &[], 0.0, Kind::Int64)?,
            momentum,
            eps,
            held: scope.norm_layer(),
        })
    }
}

impl Layer for BatchNorm2d {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H, W]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let train = train && !self.held.load(Ordering::Relaxed);
        if train {
            let _same = tch::no_grad(|| self.batches.shallow_clone().f_add_scalar_(1))?;
        }
        let Self { weight, bias, mean, variance, momentum, eps, .. } = self;
        let cudnn = true;
        Ok(x.f_batch_norm(Some(weight), Some(bias), Some(mean), Some(variance), train, *momentum, *eps, cudnn)?)
    }
}

/// A linear map with bias.
#[derive(Debug)]
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// `weight: [outputs, inputs]`, `bias: [outputs]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, inputs: i64, outputs: i64) -> Result<Self> {
        let init = Init::default_for(inputs);
        let weight = scope.parameter("weight", &[outputs, inputs], init)?;
        Ok(Self { weight, bias: scope.parameter("bias", &[outputs], init)? })
    }
}

impl Layer for Linear {
    /// # Shapes
    /// `x: [N, inputs]` → `[N, outputs]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, Some(&self.bias))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_padding_is_tensorflows() {
        assert_eq!(same_padding(224, 3, 2), (0, 1));
        assert_eq!(same_padding(65, 3, 2), (1, 1));
        assert_eq!(same_padding(56, 5, 2), (1, 2));
        assert_eq!(same_padding(7, 5, 1), (2, 2));
        assert_eq!(same_padding(7, 1, 2), (0, 0));
    }

    #[test]
    fn same_padding_puts_the_odd_zero_right_and_below() -> Result<()> {
        let builder = super::super::Builder::new(tch::Device::Cpu);
        let config = ConvConfig { padding: Padding::Same, init: Some(Init::Constant(1.0)), ..ConvConfig::new(1, 1, 3) };
        let conv = Conv2d::new(&builder.root(), config.stride(2))?;
        // 4 × 5: one zero row below and nothing above; one zero column on each side.
        let sums = conv.forward(&Tensor::ones([1, 1, 4, 5], (Kind::Float, tch::Device::Cpu)), false)?;
        let expected = Tensor::from_slice(&[6f32, 9., 6., 4., 6., 4.]).view([1, 1, 2, 3]);
        assert_eq!(sums.detach(), expected);
        Ok(())
    }
}
