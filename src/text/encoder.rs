//! A network that makes a vector of a sentence.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{CModule, Device, Kind, Tensor};
use tokenizers::Tokenizer;

use crate::models::Builder;
use crate::models::bert::{Bert, BertConfig, mean_of_tokens};
use crate::models::formats::{StateDict, load_into};
use crate::{Error, Result, files};

/// Sentences in a batch.
const BATCH: usize = 64;

/// An encoder of sentences, as a folder of Hugging Face's has it: `tokenizer.json`, and either `config.json` with
/// `model.safetensors` of a BERT, or a TorchScript module `model.pt`.
pub struct Encoder {
    tokenizer: Tokenizer,
    network: Network,
    device: Device,
    /// The most tokens of a sentence.
    longest: usize,
}

enum Network {
    Bert(Box<Bert>),
    /// Takes tokens and mask, `[N, T] i64`, and gives `[N, T, D]` or `[N, D]`.
    Module(CModule),
}

impl Encoder {
    /// Opens the folder.
    ///
    /// # Errors
    /// A file that lacks, or is not what it should be.
    pub fn open(folder: &Path, device: Device) -> Result<Self> {
        let file = folder.join("tokenizer.json");
        let mut tokenizer =
            Tokenizer::from_file(&file).map_err(|error| Error::file(&file, format!("is no tokenizer: {error}")))?;
        // sentences are short; what a file asks for here is for training
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| Error::file(&file, error.to_string()))?;
        let module = folder.join("model.pt");
        let (network, longest) = if module.is_file() {
            let mut module = CModule::load_on_device(&module, device)
                .map_err(|error| Error::file(&module, format!("is no TorchScript module: {error}")))?;
            module.f_set_eval()?;
            (Network::Module(module), 512)
        } else {
            let (bert, longest) = bert(folder, device)?;
            (Network::Bert(Box::new(bert)), longest)
        };
        Ok(Self { tokenizer, network, device, longest })
    }

    /// A vector of length 1 for each sentence.
    ///
    /// # Shapes
    /// → `[N, D]` f32, on the CPU
    ///
    /// # Errors
    /// A sentence that is too long.
    pub fn encode(&self, sentences: &[String]) -> Result<Tensor> {
        let _no_grad = tch::no_grad_guard();
        let parts = sentences.chunks(BATCH).map(|part| self.batch(part)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    fn batch(&self, sentences: &[String]) -> Result<Tensor> {
        let encoded = self.tokenizer.encode_batch(sentences.to_vec(), true);
        let encoded = encoded.map_err(|error| Error::Model(format!("the tokenizer refuses a sentence: {error}")))?;
        let length = encoded.iter().map(|one| one.get_ids().len()).max().unwrap_or(0);
        if length > self.longest {
            let most = self.longest;
            return Err(Error::Data(format!("a description has {length} tokens; the encoder takes {most}")));
        }
        let padded = |one: &tokenizers::Encoding, fill: fn(u32) -> i64| {
            let mut row: Vec<i64> = one.get_ids().iter().map(|&id| fill(id)).collect();
            row.resize(length, 0);
            row
        };
        let rows = |fill: fn(u32) -> i64| -> Result<Tensor> {
            let flat: Vec<i64> = encoded.iter().flat_map(|one| padded(one, fill)).collect();
            Ok(Tensor::f_from_slice(&flat)?.f_view([-1, length as i64])?.f_to_device(self.device)?)
        };
        let (tokens, mask) = (rows(i64::from)?, rows(|_| 1)?);
        let own = mask.f_to_kind(Kind::Bool)?;
        let x = match &self.network {
            Network::Bert(bert) => bert.forward(&tokens, &own)?,
            Network::Module(module) => module.forward_ts(&[tokens, mask])?,
        };
        let vectors = match x.dim() {
            3 => mean_of_tokens(&x, &own)?,
            2 => mean_of_tokens(&x.f_unsqueeze(1)?, &own.f_narrow(1, 0, 1)?)?,
            _ => return Err(Error::Model(format!("the encoder gave {:?}; expected [N, T, D] or [N, D]", x.size()))),
        };
        Ok(vectors.f_to_device(Device::Cpu)?)
    }
}

fn bert(folder: &Path, device: Device) -> Result<(Bert, usize)> {
    let file = folder.join("config.json");
    let text = std::fs::read(&file).map_err(Error::io(&file, "cannot read"))?;
    let config: BertConfig =
        serde_json::from_slice(&text).map_err(|error| Error::file(&file, format!("describes no BERT: {error}")))?;
    let pooling = folder.join("1_Pooling/config.json");
    if pooling.is_file() {
        let modes: BTreeMap<String, serde_json::Value> = files::read_json(&pooling)?;
        if modes.get("pooling_mode_mean_tokens") == Some(&false.into()) {
            return Err(Error::file(
                &pooling,
                "asks for another vector than the mean of the tokens; export it as TorchScript (model.pt)",
            ));
        }
    }
    let builder = Builder::new(device);
    let bert = Bert::new(&builder.root(), &config)?;
    let store = builder.finish();
    let weights = folder.join("model.safetensors");
    let report = load_into(&store.views(), &StateDict::read(&weights)?, |name| {
        let name = name.strip_prefix("bert.").unwrap_or(name);
        // the pooler serves other tasks, and the positions are the numbers from 0 on
        let other = name.starts_with("pooler.") || name.ends_with("position_ids") || name.starts_with("cls.");
        (!other).then(|| name.to_string())
    })?;
    if !report.is_clean() {
        return Err(Error::file(&weights, format!("is not the BERT of {}: {report}", file.display())));
    }
    Ok((bert, config.max_position_embeddings as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(folder: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder)
    }

    #[test]
    fn sentences_become_what_they_are_in_python_alone_and_in_a_batch() -> Result<()> {
        let sentences = ["a photo of a zebra", "Okapi", "the red polar bears of the zebra", "unknown word"];
        let sentences = sentences.map(String::from);
        for folder in ["text", "text/module"] {
            let folder = golden(folder);
            let encoder = Encoder::open(&folder, Device::Cpu)?;
            let expected = StateDict::read(folder.join("expected.safetensors"))?;
            let expected = expected.get("vectors").unwrap();
            let far = |x: &Tensor, y: &Tensor| f64::try_from((x - y).abs().max()).unwrap();
            assert!(far(&encoder.encode(&sentences)?, expected) < 2e-6, "{}", folder.display());
            for (row, sentence) in sentences.iter().enumerate() {
                let alone = encoder.encode(std::slice::from_ref(sentence))?;
                assert!(far(&alone.get(0), &expected.get(row as i64)) < 2e-6, "{sentence}");
            }
        }
        Ok(())
    }

    #[test]
    fn what_is_no_encoder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Encoder::open(folder.path(), Device::Cpu).map(drop).unwrap_err().to_string();
        assert!(open().contains("tokenizer.json"));
        let copy = |file: &str| std::fs::copy(golden("text").join(file), folder.path().join(file)).unwrap();
        copy("tokenizer.json");
        assert!(open().contains("config.json"));
        let config = std::fs::read_to_string(golden("text").join("config.json")).unwrap();
        let write = |text: String| std::fs::write(folder.path().join("config.json"), text).unwrap();
        write(config.replace("\"num_attention_heads\": 3", "\"num_attention_heads\": 5"));
        assert!(open().contains("12 numbers cannot be shared among 5 heads"));
        write(config.replace("\"hidden_size\": 12", "\"hidden_size\": 15"));
        copy("model.safetensors");
        assert!(open().contains("is not the BERT"), "{}", open());
        std::fs::write(folder.path().join("model.pt"), "nothing").unwrap();
        assert!(open().contains("no TorchScript module"));
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() -> Result<()> {
        let encoder = Encoder::open(&golden("text"), Device::Cpu)?;
        let message = encoder.encode(&["zebra ".repeat(20)]).unwrap_err().to_string();
        assert!(message.contains("22 tokens; the encoder takes 16"), "{message}");
        Ok(())
    }
}
