//! `regraft bench` measures what it says, and says what it lacks.

use super::support::{Scene, stderr, succeed};

#[test]
fn every_job_of_this_program_is_measured() {
    let scene = Scene::new(10);
    let data = scene.data();
    let words =
        ["bench", "--alone", "--data", &data, "--models", "mobilenet_v3_small", "--precisions", "fp32", "--json"];
    let sizes = ["--images", "24", "--batch-size", "4", "--warmup", "1", "--steps", "1", "--repeat", "1"];
    let output = scene.run(&[&words[..], &sizes].concat());
    succeed(&output);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let titles: Vec<_> = rows.iter().map(|row| row["what"].as_str().unwrap()).collect();
    for title in [
        "training",
        "domain-adversarial",
        "peak memory",
        "input pipeline",
        "start of",
        "one epoch",
        "ten epochs",
        "saving",
        "loading",
    ] {
        assert!(titles.iter().any(|found| found.starts_with(title) || found.contains(title)), "{title}: {titles:?}");
    }
    assert!(rows.iter().all(|row| row["regraft"][0].as_f64().unwrap() > 0.0), "{report}");
}

#[test]
fn a_python_without_torch_is_said_with_what_it_needs() {
    let scene = Scene::new(1);
    std::fs::write(scene.path("python"), "#!/bin/sh\necho 'No module named torch' >&2\nexit 1\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(scene.path("python"), mode).expect("it is made a program");
    let output = scene.run(&["bench", "--python", "./python"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("No module named torch") && said.contains("pip install 'torch=="), "{said}");
}
