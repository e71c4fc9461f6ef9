//! Means and maxima over positions.

use tch::Tensor;

use super::Layer;
use crate::Result;

/// The mean over all positions.
#[derive(Debug, Clone, Copy)]
pub struct GlobalPool;

impl Layer for GlobalPool {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_adaptive_avg_pool2d([1, 1])?.f_flatten(1, -1)?)
    }
}

/// Means over a grid of that many cells on each side, as one vector.
#[derive(Debug, Clone, Copy)]
pub struct AdaptivePool(
    /// Cells on each side.
    pub i64,
);

impl Layer for AdaptivePool {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C × cells × cells]`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        Ok(x.f_adaptive_avg_pool2d([self.0; 2])?.f_flatten(1, -1)?)
    }
}

/// The mean over squares of that side, which counts the zeros beyond the border.
#[derive(Debug, Clone, Copy)]
pub struct AveragePool {
    /// Side of the square.
    pub kernel: i64,
    /// Step between outputs.
    pub stride: i64,
    /// Zeros on each of the four sides.
    pub padding: i64,
}

impl Layer for AveragePool {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H', W']`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let Self { kernel, stride, padding } = *self;
        Ok(x.f_avg_pool2d([kernel; 2], [stride; 2], [padding; 2], false, true, None)?)
    }
}

/// The maximum over squares of that side.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool {
    /// Side of the square.
    pub kernel: i64,
    /// Step between outputs.
    pub stride: i64,
    /// What lies beyond the border and is never the maximum, on each of the four sides.
    pub padding: i64,
    /// Whether squares that reach over the border on the right and below count too.
    pub ceil: bool,
}

impl MaxPool {
    /// Squares that lie within the map.
    pub fn new(kernel: i64, stride: i64) -> Self {
        Self { kernel, stride, padding: 0, ceil: false }
    }
}

impl Layer for MaxPool {
    /// # Shapes
    /// `x: [N, C, H, W]` → `[N, C, H', W']`
    fn forward(&self, x: &Tensor, _train: bool) -> Result<Tensor> {
        let Self { kernel, stride, padding, ceil } = *self;
        Ok(x.f_max_pool2d([kernel; 2], [stride; 2], [padding; 2], [1; 2], ceil)?)
    }
}
