//! The modules of `tests/golden/torchscript` beside what Python computes with them.

use super::*;
use crate::models::formats::StateDict;
use crate::models::{Classifier, HeadKind};

const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/torchscript").join(name)
}

fn data() -> BTreeMap<String, Tensor> {
    StateDict::read_safetensors(golden("data.safetensors")).unwrap().tensors
}

fn cut(name: &str) -> Result<Cut> {
    TorchScript::load(&golden(&format!("{name}.pt")), Device::Cpu)?.cut(None)
}

fn options() -> PreprocessingOptions {
    PreprocessingOptions { image_size: Some(32), ..PreprocessingOptions::default() }
}

fn spec(head: HeadKind, classes: &[&str]) -> Spec {
    Spec {
        architecture: ARCHITECTURE.into(),
        source: "a test".into(),
        head,
        head_path: None,
        dropout: Some(0.0),
        classes: classes.iter().map(|name| name.to_string()).collect(),
        preprocessing: options().apply(&Preprocessing::imagenet()),
        temperature: 1.0,
        earlier: None,
        beside: None,
    }
}

fn grafted(name: &str, head: HeadKind) -> Result<Classifier> {
    Classifier::graft(cut(name)?, spec(head, &CLASSES), Device::Cpu, 1)
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    let error = f64::try_from((found.detach() - expected).abs().max()).unwrap();
    assert!(error < 1e-5, "{what} is off by {error:.1e}");
}

#[test]
fn the_head_is_found_and_its_input_and_stages_are_known() -> Result<()> {
    for name in ["scripted", "scripted_train", "traced_eval", "traced_train"] {
        let cut = cut(name)?;
        assert_eq!((cut.head(), cut.classes(), cut.features), ("fc", 5, 6), "{name}");
        assert_eq!(cut.findings.dropped, 0.25, "{name}");
        let model = Classifier::graft(cut, spec(HeadKind::Linear, &CLASSES), Device::Cpu, 1)?;
        let stages: Vec<_> = model.outline().stages.into_iter().map(|(name, _)| name).collect();
        assert_eq!(stages, ["conv1", "layer1", "layer2"], "{name}");
        let names: Vec<_> = model.store.entries().map(|(name, _)| name.to_string()).collect();
        assert!(names.contains(&"layer1.0.norm.running_var".to_string()) && names.contains(&"bn1.bias".to_string()));
        assert_eq!(model.forward(&data()["x"], false)?.size(), [4, 3]);
    }
    Ok(())
}

#[test]
fn features_gradients_and_statistics_are_pythons_in_both_modes() -> Result<()> {
    let data = data();
    for name in ["scripted", "scripted_train", "traced_eval", "traced_train"] {
        let model = grafted(name, HeadKind::Linear)?;
        let features = |train| model.backbone().forward(&data["x"], train);
        assert_close(&format!("{name}, evaluation"), &features(false)?, &data["eval_features"]);
        let trained = features(true)?;
        assert_close(&format!("{name}, training"), &trained, &data["train_features"]);
        (trained * &data["cotangent"]).sum(Kind::Float).backward();
        let mut compared = 0;
        for (key, expected) in &data {
            let store = |name: &str| model.store.get(name).unwrap();
            match key.split_once('.') {
                Some(("gradient", name)) => assert_close(key, &store(name).grad(), expected),
                Some(("moved", name)) => assert_close(key, store(name), expected),
                _ => continue,
            }
            compared += 1;
        }
        assert_eq!(compared, 5 * 3 + 5 * 2, "{name}");
    }
    Ok(())
}

#[test]
fn what_is_frozen_or_held_does_not_move() -> Result<()> {
    for name in ["scripted", "traced_eval", "traced_train"] {
        let mut model = grafted(name, HeadKind::Linear)?;
        let x = &data()["x"];
        let moved = |model: &Classifier, before: &StateDict| -> BTreeSet<String> {
            let changed = |(name, tensor): &(&String, &Tensor)| !model.store.get(name).unwrap().equal(tensor);
            before
                .tensors
                .iter()
                .filter(changed)
                .map(|(name, _)| name.split(".running").next().unwrap().to_string())
                .collect()
        };
        let first: BTreeSet<String> =
            model.outline().stages[..2].iter().flat_map(|(_, names)| names).cloned().collect();
        model.freeze(&first, false)?;
        let before = model.store.snapshot()?;
        let _ = model.forward(x, true)?;
        let norms = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        let counted = |names: BTreeSet<String>| {
            names.into_iter().map(|name| name.replace(".num_batches_tracked", "")).collect::<BTreeSet<_>>()
        };
        assert_eq!(counted(moved(&model, &before)), norms(&["layer2.0.norm", "layer2.1.norm"]), "{name}");
        let before = model.store.snapshot()?;
        model.freeze(&BTreeSet::new(), true)?;
        let _ = model.forward(x, true)?;
        assert_eq!(moved(&model, &before), norms(&[]), "{name}");
        model.freeze(&BTreeSet::new(), false)?;
        let _ = model.forward(x, false)?;
        assert_eq!(moved(&model, &before), norms(&[]), "{name}");
        let _ = model.forward(x, true)?;
        assert_eq!(counted(moved(&model, &before)).len(), 5, "{name}");
    }
    Ok(())
}

