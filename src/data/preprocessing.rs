//! How a network wants its images: the sizes, the interpolation and the normalisation it was trained with.

use serde::{Deserialize, Serialize};

/// How pixels are interpolated when an image is resized; both filters widen when shrinking, as Pillow's do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// The triangle filter.
    Bilinear,
    /// The cubic filter with a = −0.5.
    Bicubic,
}

/// A network's own preprocessing, stored in the registry and with every trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// The shorter side after resizing, in pixels.
    pub resize: u32,
    /// The side of the square that is cut from the centre, in pixels.
    pub crop: u32,
    /// How the resize interpolates.
    pub interpolation: Interpolation,
    /// Mean per channel (red, green, blue) of values in 0..1, subtracted.
    pub mean: [f32; 3],
    /// Standard deviation per channel, divided by.
    pub std: [f32; 3],
}
