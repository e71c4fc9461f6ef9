//! The network of several tasks: shared stages, each task's own stages, and a head for each.
//!
//! It is put together from one ordinary classifier per task, so whatever can be built or loaded for one task can be for
//! several. What is shared is the first classifier's, under its plain names (`conv2.weight`); what is a task's own lies under
//! `tasks.NAME.` (`tasks.digits.fc7.weight`). [`Network::classifier`] takes one task out again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use crate::models::formats::StateDict;
use crate::models::layers::Layer;
use crate::models::{Classifier, Head, Outline, Selector, Spec, Store};
use crate::{Error, Result};

/// What is before the names of tasks in names of tensors.
const TASKS: &str = "tasks";
/// Where the description lies in the metadata of a checkpoint.
const METADATA_KEY: &str = "regraft_multitask";

/// A stage of one task or of all.
struct Part {
    layer: Box<dyn Layer>,
    /// Names in the store.
    parameters: Vec<String>,
    /// Whether nothing in it learns; it then runs as in evaluation.
    frozen: bool,
}

/// A stage: one part that all share, or one for each task.
struct Stage {
    name: String,
    shared: bool,
    parts: Vec<Part>,
}

impl Stage {
    fn of(&self, task: usize) -> &Part {
        &self.parts[if self.shared { 0 } else { task }]
    }
}

/// One of the tasks.
struct Member {
    name: String,
    spec: Spec,
    head: Head,
    parameters: Vec<String>,
}

/// What a checkpoint says of the network in it.
#[derive(Serialize, Deserialize)]
struct Description {
    own: Selector,
    tasks: Vec<(String, Spec)>,
}

/// A network for several tasks.
pub struct Network {
    /// Its tensors.
    pub store: Store,
    own: Selector,
    stages: Vec<Stage>,
    members: Vec<Member>,
}

/// What flows between stages.
enum Flow {
    /// A batch per task.
    Apart(Vec<Tensor>),
    /// All tasks' images in one batch.
    Joined(Tensor),
}

impl Network {
    /// Puts the classifiers of all tasks together; `own` selects the stages that are not shared.
    ///
    /// # Errors
    /// A selector that matches nothing, splits a stage or leaves none to share; a network that runs as a whole.
    pub fn join(classifiers: Vec<(String, Classifier)>, own: &Selector) -> Result<Self> {
        let mut joined: Option<Self> = None;
        for (name, classifier) in classifiers {
            let kept = own_stages(own, &classifier.outline())?;
            let (spec, store, backbone, head) = classifier.into_parts();
            let first = joined.is_none();
            let stage_of = |tensor: &str| backbone.stages.iter().position(|stage| stage.owns(tensor));
            let rename = |tensor: &str| match stage_of(tensor) {
                Some(stage) if !kept[stage] => first.then(|| tensor.to_string()),
                _ => Some(format!("{TASKS}.{name}.{tensor}")),
            };
            let parameters: Vec<String> = store.parameters().map(|(tensor, _)| tensor.to_string()).collect();
            let of_stage = |wanted: Option<usize>| -> Vec<String> {
                let here = parameters.iter().filter(|tensor| stage_of(tensor) == wanted);
                here.filter_map(|tensor| rename(tensor)).collect()
            };
            let stages: Vec<_> = backbone
                .stages
                .iter()
                .enumerate()
                .map(|(at, stage)| (stage.name.clone(), of_stage(Some(at))))
                .collect();
            let member = Member { name: name.clone(), spec, head, parameters: of_stage(None) };
            let store = store.renamed(rename);
            let layers = backbone.into_layers().ok_or_else(runs_as_a_whole)?;
            let parts =
                layers.into_iter().zip(stages).zip(&kept).map(|((layer, (stage, parameters)), own)| {
                    (stage, !own, Part { layer, parameters, frozen: false })
                });
            match &mut joined {
                None => {
                    let stages = parts.map(|(name, shared, part)| Stage { name, shared, parts: vec![part] }).collect();
                    joined = Some(Self { store, own: own.clone(), stages, members: vec![member] });
                }
                Some(network) => {
                    network.store.absorb(store)?;
                    let own = network.stages.iter_mut().zip(parts).filter(|(stage, _)| !stage.shared);
                    own.for_each(|(stage, (_, _, part))| stage.parts.push(part));
                    network.members.push(member);
                }
            }
        }
        joined.ok_or_else(|| Error::Usage("a network of several tasks needs a task".into()))
    }

