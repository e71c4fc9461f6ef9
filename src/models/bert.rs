//! BERT: the encoder of a transformer over the tokens of a text.
//!
//! Devlin et al. 2019, "BERT: Pre-training of deep bidirectional transformers". Names and order are those of Hugging Face's `BertModel`:
//! embeddings of words, positions and segments, summed and normalised; then layers of self-attention and a perceptron, each added to
//! what it got and normalised after that.

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::Init;
use super::layers::{Layer, LayerNorm, Linear};
use super::store::Scope;
use crate::{Error, Result};

/// The sizes, as `config.json` has them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct BertConfig {
    /// Numbers for each token.
    pub hidden_size: i64,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of each layer's attention.
    pub num_attention_heads: i64,
    /// Width of the perceptron's middle.
    pub intermediate_size: i64,
    /// Tokens that there are.
    pub vocab_size: i64,
    /// The most tokens of a text.
    pub max_position_embeddings: i64,
    /// Segments that there are.
    pub type_vocab_size: i64,
    /// What keeps the norms from dividing by 0.
    pub layer_norm_eps: f64,
    /// The perceptron's activation; `gelu` alone is known here.
    pub hidden_act: String,
    /// `bert`: others with the same names, as RoBERTa, count positions in their own way.
    #[serde(default = "bert")]
    pub model_type: String,
    /// `absolute`: each position has a vector.
    #[serde(default = "absolute")]
    pub position_embedding_type: String,
}

fn bert() -> String {
    "bert".into()
}

fn absolute() -> String {
    "absolute".into()
}

impl BertConfig {
    /// Whether the sizes can be built.
    ///
    /// # Errors
    /// The one that cannot.
    pub fn check(&self) -> Result<()> {
        let sizes = [
            self.hidden_size,
            self.num_attention_heads,
            self.intermediate_size,
            self.vocab_size,
            self.max_position_embeddings,
            self.type_vocab_size,
        ];
        if sizes.iter().any(|&size| !(1..=1 << 24).contains(&size)) || self.num_hidden_layers > 1000 {
            return Err(Error::Model("a BERT of these sizes cannot be built".into()));
        }
        if self.hidden_size % self.num_attention_heads != 0 {
            let (size, heads) = (self.hidden_size, self.num_attention_heads);
            return Err(Error::Model(format!("a BERT's {size} numbers cannot be shared among {heads} heads")));
        }
        for (what, found, expected) in [
            ("the activation", &self.hidden_act, "gelu"),
            ("the type", &self.model_type, "bert"),
            ("positions that are", &self.position_embedding_type, "absolute"),
        ] {
            if found != expected {
                return Err(Error::Model(format!("a BERT with {what} {found}; only {expected} is known here")));
            }
        }
        Ok(())
    }
}

/// The encoder, without the pooler that some tasks put behind it.
pub struct Bert {
    words: Tensor,
    positions: Tensor,
    segments: Tensor,
    norm: LayerNorm,
    layers: Vec<BertLayer>,
}

/// Attention and a perceptron.
struct BertLayer {
    heads: i64,
    query: Linear,
    key: Linear,
    value: Linear,
    mixed: Linear,
    after_attention: LayerNorm,
    widen: Linear,
    narrow: Linear,
    after_all: LayerNorm,
}

impl Bert {
    /// With new values, which a checkpoint takes the place of.
    ///
    /// # Errors
    /// Sizes that cannot be built, or what libtorch refuses.
    pub fn new(scope: &Scope, config: &BertConfig) -> Result<Self> {
        config.check()?;
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let embeddings = scope.at("embeddings");
        let table = |name: &str, rows: i64| embeddings.at(name).parameter("weight", &[rows, width], Init::Normal(0.02));
        let layer = |number: usize| BertLayer::new(&scope.at("encoder").at("layer").at(number), config);
        Ok(Self {
            words: table("word_embeddings", config.vocab_size)?,
            positions: table("position_embeddings", config.max_position_embeddings)?,
            segments: table("token_type_embeddings", config.type_vocab_size)?,
            norm: LayerNorm::new(&embeddings.at("LayerNorm"), width, eps)?,
            layers: (0..config.num_hidden_layers).map(layer).collect::<Result<_>>()?,
        })
    }