#[test]
fn tracing_that_wrote_down_a_mode_is_told() -> Result<()> {
    let notes = |name| Ok::<_, Error>(cut(name)?.notes().concat());
    assert_eq!((notes("scripted")?, notes("scripted_train")?), (String::new(), String::new()));
    assert!(notes("traced_eval")?.contains("traced in evaluation mode"));
    assert!(notes("traced_train")?.contains("traced in training mode"));
    assert!(notes("probabilities")?.contains("(aten::softmax) is left out"));
    Ok(())
}

#[test]
fn modules_that_are_no_classifiers_say_what_they_are() {
    for (name, expected) in [
        ("pair", "returns Tuple[Tensor, Tensor]"),
        ("named", "returns Dict[str, Tensor]"),
        ("two_inputs", "takes 2 inputs"),
        ("convolutional", "holds no linear layer on the way to its output; the last layer is the convolution `last`"),
        ("foreign", "calls the operator torchvision::nms"),
        ("half", "is float16: save it as float32"),
        ("frozen", "was frozen (torch.jit.freeze)"),
        ("computed", "the weight of its last linear layer is computed (aten::_weight_norm)"),
    ] {
        let message = cut(name).err().unwrap().to_string();
        assert!(message.contains(expected) && message.contains(&format!("{name}.pt")), "{message}");
    }
    let refused = |name| {
        let mut cut = cut(name).unwrap();
        let preprocessing = cut.preprocessing(&options())?;
        cut.try_out(&preprocessing, Device::Cpu)
    };
    for (name, expected) in [
        ("normalising", "(aten::sub, aten::div), so it seems to normalise them itself"),
        ("one_at_a_time", "one image at a time"),
        ("batches", "is given [2, 32, 32, 3] for two images, expected [2, 3]"),
    ] {
        let message = refused(name).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    assert!(refused("scripted").is_ok());
}

#[test]
fn a_head_can_be_named() -> Result<()> {
    let named = |head| TorchScript::load(&golden("scripted.pt"), Device::Cpu)?.cut(Some(head));
    assert_eq!(named("fc")?.head(), "fc");
    assert!(named("layer2.1.conv").err().unwrap().to_string().contains("`layer2.1.conv` is no linear layer"));
    assert!(named("missing").err().unwrap().to_string().contains("does not use a layer `missing`"));
    Ok(())
}

#[test]
fn every_head_survives_the_file_and_torch_runs_it() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let x = &data()["x"];
    for name in ["scripted", "traced_eval", "traced_train", "without_bias", "probabilities", "flattened"] {
        for head in [HeadKind::Linear, HeadKind::Mlp, HeadKind::Prototype] {
            let model = grafted(name, head)?;
            model.save(folder.path())?;
            let file = folder.path().join("model.pt");
            let again = Classifier::open(&file, Device::Cpu, &PreprocessingOptions::default())?;
            let expected = model.forward(x, false)?;
            assert_close(&format!("{name} with {head:?}"), &again.forward(x, false)?, &expected);
            let (module, text) = Script::load(&file, Device::Cpu, EXTRA_FILE)?;
            assert_close(&format!("{name} with {head:?} in libtorch"), &module.forward(x)?, &expected);
            assert_eq!(Spec::parse(&text)?.classes, CLASSES);
            assert_eq!(again.spec.classes, model.spec.classes);
            assert!(again.store.entries().map(|(name, _)| name).eq(model.store.entries().map(|(name, _)| name)));
            // what came in keeps its own code
            let class = Contents::parse(&module.list()?)?.class().to_string();
            let own = head == HeadKind::Linear && ["scripted", "traced_eval", "flattened"].contains(&name);
            assert_eq!(!class.starts_with("regraft"), own, "{class}");
        }
    }
    Ok(())
}

#[test]
fn a_module_that_flattens_by_hand_gets_its_images_as_it_wants_them() -> Result<()> {
    let (data, file) = (data(), golden("flattened.pt"));
    let model = Classifier::open(&file, Device::Cpu, &options())?;
    assert!(!model.backbone().takes_channels_last());
    let x = native::to_channels_last(&data["x"])?;
    assert_close("its own head", &model.forward(&x, false)?, &data["flattened_logits"]);
    assert!(Classifier::open(&golden("scripted.pt"), Device::Cpu, &options())?.backbone().takes_channels_last());
    Ok(())
}

