//! Who reads only the beginning of the output, as `head` does, gets it without complaint.

use std::process::Stdio;

use super::support::Scene;

/// Runs a command whose reader is gone before the first byte; gives its exit code and what it says of that.
fn unread(scene: &Scene, words: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = scene.command(words);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().expect("the program starts");
    drop(command); // it holds the other handle on the pipe
    let output = child.wait_with_output().expect("the program ends");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_closed_reader_is_no_error() {
    let scene = Scene::new(1);
    for words in [
        &["models"][..],
        &["models", "show", "resnet18", "--json"],
        &["inspect", "resnet18", "--tensors"],
        &["finetune", "--print-config"],
        &["doctor", "--device", "cpu"],
    ] {
        assert_eq!(unread(&scene, words), (Some(0), String::new()), "{words:?}");
    }
}
