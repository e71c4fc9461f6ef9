//! What came of it: `progressive.json`.

use serde::Serialize;

use crate::eval::Spread;
use crate::methods::tasks::Task;

/// The accuracy on a task, by how it was learned.
#[derive(Debug, Clone, Serialize)]
pub struct TaskOutcome {
    /// Its name.
    pub name: String,
    /// Images that it is learned from.
    pub training_images: usize,
    /// Images that it is measured on.
    pub validation_images: usize,
    /// By a column beside those of the tasks before.
    pub progressive: Spread,
    /// By the network of the task before, fine-tuned.
    #[serde(skip_serializing_if = "Spread::is_empty")]
    pub fine_tuned: Spread,
    /// By a network alone.
    #[serde(skip_serializing_if = "Spread::is_empty")]
    pub alone: Spread,
}

/// That a task is answered as before, to the bit.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Of which runs.
    pub seed: u64,
    /// The earlier task.
    pub task: String,
    /// The task that was learned since.
    pub after: String,
    /// Validation images that were answered.
    pub images: usize,
    /// The SHA-256 of all their logits.
    pub logits_sha256: String,
    /// Whether it is that of the logits when the task was the newest; where it is not, there is no outcome.
    pub identical: bool,
    /// The accuracy, so then and now.
    pub accuracy: f64,
}

/// What the connections into a column are worth.
#[derive(Debug, Clone, Serialize)]
pub struct Ablation {
    /// Of which runs.
    pub seed: u64,
    /// The column's task.
    pub task: String,
    /// The accuracy with all of them.
    pub accuracy: f64,
    /// Without each of them, by the stage that it leads into.
    pub laterals: Vec<Without>,
}

/// A task without one connection.
#[derive(Debug, Clone, Serialize)]
pub struct Without {
    /// The stage that it leads into, or `head`.
    pub into: String,
    /// The task whose column it comes from.
    pub from: String,
    /// The accuracy without it.
    pub accuracy: f64,
    /// What is lost without it.
    pub drop: f64,
}

/// What the chain of fine-tuned networks forgot of a task.
#[derive(Debug, Clone, Serialize)]
pub struct Forgetting {
    /// Of which runs.
    pub seed: u64,
    /// The earlier task.
    pub task: String,
    /// The task that was fine-tuned for last.
    pub after: String,
    /// The accuracy when it was learned.
    pub before: f64,
    /// The accuracy now.
    pub now: f64,
    /// What was lost.
    pub lost: f64,
}

/// All that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The tasks, in the order in which they were learned.
    pub tasks: Vec<TaskOutcome>,
    /// That columns forget nothing.
    pub proofs: Vec<Proof>,
    /// What columns take from each other.
    pub ablation: Vec<Ablation>,
    /// What the networks forgot that were fine-tuned from each other.
    pub forgetting: Vec<Forgetting>,
    /// Networks that were trained.
    pub trained: usize,
    /// How long it took this time; runs that were there already count nothing.
    pub seconds: f64,
}

impl Outcome {
    /// Nothing found yet of these tasks.
    pub(super) fn of(tasks: &[Task]) -> Self {
        let task = |task: &Task| TaskOutcome {
            name: task.name.clone(),
            training_images: 0,
            validation_images: 0,
            progressive: Spread::default(),
            fine_tuned: Spread::default(),
            alone: Spread::default(),
        };
        let tasks = tasks.iter().map(task).collect();
        Self { tasks, proofs: vec![], ablation: vec![], forgetting: vec![], trained: 0, seconds: 0.0 }
    }

    /// What the chain had lost of a task at its end.
    pub fn forgotten(&self, task: &str) -> Option<Spread> {
        let last = &self.tasks.last()?.name;
        let of = self.forgetting.iter().filter(|one| one.task == task && one.after == *last);
        Some(Spread::of(of.map(|one| one.lost))).filter(|spread| !spread.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_forgotten_is_counted_at_the_end_of_the_chain() {
        let tasks = ["a=x", "b=y", "c=z"].map(|text| text.parse().unwrap());
        let mut outcome = Outcome::of(&tasks);
        let one = |seed, task: &str, after: &str, before, now| Forgetting {
            seed,
            task: task.into(),
            after: after.into(),
            before,
            now,
            lost: before - now,
        };
        outcome.forgetting = vec![
            one(0, "a", "b", 0.9, 0.8),
            one(0, "a", "c", 0.9, 0.5),
            one(1, "a", "c", 0.9, 0.7),
            one(0, "b", "c", 1.0, 1.0),
        ];
        let a = outcome.forgotten("a").unwrap();
        assert!((a.mean - 0.3).abs() < 1e-12 && a.values.len() == 2, "{a:?}");
        assert_eq!(outcome.forgotten("b").unwrap().mean, 0.0);
        assert!(outcome.forgotten("c").is_none());
    }
}
