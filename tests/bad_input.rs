//! A mistake of the user ends in one line that says what to do, and in the documented exit code.

use std::fs;

use super::support::{Scene, stderr, succeed};

/// Runs a command that must fail with `code` and one line holding all of `words`.
fn refused(scene: &Scene, command: &[&str], code: i32, words: &[&str]) {
    let output = scene.run(command);
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {message}");
    let lines: Vec<_> =
        message.lines().filter(|line| line.starts_with("regraft:") || line.starts_with("error:")).collect();
    assert_eq!(lines.len(), 1, "{command:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{command:?} does not say {word:?}: {message}");
    }
    assert!(!message.contains("panicked") && !message.contains("frame #"), "{message}");
}

fn train<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    super::support::finetune_words(data, "runs/run", more)
}

#[test]
fn folders_that_are_no_data_set() {
    let scene = Scene::new(2);
    refused(&scene, &train("nowhere", &[]), 1, &["nowhere"]);
    fs::create_dir_all(scene.path("data/train/violet")).unwrap();
    refused(&scene, &train("data", &[]), 1, &["violet"]);
    for class in ["violet", "blue", "green"] {
        fs::remove_dir_all(scene.path("data/train").join(class)).unwrap();
    }
    refused(&scene, &train("data", &[]), 1, &["one class"]);
}

#[test]
fn images_that_cannot_be_read() {
    let scene = Scene::new(3);
    fs::write(scene.path("data/train/red/text.jpg"), "these are words, not pixels").unwrap();
    refused(&scene, &train("data", &["--epochs", "1"]), 1, &["text.jpg"]);
    let mut whole = Vec::new();
    let picture = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([x as u8 * 4, y as u8 * 4, 99]));
    picture.write_to(&mut std::io::Cursor::new(&mut whole), image::ImageFormat::Jpeg).unwrap();
    fs::write(scene.path("data/train/red/text.jpg"), &whole[..whole.len() / 2]).unwrap();
    refused(&scene, &train("data", &["--epochs", "1", "--force"]), 1, &["text.jpg"]);
    let output = scene.finetune("kept", &["--epochs", "1", "--skip-broken"]);
    succeed(&output);
}

#[test]
fn checkpoints_that_do_not_fit() {
    let scene = Scene::new(3);
    succeed(&scene.finetune("source", &["--epochs", "1"]));
    let model = scene.path("runs/source/model.safetensors");
    let data = scene.data();
    let weights = |file: &'static str| train(&data, &["--weights", file]);
    let mut other = weights("runs/source/model.safetensors");
    let position = other.iter().position(|word| *word == "small_cnn").unwrap();
    other[position] = "resnet18";
    refused(&scene, &other, 1, &["model.safetensors", "resnet18"]);
    let whole = fs::read(&model).unwrap();
    fs::write(scene.path("half.safetensors"), &whole[..whole.len() / 2]).unwrap();
    refused(&scene, &weights("half.safetensors"), 1, &["half.safetensors"]);
    fs::write(scene.path("empty.pth"), "").unwrap();
    refused(&scene, &weights("empty.pth"), 1, &["empty.pth", "empty"]);
    refused(&scene, &weights("absent.pth"), 1, &["absent.pth"]);
    let malicious = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/state_dicts/malicious.pth");
    refused(&scene, &weights(malicious), 1, &["posix.system", "never runs"]);
}

#[test]
fn options_that_contradict_each_other() {
    let scene = Scene::new(2);
    let data = scene.data();
    refused(
        &scene,
        &train(&data, &["--lr", "-1", "--accumulate", "0", "--flip", "2"]),
        2,
        &["--lr", "--accumulate", "--flip"],
    );
    refused(&scene, &train(&data, &["--freeze", "all"]), 2, &["--from-scratch", "--freeze"]);
    refused(&scene, &["finetune", "--data", &data, "--model", "resnet19"], 2, &["resnet18"]);
    refused(&scene, &train(&data, &["--unfreeze-at", "20:conv5"]), 2, &["--unfreeze-at"]);
    refused(&scene, &train(&data, &["--lr-scale", "conv9=3"]), 2, &["conv9", "conv5"]);
    refused(&scene, &train(&data, &["--schedule", "sideways"]), 2, &["sideways"]);
    refused(&scene, &["finetune"], 2, &["--data"]);
    refused(&scene, &["finetune", "--resume", "runs/run", "--epochs", "3"], 2, &["--epochs beside --resume"]);
    let scratch = ["finetune", "--data", &data, "--model", "small_cnn", "--from-scratch"];
    refused(&scene, &[&scratch[..], &["--force"]].concat(), 2, &["--force", "--out"]);
    refused(&scene, &[&scratch[..], &["--seeds", "2", "--seed", "18446744073709551615"]].concat(), 2, &["--seed 184"]);
}

#[test]
fn machines_that_lack_something() {
    let scene = Scene::new(2);
    let data = scene.data();
    if !tch::Cuda::is_available() {
        let mut words = train(&data, &[]);
        let position = words.iter().position(|word| *word == "cpu").unwrap();
        words[position] = "cuda";
        refused(&scene, &words, 1, &["--device cuda", "cpu"]);
    }
    let _kept = fs::remove_dir_all(scene.path("runs"));
    fs::write(scene.path("runs"), "a file where the folder should be").unwrap();
    refused(&scene, &train(&data, &[]), 1, &["runs"]);
}

#[test]
fn a_disk_that_takes_no_more_is_said_and_nothing_is_left_half_written() {
    let scene = Scene::new(3);
    let data = scene.data();
    let words = train(&data, &["--epochs", "1"]);
    // No file may grow beyond 400 KB, and the signal for that is ignored: writing fails as on a full disk.
    let limited = format!("trap '' XFSZ; ulimit -f 400; exec {} \"$@\"", env!("CARGO_BIN_EXE_regraft"));
    let mut shell = std::process::Command::new("bash");
    shell.args(["-c", &limited, "regraft"]).args(words).current_dir(scene.folder.path());
    let output = shell.env("REGRAFT_CACHE", scene.path("cache")).output().expect("bash runs");
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("model.safetensors") && message.contains("too large"), "{message}");
    let left: Vec<_> = fs::read_dir(scene.path("runs/run/checkpoints/best")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_finished_run_is_not_overwritten() {
    let scene = Scene::new(2);
    succeed(&scene.finetune("run", &["--epochs", "1"]));
    refused(&scene, &train(&scene.data(), &["--epochs", "1"]), 2, &["runs/run", "--force"]);
}
