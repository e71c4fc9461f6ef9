//! Tasks as one word each on the command line, for methods that learn several.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::options::{DataOptions, ModelOptions};
use crate::data::PreprocessingOptions;
use crate::{Error, Result};

/// What a task is made of, written `NAME=FOLDER` with more behind commas: `digits=data/mnist,size=28,classes=0+1+2`.
///
/// | word | meaning |
/// |---|---|
/// | `size=PIXELS` | side of this task's images, instead of `--image-size` |
/// | `classes=A+B` | only these classes, instead of `--classes` |
/// | `shots=N` | images per class to learn from, instead of `--shots` |
/// | `share=SHARE` | share of the training images, instead of `--share` |
/// | `weight=W` | what its loss counts, where several are learned at once (1) |
///
/// ```
/// use regraft::methods::tasks::Task;
///
/// let task: Task = "digits=data/mnist,size=28,classes=0+1,weight=0.5".parse()?;
/// assert_eq!((task.name.as_str(), task.size, task.classes.len(), task.weight), ("digits", Some(28), 2, 0.5));
/// assert_eq!(task.to_string(), "digits=data/mnist,size=28,classes=0+1,weight=0.5");
/// # Ok::<(), regraft::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Task {
    /// What it is called, also its folder in the results.
    pub name: String,
    /// Its images: whatever `--data` takes.
    pub data: PathBuf,
    /// Side of the images that go into the network, in pixels.
    pub size: Option<u32>,
    /// Only these classes.
    pub classes: Vec<String>,
    /// Images per class to learn from.
    pub shots: Option<usize>,
    /// Share of the training images to learn from.
    pub share: Option<f64>,
    /// What its loss counts beside the others'.
    pub weight: f64,
}

impl Task {
    /// The data options of this task, where `common` are those of all.
    pub fn data(&self, common: &DataOptions) -> DataOptions {
        let mut data = common.clone();
        data.data = Some(self.data.clone());
        if !self.classes.is_empty() {
            data.classes = self.classes.clone();
        }
        if self.shots.is_some() || self.share.is_some() {
            (data.shots, data.share, data.at_most) = (self.shots, self.share, None);
        }
        data
    }

    /// The model options of this task, where `common` are those of all.
    pub fn model(&self, common: &ModelOptions) -> ModelOptions {
        let mut model = common.clone();
        model.preprocessing.image_size = self.size.or(model.preprocessing.image_size);
        model
    }

    /// Appends a line for everything that makes no sense about these tasks together with the `common` options.
    pub fn faults(tasks: &[Self], common: &DataOptions, at_least: usize, faults: &mut Vec<String>) {
        if common.data.is_some() {
            faults.push("--data is for one task; give each as --task NAME=FOLDER".into());
        }
        if tasks.len() < at_least {
            faults.push(format!("{} --task given; at least {at_least} are needed", tasks.len()));
        }
        for (number, task) in tasks.iter().enumerate() {
            if tasks[..number].iter().any(|other| other.name == task.name) {
                faults.push(format!("--task {}: two tasks have this name", task.name));
            }
            let mut own = vec![];
            task.data(common).faults(&mut own);
            PreprocessingOptions { image_size: task.size, ..Default::default() }.faults(&mut own);
            faults.extend(own.into_iter().map(|fault| format!("--task {}: {fault}", task.name)));
        }
    }
}

impl std::str::FromStr for Task {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |what: String| Error::Usage(format!("`{text}`: {what}; expected NAME=FOLDER, as cats=photos/cats"));
        let (name, rest) = text.split_once('=').ok_or_else(|| wrong("names no folder".into()))?;
        // names become folders, and parts of dotted names of layers
        let plain = |c: char| c.is_alphanumeric() || "-_".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(wrong(format!("{name:?} is no name, which has letters, digits, - and _")));
        }
        let mut parts = rest.split(',');
        let data = PathBuf::from(parts.next().unwrap_or_default());
        if data.as_os_str().is_empty() {
            return Err(wrong("names no folder".into()));
        }
        let mut task =
            Self { name: name.into(), data, size: None, classes: vec![], shots: None, share: None, weight: 1.0 };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let number = || wrong(format!("{key}={value} is no number"));
            match key {
                "size" => task.size = Some(value.parse().map_err(|_| number())?),
                "classes" => task.classes = value.split('+').map(str::to_string).collect(),
                "shots" => task.shots = Some(value.parse().map_err(|_| number())?),
                "share" => task.share = Some(value.parse().map_err(|_| number())?),
                "weight" => task.weight = value.parse().map_err(|_| number())?,
                _ => {
                    return Err(wrong(format!("{part:?} is none of size=, classes=, shots=, share= and weight=")));
                }
            }
        }
        if !(task.weight >= 0.0 && task.weight.is_finite()) {
            return Err(wrong(format!("weight={} must be a number from 0 on", task.weight)));
        }
        Ok(task)
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.name, self.data.display())?;
        if let Some(size) = self.size {
            write!(f, ",size={size}")?;
        }
        if !self.classes.is_empty() {
            write!(f, ",classes={}", self.classes.join("+"))?;
        }
        if let Some(shots) = self.shots {
            write!(f, ",shots={shots}")?;
        }
        if let Some(share) = self.share {
            write!(f, ",share={share}")?;
        }
        if self.weight != 1.0 {
            write!(f, ",weight={}", self.weight)?;
        }
        Ok(())
    }
}

crate::options::as_text!(Task);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() -> Result<()> {
        for text in ["a=b", "a-1=x/y,shots=5", "a=/b,size=32,classes=cat+dog,share=0.05,weight=2"] {
            assert_eq!(text.parse::<Task>()?.to_string(), text);
        }
        Ok(())
    }

    #[test]
    fn what_a_task_says_comes_before_what_all_have() -> Result<()> {
        let common = DataOptions { shots: Some(5), classes: vec!["x".into()], ..crate::options::defaults() };
        let data = |text: &str| -> Result<DataOptions> { Ok(text.parse::<Task>()?.data(&common)) };
        assert_eq!((data("a=b")?.shots, data("a=b")?.classes.len()), (Some(5), 1));
        let own = data("a=b,share=0.5,classes=u+v")?;
        assert_eq!((own.shots, own.share, own.classes.len()), (None, Some(0.5), 2));
        assert_eq!(own.data, Some("b".into()));
        let model = "a=b,size=40".parse::<Task>()?.model(&crate::options::defaults());
        assert_eq!(model.preprocessing.image_size, Some(40));
        Ok(())
    }

    #[test]
    fn wrong_words_are_named() {
        let message = |text: &str| text.parse::<Task>().unwrap_err().to_string();
        assert!(message("photos").contains("names no folder") && message("a=").contains("names no folder"));
        assert!(message("a/b=c").contains("is no name") && message("a.b=c").contains("is no name"));
        assert!(message("a=b,size=big").contains("size=big is no number"));
        assert!(message("a=b,colour=red").contains("\"colour=red\" is none of"));
        assert!(message("a=b,weight=-1").contains("from 0 on"));
        let mut faults = vec![];
        let twice = ["a=b", "a=c,shots=0"].map(|text| text.parse().unwrap());
        Task::faults(&twice, &DataOptions { data: Some("d".into()), ..crate::options::defaults() }, 3, &mut faults);
        let all = faults.join("; ");
        for part in
            ["--data is for one task", "2 --task given; at least 3", "two tasks have this name", "--task a: --shots"]
        {
            assert!(all.contains(part), "{part}: {all}");
        }
    }
}