    /// The network that a checkpoint describes, with values still to be restored.
    ///
    /// # Errors
    /// A checkpoint of something else.
    pub fn described(checkpoint: &StateDict, device: Device, seed: u64) -> Result<Self> {
        let other = || Error::Model("the checkpoint is not one of several tasks; start over with --force".into());
        let text = checkpoint.metadata.get(METADATA_KEY).ok_or_else(other)?;
        let Description { own, tasks } = serde_json::from_str(text).map_err(|_| other())?;
        let classifier = |(name, spec)| Ok((name, Classifier::new(spec, device, seed)?));
        Self::join(tasks.into_iter().map(classifier).collect::<Result<_>>()?, &own)
    }

    /// Its description, for the metadata of a checkpoint.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        let tasks = self.members.iter().map(|member| (member.name.clone(), member.spec.clone())).collect();
        let description = Description { own: self.own.clone(), tasks };
        let text = serde_json::to_string(&description).expect("a description is plain data");
        BTreeMap::from([(METADATA_KEY.to_string(), text)])
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.members.len()
    }

    /// The description of one task's classifier.
    pub fn spec(&self, task: usize) -> &Spec {
        &self.members[task].spec
    }

    /// The parameters by stage, those of all tasks together.
    pub fn outline(&self) -> Outline {
        let names = |stage: &Stage| stage.parts.iter().flat_map(|part| part.parameters.clone()).collect();
        Outline {
            stages: self.stages.iter().map(|stage| (stage.name.clone(), names(stage))).collect(),
            head: self.members.iter().flat_map(|member| member.parameters.clone()).collect(),
            earlier: vec![],
            laterals: vec![],
            beside: vec![],
        }
    }

    /// Freezes exactly these parameters; a part of a stage without one that learns runs as in evaluation.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn freeze(&mut self, frozen: &BTreeSet<String>, hold_all_statistics: bool) -> Result<()> {
        self.store.freeze(frozen, hold_all_statistics)?;
        for part in self.stages.iter_mut().flat_map(|stage| &mut stage.parts) {
            part.frozen = part.parameters.iter().all(|name| frozen.contains(name));
        }
        Ok(())
    }

    /// The weights of the last shared stage that has one that learns, without biases and normalisation.
    pub fn last_shared(&self) -> Vec<Tensor> {
        let learning = |stage: &Stage| -> Vec<Tensor> {
            let tensors = stage.parts[0].parameters.iter().filter_map(|name| self.store.get(name));
            tensors.filter(|tensor| tensor.dim() > 1 && tensor.requires_grad()).map(Tensor::shallow_clone).collect()
        };
        let shared = self.stages.iter().rev().filter(|stage| stage.shared);
        shared.map(learning).find(|tensors| !tensors.is_empty()).unwrap_or_default()
    }

    /// Logits of a batch that has images of every task.
    ///
    /// # Shapes
    /// `images`: per task `[N_t, 3, H_t, W_t]` normalised f32 → per task `[N_t, K_t]`
    ///
    /// # Errors
    /// What libtorch refuses, as an image too small for the network.
    pub fn forward(&self, images: Vec<Tensor>, train: bool) -> Result<Vec<Tensor>> {
        let all: Vec<usize> = (0..self.members.len()).collect();
        self.run(&all, images, train)
    }

    /// Logits of images of one task.
    ///
    /// # Shapes
    /// `images: [N, 3, H, W]` normalised f32 → `[N, K]`
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_one(&self, task: usize, images: Tensor, train: bool) -> Result<Tensor> {
        Ok(self.run(&[task], vec![images], train)?.remove(0))
    }

    fn run(&self, tasks: &[usize], images: Vec<Tensor>, train: bool) -> Result<Vec<Tensor>> {
        let counts: Vec<i64> = images.iter().map(|images| images.size()[0]).collect();
        let pass = |part: &Part, x: &Tensor| part.layer.forward(x, train && !part.frozen);
        let mut flow = Flow::Apart(images);
        for stage in &self.stages {
            flow = match (stage.shared, flow) {
                (true, Flow::Joined(x)) => Flow::Joined(pass(stage.of(0), &x)?),
                (true, Flow::Apart(all)) if all.len() > 1 && alike(&all) => {
                    Flow::Joined(pass(stage.of(0), &Tensor::f_cat(&all, 0)?)?)
                }
                (_, flow) => {
                    let all = flow.apart(&counts)?;
                    let each = tasks.iter().zip(all).map(|(&task, x)| pass(stage.of(task), &x));
                    Flow::Apart(each.collect::<Result<_>>()?)
                }
            };
        }
        let features = flow.apart(&counts)?;
        tasks.iter().zip(features).map(|(&task, x)| self.members[task].head.forward(&x, train)).collect()
    }

    /// One task's network by itself, as any other command takes it; on the CPU.
    ///
    /// # Errors
    /// What libtorch refuses.
    pub fn classifier(&self, task: usize) -> Result<Classifier> {
        let Member { name, spec, .. } = &self.members[task];
        let (own, any) = (format!("{TASKS}.{name}."), format!("{TASKS}."));
        let classifier = Classifier::new(spec.clone(), Device::Cpu, 0)?;
        let all = self.store.snapshot()?.tensors.into_iter();
        let plain = |tensor: String| match tensor.strip_prefix(&own) {
            Some(rest) => Some(rest.to_string()),
            None if tensor.starts_with(&any) => None,
            None => Some(tensor),
        };
        let known = classifier.store.views();
        // what weighs the tasks is in the store too
        let tensors =
            all.filter_map(|(name, tensor)| Some((plain(name).filter(|name| known.contains_key(name))?, tensor)));
        classifier.store.restore(&StateDict::new(tensors.collect(), BTreeMap::new()))?;
        Ok(classifier)
    }
}

