//! A transformer's block (Vaswani et al. 2017, "Attention is all you need") with its layer norms before the branches.

use tch::Tensor;

use crate::Result;
use crate::models::Init;
use crate::models::layers::{Layer, LayerNorm, Linear};
use crate::models::store::Scope;

const HEADS: i64 = 12;
/// Width of the layer in the middle, in terms of a vector's.
const WIDEN: i64 = 4;

/// `x ↦ y = x + attention(norm(x))`, then `y + MLP(norm(y))`.
pub(super) struct Block {
    norms: [LayerNorm; 2],
    attention: Attention,
    mlp: [Linear; 2],
}

impl Block {
    pub(super) fn new(scope: &Scope, width: i64, eps: f64) -> Result<Self> {
        let norm = |path: &str| LayerNorm::new(&scope.at(path), width, eps);
        let linear = |path: usize, inputs: i64, outputs: i64| {
            let scope = scope.at("mlp").at(path);
            Linear::with(&scope, inputs, outputs, Init::glorot(inputs, outputs), Init::Normal(1e-6))
        };
        Ok(Self {
            norms: [norm("ln_1")?, norm("ln_2")?],
            attention: Attention::new(&scope.at("self_attention"), width)?,
            mlp: [linear(0, width, WIDEN * width)?, linear(3, WIDEN * width, width)?], // 1 and 2: GELU and dropout
        })
    }
}

impl Layer for Block {
    /// # Shapes
    /// `x: [N, tokens, width]` → `[N, tokens, width]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let ([before_attention, before_mlp], [widen, narrow]) = (&self.norms, &self.mlp);
        let x = self.attention.forward(&before_attention.forward(x, train)?, train)?.f_add(x)?;
        let wide = widen.forward(&before_mlp.forward(&x, train)?, train)?.f_gelu("none")?;
        Ok(x.f_add(&narrow.forward(&wide, train)?)?)
    }
}

/// Self-attention with several heads.
struct Attention {
    /// Queries, keys and values at once: `[3 × width, width]`, `[3 × width]`.
    weight: Tensor,
    bias: Tensor,
    output: Linear,
}

impl Attention {
    fn new(scope: &Scope, width: i64) -> Result<Self> {
        let zero = Init::Constant(0.0);
        let weight = scope.parameter("in_proj_weight", &[3 * width, width], Init::glorot(width, 3 * width))?;
        let bias = scope.parameter("in_proj_bias", &[3 * width], zero)?;
        let output = Linear::with(&scope.at("out_proj"), width, width, Init::default_for(width), zero)?;
        Ok(Self { weight, bias, output })
    }
}

impl Layer for Attention {
    /// # Shapes
    /// `x: [N, tokens, width]` → `[N, tokens, width]`
    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let parts = x.f_linear(&self.weight, Some(&self.bias))?.f_chunk(3, -1)?;
        // [N, heads, tokens, width / heads]
        let heads = |part: &Tensor| -> Result<Tensor> { Ok(part.f_unflatten(-1, [HEADS, -1])?.f_transpose(1, 2)?) };
        let [query, key, value] = [heads(&parts[0])?, heads(&parts[1])?, heads(&parts[2])?];
        let none: Option<&Tensor> = None;
        let mixed = Tensor::f_scaled_dot_product_attention(&query, &key, &value, none, 0.0, false, None, false)?;
        self.output.forward(&mixed.f_transpose(1, 2)?.f_flatten(2, -1)?, train)
    }
}