    /// What becomes of the tokens of texts of one segment.
    ///
    /// # Shapes
    /// `tokens: [N, T] i64`, `mask: [N, T] bool`, true where a token belongs to its text → `[N, T, width]`
    ///
    /// # Errors
    /// What libtorch refuses, as a text that is too long.
    pub fn forward(&self, tokens: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let length = tokens.size2()?.1;
        let positions = self.positions.f_narrow(0, 0, length)?;
        let words = Tensor::f_embedding(&self.words, tokens, -1, false, false)?;
        let x = words.f_add(&positions)?.f_add(&self.segments.f_narrow(0, 0, 1)?)?;
        // nobody attends to what only fills up
        let seen = mask.f_view([-1, 1, 1, length])?;
        let x = self.norm.forward(&x, false)?;
        self.layers.iter().try_fold(x, |x, layer| layer.forward(&x, &seen))
    }
}

impl BertLayer {
    fn new(scope: &Scope, config: &BertConfig) -> Result<Self> {
        let (width, eps) = (config.hidden_size, config.layer_norm_eps);
        let (own, output) = (scope.at("attention").at("self"), scope.at("attention").at("output"));
        let norm = |scope: &Scope| LayerNorm::new(&scope.at("LayerNorm"), width, eps);
        let linear = |scope: &Scope, inputs: i64, outputs: i64| {
            Linear::with(scope, inputs, outputs, Init::Normal(0.02), Init::Constant(0.0))
        };
        Ok(Self {
            heads: config.num_attention_heads,
            query: linear(&own.at("query"), width, width)?,
            key: linear(&own.at("key"), width, width)?,
            value: linear(&own.at("value"), width, width)?,
            mixed: linear(&output.at("dense"), width, width)?,
            after_attention: norm(&output)?,
            widen: linear(&scope.at("intermediate").at("dense"), width, config.intermediate_size)?,
            narrow: linear(&scope.at("output").at("dense"), config.intermediate_size, width)?,
            after_all: norm(&scope.at("output"))?,
        })
    }

    fn forward(&self, x: &Tensor, seen: &Tensor) -> Result<Tensor> {
        // [N, heads, T, width / heads]
        let heads = |layer: &Linear| -> Result<Tensor> {
            Ok(layer.forward(x, false)?.f_unflatten(-1, [self.heads, -1])?.f_transpose(1, 2)?)
        };
        let (query, key, value) = (heads(&self.query)?, heads(&self.key)?, heads(&self.value)?);
        let mixed = Tensor::f_scaled_dot_product_attention(&query, &key, &value, Some(seen), 0.0, false, None, false)?;
        let mixed = self.mixed.forward(&mixed.f_transpose(1, 2)?.f_flatten(2, -1)?, false)?;
        let x = self.after_attention.forward(&mixed.f_add(x)?, false)?;
        let wide = self.widen.forward(&x, false)?.f_gelu("none")?;
        self.after_all.forward(&self.narrow.forward(&wide, false)?.f_add(&x)?, false)
    }
}

/// The mean over the tokens of each text, scaled to length 1.
///
/// # Shapes
/// `x: [N, T, D]`, `mask: [N, T] bool` → `[N, D]`
///
/// # Errors
/// What libtorch refuses.
pub fn mean_of_tokens(x: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let weight = mask.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?;
    let sum = x.f_mul(&weight)?.f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?;
    let length = sum.f_norm_scalaropt_dim(2, [1i64], true)?.f_clamp_min(1e-12)?;
    Ok(sum.f_div(&length)?)
}
