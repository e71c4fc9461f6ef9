//! Everything that is ready before the first step.

use std::collections::BTreeSet;
use std::path::Path;

use tch::Device;

use super::batches::{TaskData, TasksSource};
use super::model::{plain_name, runs_as_a_whole};
use super::objective::TaskLoss;
use super::{Multitask, MultitaskOptions, Network, TaskWeights, Weighing};
use crate::data::{ClassCounts, ImageSet, LoaderOptions, Mix, Splits};
use crate::loss::{CrossEntropy, balancing_weights};
use crate::methods::both_labelled::finetune::{self, InitialWeights};
use crate::methods::options::Balance;
use crate::models::Named;
use crate::report::RunDir;
use crate::train::observe::Observers;
use crate::train::{Checkpoint, ImageSource, Plan};
use crate::{Error, Result};

/// The loss, the network and the batches.
pub(super) struct Prepared {
    pub(super) objective: Multitask,
    pub(super) source: TasksSource,
    /// Where the first weights came from; not for a run that goes on.
    pub(super) initial: Option<InitialWeights>,
    pub(super) options: MultitaskOptions,
}

/// Reads all tasks' data, builds the network with its weights, and freezes. A run that goes on has its weights from its
/// checkpoint alone.
pub(super) fn prepare(
    options: &MultitaskOptions,
    run: &RunDir,
    resume: bool,
    observers: &mut Observers,
) -> Result<Prepared> {
    options.validate(1)?;
    let options = options.resolved();
    let common = &options.finetune;
    let device = common.machine.device()?;
    common.fit.precision.autocast(device)?;
    if !resume && matches!(Named::find(Path::new(&common.model.model))?, Named::TorchScript(_)) {
        return Err(runs_as_a_whole());
    }
    let mut splits = vec![];
    for task in &options.tasks {
        splits.push(options.of_task(task).data.open(common.machine.seed, observers)?);
    }
    let (mut network, initial) = match resume {
        true => {
            let checkpoint = Checkpoint::read(&run.last())?;
            (Network::described(&checkpoint.model, device, common.machine.seed)?, None)
        }
        false => {
            let (network, initial) = first(&options, &splits, device, observers)?;
            (network, Some(initial))
        }
    };
    if common.machine.channels_last {
        network.store.to_channels_last()?;
    }
    let weights = options.tasks.iter().map(|task| task.weight).collect();
    let weighing = Weighing::new(options.task_weights, weights, options.gradnorm_rate, &mut network.store)?;
    let plan = plan(&options, &mut network, initial.as_ref())?;
    let (objective, source) = finish(&options, network, plan, weighing, splits, observers)?;
    Ok(Prepared { objective, source, initial, options })
}

/// The network as it begins, from one classifier per task.
fn first(
    options: &MultitaskOptions,
    splits: &[Splits],
    device: Device,
    observers: &mut Observers,
) -> Result<(Network, InitialWeights)> {
    let (mut classifiers, mut initial) = (vec![], None);
    for (task, splits) in options.tasks.iter().zip(splits) {
        // the same weights are loaded for every task, and told of once
        let mut silent = Observers::default();
        let told = if initial.is_none() { &mut *observers } else { &mut silent };
        let (classifier, weights) = finetune::initial_model(&options.of_task(task), splits, device, told)?;
        classifiers.push((task.name.clone(), classifier));
        initial.get_or_insert(weights);
    }
    let none = || Error::Usage("--task NAME=FOLDER is missing".into());
    Ok((Network::join(classifiers, &options.own)?, initial.ok_or_else(none)?))
}

/// What learns when; refuses what would freeze random weights, or find weights by gradients that there are not.
fn plan(options: &MultitaskOptions, network: &mut Network, initial: Option<&InitialWeights>) -> Result<Plan> {
    let (freezing, model) = (&options.finetune.freezing, &options.finetune.model);
    let plan = freezing.plan(&network.outline(), &network.store)?;
    if let Some(initial) = initial.filter(|_| model.from_scratch && !freezing.freeze_random) {
        let plain: BTreeSet<String> = plan.frozen(0).iter().map(|name| plain_name(name).to_string()).collect();
        initial.require_copied(&plain)?;
    }
    network.freeze(&plan.frozen(usize::MAX), plan.holds_statistics())?;
    if matches!(options.task_weights, TaskWeights::Gradnorm(_)) && network.last_shared().is_empty() {
        return Err(Error::Usage(
            "--task-weights gradnorm compares gradients to the last shared stage, but no shared stage learns; freeze less, or use \
             fixed or uncertainty"
                .into(),
        ));
    }
    network.freeze(&plan.frozen(0), plan.holds_statistics())?;
    Ok(plan)
}

fn finish(
    options: &MultitaskOptions,
    network: Network,
    plan: Plan,
    weighing: Weighing,
    splits: Vec<Splits>,
    observers: &mut Observers,
) -> Result<(Multitask, TasksSource)> {
    let common = &options.finetune;
    let device = network.store.device();
    // a batch norm that learns divides by a variance, which one image may not have
    let norms = network.store.norm_layers().count() > network.store.held_norms().len();
    let minimum = if norms { 2 } else { 1 };
    let batch_size = options.batch_size()?;
    let loader = LoaderOptions { batch_size, workers: common.machine.workers, device, ..LoaderOptions::default() };
    let (mut tasks, mut kept) = (vec![], vec![]);
    for (number, (task, splits)) in options.tasks.iter().zip(splits).enumerate() {
        let counts: Vec<usize> =
            ClassCounts::of(&splits.classes, splits.train.labels()).iter().map(|(_, n)| n).collect();
        let weights = (common.balance == Balance::Weights).then(|| balancing_weights(&counts));
        let criterion = CrossEntropy::new(weights.as_deref(), common.label_smoothing, device);
        let (splits, cache) = options.of_task(task).data.cached(&splits, observers)?;
        let validation = ImageSource::evaluation(&splits.val, &network.spec(number).preprocessing, loader)?;
        kept.push(splits.clone());
        tasks.push(TaskLoss { name: task.name.clone(), criterion, validation, splits, cache });
    }
    let data: Vec<TaskData> = kept
        .iter()
        .enumerate()
        .map(|(task, splits)| TaskData { splits, preprocessing: &network.spec(task).preprocessing })
        .collect();
    let source = TasksSource::new(&data, options, minimum, device)?;
    let shares: Vec<String> = options
        .tasks
        .iter()
        .zip(&kept)
        .zip(source.images())
        .map(|((task, splits), images)| format!("{images} of {}'s {}", task.name, splits.train.len()))
        .collect();
    observers.message(&format!("images in a step: {}", shares.join(", ")))?;
    let mix = Mix::new(&common.augmentation)?;
    Ok((Multitask { network, tasks, weighing, plan, mix, precision: common.fit.precision }, source))
}
