//! CUDA is loaded where there is a driver, early enough, and not where there is none.

use std::path::Path;

use super::support::{Scene, stderr};

/// `cuda` of what doctor says, on a machine whose driver library is in `folder`.
fn cuda(scene: &Scene, folder: &Path) -> serde_json::Value {
    let output = scene.command(&["doctor", "--json"]).env("LD_LIBRARY_PATH", folder).output().expect("it starts");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    report["cuda"].clone()
}

#[test]
fn libtorchs_cuda_part_is_loaded_only_beside_a_driver() {
    let scene = Scene::new(1);
    let (none, some) = (scene.path("none"), scene.path("some"));
    for folder in [&none, &some] {
        std::fs::create_dir(folder).expect("a folder");
    }
    std::fs::write(some.join("libcuda.so.1"), "not really").expect("a file");
    let without = cuda(&scene, &none);
    if without["driver_library"].is_null() && !Path::new("/dev/nvidiactl").exists() {
        assert_eq!(without["loaded"], false, "{without}");
    }
    let with = cuda(&scene, &some);
    assert_eq!(with["loaded"], with["built"], "{with}");
}

#[test]
fn cuda_that_cannot_be_had_is_said_and_not_replaced() {
    let scene = Scene::new(4);
    let folder = scene.path("driver");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("libcuda.so.1"), "not really").expect("a file");
    let words = ["--device", "cuda:99", "--epochs", "1", "--from-scratch", "--model", "resnet18"];
    let data = scene.data();
    let line = [&["finetune", "--data", &data][..], &words].concat();
    let output = scene.command(&line).env("LD_LIBRARY_PATH", &folder).output().expect("it starts");
    let said = stderr(&output);
    assert!(!output.status.success() && said.contains("--device cuda:99"), "{said}");
    // not that libtorch was asked for CUDA too early
    assert!(!said.contains("used before"), "{said}");
}