impl Flow {
    fn apart(self, counts: &[i64]) -> Result<Vec<Tensor>> {
        match self {
            Self::Apart(all) => Ok(all),
            Self::Joined(x) => Ok(x.f_split_with_sizes(counts, 0)?),
        }
    }
}

/// Whether all are of one shape, but for the number of images.
fn alike(all: &[Tensor]) -> bool {
    all.iter().all(|x| x.size()[1..] == all[0].size()[1..])
}

/// The plain name of a tensor, without the task that it belongs to.
pub(super) fn plain_name(name: &str) -> &str {
    let own = name.strip_prefix(TASKS).and_then(|rest| rest.strip_prefix('.')?.split_once('.'));
    own.map_or(name, |(_, rest)| rest)
}

/// The error for a network that cannot be cut into stages.
pub(super) fn runs_as_a_whole() -> Error {
    Error::Usage(
        "--model: a TorchScript module runs as a whole, so its stages cannot be shared between tasks; name a network that \
         'regraft models' lists, or a run of one"
            .into(),
    )
}

/// Which stages are own.
fn own_stages(own: &Selector, outline: &Outline) -> Result<Vec<bool>> {
    let selected = own.select(outline).map_err(|error| Error::Usage(format!("--own {own}: {error}")))?;
    let mut kept = vec![];
    for (stage, names) in &outline.stages {
        let count = names.iter().filter(|name| selected.contains(*name)).count();
        if count > 0 && count < names.len() {
            return Err(Error::Usage(format!(
                "--own {own} takes {count} of the {} tensors of stage {stage}; a stage is shared or own as a whole",
                names.len()
            )));
        }
        kept.push(count > 0);
    }
    if kept.iter().all(|own| *own) {
        return Err(Error::Usage(format!("--own {own} leaves no stage that the tasks share; leave at least one")));
    }
    Ok(kept)
}
