//! Two-dimensional convolutions.

use tch::Tensor;

use super::Layer;
use crate::Result;
use crate::models::Init;
use crate::models::store::Scope;

/// What a convolution sees beyond the border: zeros, so many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Half the kernel, rounded down: with an odd kernel and stride 1 the size stays.
    Half,
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
    /// Height and width of the kernel.
    pub kernel: [i64; 2],
    /// Step between outputs.
    pub stride: i64,
    /// Zeros around the input.
    pub padding: Padding,
    /// Groups of channels; `inputs` of them make it depthwise.
    pub groups: i64,
    /// Whether there is a bias per output channel.
    pub bias: bool,
    /// How the weight starts, with a bias of 0; `None` as `nn.Conv2d`.
    pub init: Option<Init>,
}

impl ConvConfig {
    /// A square convolution of stride 1 that keeps the size, without a bias.
    pub fn new(inputs: i64, outputs: i64, kernel: i64) -> Self {
        let (kernel, padding) = ([kernel; 2], Padding::Half);
        Self { inputs, outputs, kernel, stride: 1, padding, groups: 1, bias: false, init: None }
    }

    /// A filter of its own for each channel.
    pub fn depthwise(channels: i64, kernel: i64) -> Self {
        Self { groups: channels, ..Self::new(channels, channels, kernel) }
    }

    /// The same with another stride.
    pub fn stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// The same with so many zeros on each of the four sides.
    pub fn padding(self, each: i64) -> Self {
        Self { padding: Padding::Each(each), ..self }
    }

    /// The same with a bias.
    pub fn bias(self) -> Self {
        Self { bias: true, ..self }
    }

    /// The same with another start.
    pub fn init(self, init: Init) -> Self {
        Self { init: Some(init), ..self }
    }

    /// He's start for a ReLU network that keeps the variance of gradients; see [`Init::he_fan_out`].
    pub fn he_fan_out(self) -> Self {
        self.init(Init::he_fan_out(self.outputs, self.kernel[0] * self.kernel[1]))
    }

    /// How many inputs an output sums over.
    pub fn fan_in(&self) -> i64 {
        self.inputs / self.groups * self.kernel[0] * self.kernel[1]
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
    /// `weight: [outputs, inputs / groups, kernel height, kernel width]` and, if wanted, `bias: [outputs]`.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn new(scope: &Scope, config: ConvConfig) -> Result<Self> {
        let ConvConfig { inputs, outputs, kernel: [height, width], groups, init, .. } = config;
        let default = Init::default_for(config.fan_in());
        let shape = [outputs, inputs / groups, height, width];
        let weight = scope.parameter("weight", &shape, init.unwrap_or(default))?;
        let start = if init.is_some() { Init::Constant(0.0) } else { default };
        let bias = config.bias.then(|| scope.parameter("bias", &[outputs], start)).transpose()?;
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
            Padding::Half => convolve(x, kernel.map(|side| side / 2)),
            Padding::Each(padding) => convolve(x, [padding; 2]),
            Padding::Same => {
                let (_, _, height, width) = x.size4()?;
                let ((top, below), (left, right)) =
                    (same_padding(height, kernel[0], stride), same_padding(width, kernel[1], stride));
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

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::models::Builder;

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
        let builder = Builder::new(Device::Cpu);
        let config = ConvConfig { padding: Padding::Same, init: Some(Init::Constant(1.0)), ..ConvConfig::new(1, 1, 3) };
        let conv = Conv2d::new(&builder.root(), config.stride(2))?;
        // 4 × 5: one zero row below and nothing above; one zero column on each side.
        let sums = conv.forward(&Tensor::ones([1, 1, 4, 5], (Kind::Float, Device::Cpu)), false)?;
        let expected = Tensor::from_slice(&[6f32, 9., 6., 4., 6., 4.]).view([1, 1, 2, 3]);
        assert_eq!(sums.detach(), expected);
        Ok(())
    }
}
