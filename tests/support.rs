//! A set of images, and the program to run on it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// A folder that is removed at the end, with images and room for runs.
pub struct Scene {
    pub folder: TempDir,
}

impl Scene {
    /// Three classes, told apart by colour, of `train` and 4 validation images each.
    pub fn new(train: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        for (class, colour) in [("blue", [30, 60, 200]), ("green", [40, 180, 60]), ("red", [200, 40, 40])] {
            for (split, count) in [("train", train), ("val", 4)] {
                let folder = folder.path().join("data").join(split).join(class);
                std::fs::create_dir_all(&folder).expect("a folder");
                for number in 0..count {
                    picture(colour, number as u32).save(folder.join(format!("{number:03}.png"))).expect("a picture");
                }
            }
        }
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn data(&self) -> String {
        self.path("data").display().to_string()
    }

    /// The program, told to work in this folder alone.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regraft"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("REGRAFT_CACHE", self.path("cache"));
        // Tests run side by side; more threads than cores would only wait for each other.
        command.env("OMP_NUM_THREADS", "1");
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("the program starts")
    }

    /// Starts a command, and kills it as soon as it has written this file.
    pub fn kill_at(&self, words: &[&str], file: &str) {
        let mut child = self.command(words).spawn().expect("the program starts");
        while !self.path(file).exists() {
            assert!(child.try_wait().expect("its state").is_none(), "it ended without {file}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }

    /// Fine-tunes a small random network, quickly, as `name`.
    pub fn finetune(&self, name: &str, more: &[&str]) -> Output {
        self.run(&finetune_words(&self.data(), &format!("runs/{name}"), more))
    }
}

/// A command line that trains a small network, or the `--model` that is asked for, from random weights on 32 × 32 pixels.
pub fn finetune_words<'a>(data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut words = vec!["finetune", "--data", data, "--out", out, "--image-size", "32", "--batch-size", "4"];
    words.extend(["--device", "cpu", "--quiet"]);
    if !more.contains(&"--model") {
        words.extend(["--model", "small_cnn"]);
    }
    if !more.contains(&"--weights") {
        words.push("--from-scratch");
    }
    words.extend(more);
    words
}

/// A patch of that colour with a pattern that depends on the number.
fn picture(colour: [u8; 3], number: u32) -> RgbImage {
    RgbImage::from_fn(40, 36, |x, y| {
        let wave = ((x * (number % 5 + 1) + y * 3 + number * 17) % 40) as u8;
        Rgb(colour.map(|value: u8| value.saturating_add(wave)))
    })
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&bytes(path)).expect("JSON")
}

/// Asserts that a command ended well, and shows what it said if it did not.
pub fn succeed(output: &Output) {
    assert!(output.status.success(), "{}\n{}", output.status, stderr(output));
}
