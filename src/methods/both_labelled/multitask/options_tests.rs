//! Options that make no sense, and what the runs of a comparison get of them.

use super::*;

fn options(words: &[&str]) -> MultitaskOptions {
    let mut options = MultitaskOptions { tasks: tasks(words), ..MultitaskOptions::default() };
    options.finetune.model.model = "small_cnn".into();
    options.finetune.model.from_scratch = true;
    options
}

fn tasks(words: &[&str]) -> Vec<Task> {
    words.iter().map(|word| word.parse().unwrap()).collect()
}

fn compare(words: &[&str]) -> CompareOptions {
    CompareOptions { shares: words.iter().map(|word| word.parse().unwrap()).collect(), ..crate::options::defaults() }
}

#[test]
fn options_that_make_sense_are_taken() {
    options(&["a=x", "b=y,size=28,shots=3"]).validate(2).unwrap();
    compare(&["0.01", "1"]).validate(&options(&["a=x", "b=y"])).unwrap();
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let mut wrong = options(&["a=x,size=4,weight=2", "a=y,shots=0"]);
    wrong.finetune.data.data = Some("z".into());
    wrong.finetune.machine.batch_size = BatchSize::Auto;
    wrong.finetune.model.head = "prototype".parse().unwrap();
    wrong.finetune.conserve.conserve = vec!["weights".parse().unwrap()];
    wrong.finetune.fit.precision = Precision::Fp16;
    wrong.finetune.label_smoothing = 2.0;
    wrong.task_weights = TaskWeights::Gradnorm(1.5);
    wrong.gradnorm_rate = f64::NAN;
    let message = wrong.validate(3).unwrap_err().to_string();
    for part in [
        "2 --task given; at least 3",
        "--data is for one task",
        "two tasks have this name",
        "--task a: --image-size 4 must lie between 8",
        "--shots must be at least 1",
        "--batch-size auto",
        "--head prototype",
        "--conserve and --source-data hold one network",
        "fp16",
        "weight=2 is for --task-weights fixed",
        "--gradnorm-rate NaN",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(message.matches("--label-smoothing").count(), 1, "{message}");
    let idle = options(&["a=x,weight=0", "b=y,weight=0"]).validate(2).unwrap_err().to_string();
    assert!(idle.contains("nothing is learned"), "{idle}");
}

#[test]
fn shares_are_checked_too() {
    let few = options(&["a=x,shots=3", "b=y"]);
    let wrong = CompareOptions { seeds: 0, ..compare(&["0.5", "0.5", "2"]) };
    let message = wrong.validate(&few).unwrap_err().to_string();
    for part in ["0.5 twice", "--shares 2 must", "for task a", "--seeds must"] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn alone_is_the_same_run_without_what_weighs_tasks() {
    let mut both = options(&["a=x,weight=0.5,size=40", "b=y"]);
    both.task_weights = TaskWeights::Uncertainty;
    both.sampling = Sampling::Equal;
    let alone = both.at(0.05).alone(&both.tasks[0]);
    assert_eq!((alone.tasks.len(), alone.tasks[0].weight, alone.tasks[0].size), (1, 1.0, Some(40)));
    assert_eq!((alone.task_weights, alone.sampling), (TaskWeights::Fixed, Sampling::Proportional));
    assert_eq!((alone.finetune.data.share, alone.min_steps), (Some(0.05), Some(STEPS_OF_A_SHARE)));
    assert_eq!(alone.finetune.fit, both.finetune.fit);
    assert_eq!(options(&["a=x", "b=y,shots=2"]).resolved().finetune.keep, Some(Keep::Last));
    let text = serde_json::to_string(&both.resolved()).unwrap();
    assert_eq!(serde_json::from_str::<MultitaskOptions>(&text).unwrap(), both.resolved());
}
