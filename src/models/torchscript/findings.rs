//! What the shim says of a TorchScript module, line by line, as values.

use crate::{Error, Result};

/// The modules and tensors, in order of definition.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Contents {
    /// Paths with their classes; the root's path is empty.
    pub modules: Vec<(String, String)>,
    pub parameters: Vec<String>,
    pub buffers: Vec<String>,
}

impl Contents {
    pub fn parse(text: &str) -> Result<Self> {
        let mut contents = Self::default();
        for fields in lines(text) {
            match fields[..] {
                ["module", path, class] => contents.modules.push((path.to_string(), class.to_string())),
                ["parameter", name] => contents.parameters.push(name.to_string()),
                ["buffer", name] => contents.buffers.push(name.to_string()),
                _ => return Err(unreadable(&fields)),
            }
        }
        Ok(contents)
    }

    /// The class of the whole module.
    pub fn class(&self) -> String {
        self.modules.first().map_or_else(String::new, |(_, class)| plain_class(class))
    }

    /// Paths of the layers that could be a head.
    pub fn linear_layers(&self) -> Vec<&str> {
        let linear = |(_, class): &&(String, String)| plain_class(class).ends_with(".Linear");
        self.modules.iter().filter(linear).map(|(path, _)| path.as_str()).collect()
    }
}

/// A class as its author wrote it: without the namespace that all have, and without the marks of tracing, as in
/// `__torch__.torchvision.models.resnet.___torch_mangle_3.ResNet`.
pub fn plain_class(class: &str) -> String {
    let parts = class.split('.').filter(|part| *part != "__torch__" && !part.starts_with("___torch_mangle_"));
    parts.collect::<Vec<_>>().join(".")
}

/// What the graph of `forward` tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Findings {
    /// Path of the layer that is the head.
    pub head: String,
    /// The share that was dropped before it in training.
    pub dropped: f64,
    /// Operations between the head and the output, last first.
    pub after: Vec<String>,
    /// Arithmetic on the image before the first layer.
    pub arithmetic: Vec<String>,
    /// How many layers had "evaluate" and how many "train" written down by tracing, instead of asking their module.
    pub baked: (usize, usize),
    /// Parameters and buffers that the features depend on, in the order of their first use.
    pub uses: Vec<String>,
    /// Paths of normalisation layers.
    pub norms: Vec<String>,
    /// Those among them that keep statistics of batches.
    pub batch_norms: Vec<String>,
}

impl Findings {
    pub fn parse(text: &str) -> Result<Self> {
        let mut findings = Self::default();
        for fields in lines(text) {
            let number = |text: &str| text.parse::<f64>().map_err(|_| unreadable(&fields));
            match fields[..] {
                ["head", path] => findings.head = path.to_string(),
                ["dropped", share] => findings.dropped = number(share)?,
                ["after", kind] => findings.after.push(kind.to_string()),
                ["arithmetic", kind] => findings.arithmetic.push(kind.to_string()),
                ["baked", evaluate, train] => findings.baked = (number(evaluate)? as usize, number(train)? as usize),
                ["uses", name] => findings.uses.push(name.to_string()),
                ["norm", path] => findings.norms.push(path.to_string()),
                ["batch_norm", path] => findings.batch_norms.push(path.to_string()),
                _ => return Err(unreadable(&fields)),
            }
        }
        Ok(findings)
    }

    /// What a user has to know of the module before training it, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![];
        match self.baked {
            (0, 0) => {}
            (evaluate, 0) => notes.push(format!(
                "it was traced in evaluation mode, which is written into {evaluate} batch-norm and dropout layers; they \
                 follow training again here (--batch-norm hold-statistics keeps the statistics), but what tracing left out, \
                 such as stochastic depth, does not come back"
            )),
            (0, train) => notes.push(format!(
                "it was traced in training mode, which is written into {train} batch-norm and dropout layers and would go \
                 on in evaluation; they follow training and evaluation again here"
            )),
            (evaluate, train) => notes.push(format!(
                "it was traced with {train} batch-norm and dropout layers in training mode and {evaluate} in evaluation \
                 mode; all of them follow training and evaluation here (--freeze and --batch-norm hold them)"
            )),
        }
        if !self.after.is_empty() {
            let kinds = self.after.iter().rev().cloned().collect::<Vec<_>>().join(", ");
            notes.push(format!("what follows its head ({kinds}) is left out: logits are what the head gives"));
        }
        notes
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect())
}

fn unreadable(fields: &[&str]) -> Error {
    Error::Model(format!("the description of a TorchScript module has the unreadable line {fields:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_up_in_its_place() -> Result<()> {
        let text = "head\tfc\nafter\taten::softmax\nafter\taten::mul\narithmetic\taten::sub\ndropped\t0.2\nbaked\t3\t0\n\
                    uses\tconv.weight\nuses\tbn.weight\nnorm\tbn\nbatch_norm\tbn\n";
        let findings = Findings::parse(text)?;
        assert_eq!((findings.head.as_str(), findings.dropped, findings.baked), ("fc", 0.2, (3, 0)));
        assert_eq!(findings.uses, ["conv.weight", "bn.weight"]);
        assert_eq!((findings.norms, findings.batch_norms), (vec!["bn".to_string()], vec!["bn".to_string()]));
        let contents = Contents::parse("module\t\t__torch__.a.Net\nmodule\tfc\tx\nparameter\tfc.weight\nbuffer\tb\n")?;
        assert_eq!((contents.class().as_str(), contents.modules.len()), ("a.Net", 2));
        assert_eq!(plain_class("__torch__.a.___torch_mangle_3.Net"), "a.Net");
        assert_eq!((contents.parameters, contents.buffers), (vec!["fc.weight".to_string()], vec!["b".to_string()]));
        assert!(Contents::parse("nonsense").is_err() && Findings::parse("baked\tx\ty").is_err());
        Ok(())
    }

    #[test]
    fn what_tracing_wrote_down_is_told_by_mode() {
        let notes = |baked| Findings { baked, ..Findings::default() }.notes().concat();
        assert_eq!(notes((0, 0)), "");
        assert!(notes((5, 0)).contains("evaluation mode, which is written into 5"));
        assert!(notes((0, 5)).contains("training mode, which is written into 5"));
        assert!(notes((2, 3)).contains("3 batch-norm and dropout layers in training mode and 2"));
        let after = Findings { after: vec!["aten::log".into(), "aten::softmax".into()], ..Findings::default() };
        assert!(after.notes()[0].contains("(aten::softmax, aten::log)"));
    }
}