#[test]
fn a_head_that_is_named_leaves_out_what_follows_it_in_the_file_too() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let x = &data()["x"];
    let cut = TorchScript::load(&golden("probabilities.pt"), Device::Cpu)?.cut(Some("inner.fc"))?;
    assert_eq!(cut.findings.after, ["aten::softmax"]);
    let model = Classifier::graft(cut, spec(HeadKind::Linear, &CLASSES), Device::Cpu, 1)?;
    model.save(folder.path())?;
    let (module, _) = Script::load(&folder.path().join("model.pt"), Device::Cpu, EXTRA_FILE)?;
    assert_close("the file", &module.forward(x)?, &model.forward(x, false)?);
    Ok(())
}

#[test]
fn a_module_is_used_as_it_is() -> Result<()> {
    let data = data();
    for name in ["scripted", "scripted_train", "traced_eval", "traced_train"] {
        let model = Classifier::open(&golden(&format!("{name}.pt")), Device::Cpu, &options())?;
        assert_eq!(model.spec.classes, ["0", "1", "2", "3", "4"]);
        assert_close(name, &model.forward(&data["x"], false)?, &data["eval_logits"]);
    }
    Ok(())
}

#[test]
fn a_native_network_that_was_exported_still_trains() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("exported.pt");
    let model = crate::models::small_classifier(&CLASSES, 1)?;
    model.export(crate::models::ExportFormat::TorchScript, &file)?;
    let module = TorchScript::load(&file, Device::Cpu)?.cut(None)?;
    assert_eq!(module.notes(), Vec::<String>::new());
    let module = Classifier::graft(module, spec(HeadKind::Linear, &CLASSES), Device::Cpu, 2)?;
    // large enough that the last stages' batch statistics are of many numbers: of four, they make rounding large
    let x = Tensor::arange(16 * 3 * 64 * 64, (Kind::Float, Device::Cpu)).square().sin().reshape([16, 3, 64, 64]);
    for train in [false, true] {
        let features = |model: &Classifier| model.backbone().forward(&x, train);
        assert_close(if train { "training" } else { "evaluation" }, &features(&module)?, &features(&model)?.detach());
    }
    for (name, entry) in model.store.entries().filter(|(name, _)| name.contains("running_")) {
        assert_close(name, module.store.get(name).unwrap(), &entry.tensor);
    }
    Ok(())
}

#[test]
#[ignore = "is run by `python tests/golden/torchscript/compare.py`, which makes its files"]
fn compare() -> Result<()> {
    let variable = |name| std::env::var(name).expect("compare.py sets it");
    let (folder, name) = (PathBuf::from(variable("REGRAFT_COMPARE")), variable("REGRAFT_NAME"));
    let mut dict = StateDict::read_safetensors(folder.join("weights.safetensors"))?;
    let mut taken = |name: &str| dict.tensors.remove(name).unwrap().copy();
    let (images, evaluated, trained) = (taken("compare.images"), taken("compare.eval"), taken("compare.train"));
    let _guard = tch::no_grad_guard();
    let difference = |found: &Tensor, expected: &Tensor| -> f64 {
        let error = f64::try_from((found - expected).abs().max()).unwrap();
        assert!(error < 1e-4 * f64::try_from(expected.abs().max()).unwrap(), "{name} is off by {error:.1e}");
        error
    };
    let short = |error: f64| if error == 0.0 { "0".to_string() } else { format!("{error:.1e}") };
    let mut row = format!("| `{name}`");
    let options = PreprocessingOptions { image_size: Some(images.size()[2] as u32), ..PreprocessingOptions::default() };
    for kind in ["scripted.pt", "traced.pt"] {
        let cell = match Classifier::open(&folder.join(kind), Device::Cpu, &options) {
            Ok(model) => {
                let eval = difference(&model.forward(&images, false)?, &evaluated);
                format!("{} / {}", short(eval), short(difference(&model.forward(&images, true)?, &trained)))
            }
            Err(error) => format!("refused: {error}"),
        };
        row += &format!(" | {cell}");
    }
    let spec = Spec { architecture: name.clone(), ..spec(HeadKind::Linear, &[""; 1000]) };
    let preprocessing = options.apply(&spec.preprocessing);
    let model = Classifier::new(Spec { preprocessing, ..spec }, Device::Cpu, 0)?;
    model.store.restore(&dict)?;
    model.export(crate::models::ExportFormat::TorchScript, &folder.join("exported.pt"))?;
    println!("{row} |");
    Ok(())
}
