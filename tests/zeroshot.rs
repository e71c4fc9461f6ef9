//! Zero-shot: classes without an image are named by what is said of them.

use serde_json::Value;

use super::support::{Scene, bytes, json, stderr, succeed};

/// What colours are like; of `sky` nothing is known.
const WORDS: &str = "blue 0 0 1\ngreen 0 1 0\nred 1 0 0\ncrimson 0.9 0.2 0\nsea 0 0.5 0.8\nleaf 0.2 0.9 0.1\nwarm 1 0.1 0\nlime 0 1 0.1\nplum 0.8 0 0.9\n";

/// A scene with a model that knows the three colours, and the words.
fn scene() -> Scene {
    scene_of("small_cnn")
}

fn scene_of(network: &str) -> Scene {
    let scene = Scene::new(10);
    succeed(&scene.finetune("run", &["--model", network, "--epochs", "12", "--lr", "0.001", "--no-augment"]));
    std::fs::write(scene.path("words.txt"), WORDS).expect("a file");
    scene
}

/// Images of eight colours, and how red, green and blue these are.
fn colours(scene: &Scene) {
    let mut table = String::from("class,red,green,blue,no red,no green,no blue\n");
    for (number, name) in ["black", "navy", "lime", "teal", "brown", "plum", "olive", "white"].into_iter().enumerate() {
        let bits = [number / 4, number / 2 % 2, number % 2];
        let [red, green, blue] = bits;
        table += &format!("{name},{red},{green},{blue},{},{},{}\n", 1 - red, 1 - green, 1 - blue);
        let folder = scene.path("colours").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for image in 0..6u8 {
            let colour = bits.map(|bit| 40 + 150 * bit as u8 + 3 * image);
            image::RgbImage::from_pixel(32, 32, image::Rgb(colour))
                .save(folder.join(format!("{image}.png")))
                .expect("saved");
        }
    }
    std::fs::write(scene.path("colours.csv"), table).expect("a file");
}

const COMMON: [&str; 4] = ["--model", "runs/run", "--descriptions", "words.txt"];

#[test]
fn images_are_named_by_classes_that_the_model_never_saw() {
    let scene = scene();
    let predict = |classes: &str, more: &[&str]| {
        let words = ["zeroshot", "predict", "--classes", classes];
        let images = ["data/val/red/000.png", "data/val/blue/001.png"];
        scene.run(&[&words[..], &COMMON, more, &images].concat())
    };
    let output = predict("leaf,sea,crimson", &["--json"]);
    succeed(&output);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (number, (best, mixed)) in [("crimson", "red"), ("sea", "blue")].into_iter().enumerate() {
        assert_eq!(found[number]["classes"][0]["class"], best, "{found}");
        assert_eq!(found[number]["mixture"][0]["class"], mixed);
        assert_eq!(found[number]["classes"].as_array().map(Vec::len), Some(3));
        let shares: f64 =
            found[number]["mixture"].as_array().expect("a list").iter().filter_map(|part| part["share"].as_f64()).sum();
        assert!((shares - 1.0).abs() < 1e-5);
    }
    // phrases, a word that is not known, and a class that is no news
    let output = predict("mine=warm sky|crimson,blue", &["--show", "1"]);
    succeed(&output);
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    assert!(text.contains("mine\n") && text.contains("→ mine"), "{text}");
    let said = stderr(&output);
    assert!(said.contains("nothing is known of sky") && said.contains("the model has learned blue"), "{said}");
    // an image that cannot be read does not keep the others from being named
    std::fs::write(scene.path("broken.png"), "no image").expect("a file");
    let output = predict("leaf,sea", &["broken.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("broken.png") && String::from_utf8_lossy(&output.stdout).contains("→ sea"));
}

#[test]
fn labelled_images_tell_what_it_is_worth() {
    let scene = scene();
    // the same images in folders of other classes
    for (from, to) in [("red", "crimson"), ("green", "leaf"), ("blue", "sea")] {
        std::fs::create_dir_all(scene.path("unseen")).expect("a folder");
        std::fs::rename(scene.path(&format!("data/val/{from}")), scene.path(&format!("unseen/{to}"))).expect("renamed");
    }
    let words = ["zeroshot", "evaluate", "--data", "unseen", "--json"];
    let output = scene.run(&[&words[..], &COMMON].concat());
    succeed(&output);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((found["images"].as_u64(), found["classes"].as_array().map(Vec::len)), (Some(12), Some(3)));
    assert!(found["per_class_accuracy"].as_f64().expect("a number") > 0.9, "{found}");
    // how near wrong answers are
    std::fs::write(scene.path("tree.csv"), "child,parent\ncrimson,colour\nleaf,cold\nsea,cold\ncold,colour\n")
        .expect("a file");
    let words = ["zeroshot", "evaluate", "--data", "unseen", "--hierarchy", "tree.csv", "--json"];
    let output = scene.run(&[&words[..], &COMMON].concat());
    succeed(&output);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["hierarchical_precision"]["1"], found["accuracy"], "{found}");
    assert!(found["hierarchical_precision"]["2"].as_f64().expect("a number") > 0.6, "{found}");
    // more classes to take images for
    let words = ["zeroshot", "evaluate", "--data", "unseen", "--classes", "warm,sea=blue"];
    let output = scene.run(&[&words[..], &COMMON].concat());
    succeed(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("chance 25.00 %") && text.contains("hit@2"), "{text}");
}

#[test]
fn an_encoder_of_sentences_describes_classes_too() {
    let scene = scene();
    let encoder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/text");
    for descriptions in [encoder.to_string(), format!("words.txt,{encoder}")] {
        let words = ["zeroshot", "predict", "--classes", "zebra,red polar bear", "--model", "runs/run"];
        let output =
            scene.run(&[&words[..], &["--descriptions", &descriptions, "--json", "data/val/red/000.png"]].concat());
        succeed(&output);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found[0]["classes"].as_array().map(Vec::len), Some(2), "{found}");
    }
}

#[test]
fn what_makes_no_sense_is_said_in_one_line() {
    let scene = scene();
    for (classes, more, expected) in [
        ("sea,sky", &[][..], "nothing is said of sky"),
        ("sea,x=sea", &[], "the same is said of sea and x"),
        ("sea,sea", &[], "names sea twice"),
        ("sea,leaf", &["--prompt", "a photo"], "--prompt a photo: lacks {}"),
        ("sea,leaf", &["--top", "0"], "--top must be at least 1"),
        ("sea,leaf", &["--show", "0"], "--show must be at least 1"),
    ] {
        let words = ["zeroshot", "predict", "--classes", classes];
        let output = scene.run(&[&words[..], &COMMON, more, &["data/val/red/000.png"]].concat());
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let words = ["zeroshot", "predict", "--classes", "a,b", "--model", "runs/run", "--descriptions", "nowhere"];
    let said = stderr(&scene.run(&[&words[..], &["data/val/red/000.png"]].concat()));
    assert!(said.contains("nowhere: no file of word vectors") && said.contains("minilm"), "{said}");
}

#[test]
fn methods_that_learn_stand_in_one_table() {
    // closed forms need features in which other colours differ too
    let scene = scene_of("resnet18");
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/zero_shot/");
    let (features, splits) = (format!("{files}res101.mat"), format!("{files}att_splits.mat"));
    let words = ["zeroshot", "compare", "--features", &features, "--splits", &splits, "--methods", "eszsl,sae"];
    let output = scene.run(&[&words[..], &["--out", "files"]].concat());
    succeed(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("eszsl") && text.contains("sae") && text.contains("chance 25.00 %"), "{text}");
    assert!(json(&scene.path("files/zeroshot.json"))["methods"][0]["runs"][0]["setting"]["gamma"].is_number());
    for more in [
        ["--data", "colours"],
        ["--model", "resnet18"],
        ["--prompt", "a {}"],
        ["--descriptions", "glove"],
        ["--device", "cpu"],
    ] {
        let said = stderr(&scene.run(&[&words[..], &more].concat()));
        assert!(said.contains("--features <FILE>' cannot be used with '--"), "{said}");
    }

    colours(&scene);
    let words = ["zeroshot", "compare", "--data", "colours", "--attributes", "colours.csv", "--model", "runs/run"];
    let methods = ["--methods", "dap,devise,eszsl,sae", "--out", "compared"];
    let seeds = |seeds: &'static str| {
        let output =
            scene.run(&[&words[..], &methods, &["--unseen-classes", "2", "--json", "--seeds", seeds]].concat());
        succeed(&output);
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    seeds("2");
    let (kept, learned) = (scene.path("compared/sae/seed-1.json"), scene.path("compared/devise/seed-1/result.json"));
    let times =
        || [&kept, &learned].map(|file| std::fs::metadata(file).and_then(|file| file.modified()).expect("a file"));
    let before = times();
    let found = seeds("3");
    assert_eq!(before, times(), "what was found is found again");
    assert_eq!(found["methods"].as_array().map(Vec::len), Some(4));
    assert!(
        found["options"]["images"]["unseen_classes"] == 2 && scene.path("compared/devise/seed-2/result.json").is_file()
    );
    let said = stderr(&scene.run(&[&words[..], &methods, &["--unseen-classes", "3"]].concat()));
    assert!(said.contains("compared: is a comparison with other options"), "{said}");
    // also by methods that are not there yet
    let said =
        stderr(&scene.run(&[&words[..], &["--methods", "iap", "--out", "compared", "--unseen-classes", "3"]].concat()));
    assert!(said.contains("compared: is a comparison with other options"), "{said}");
    for one in found["methods"].as_array().expect("a list") {
        assert_eq!(one["t1"]["values"].as_array().map(Vec::len), Some(3));
        // a ranking of four classes need not say much of others, but it learns these
        let measure = if one["method"] == "devise" { "seen" } else { "t1" };
        assert!(one[measure]["mean"].as_f64().expect("a number") > 0.6, "{one}");
        assert_eq!(one["runs"][1]["unseen_classes"].as_array().map(Vec::len), Some(2));
    }
    for (more, expected) in [
        (&["--unseen", "navy"][..], "7 seen classes and 1 unseen"),
        (&["--unseen", "navy,pink"], "--unseen pink: none of the classes"),
        (&[], "no class is unseen"),
        (&["--unseen", "navy,lime", "--seeds", "0"], "--seeds must be at least 1"),
    ] {
        let said = stderr(&scene.run(&[&words[..], more].concat()));
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn a_trained_network_names_classes_that_it_never_saw() {
    let scene = scene();
    colours(&scene);
    let words = ["zeroshot", "train", "--data", "colours", "--attributes", "colours.csv", "--quiet"];
    let unseen = ["--unseen", "lime,plum"];
    let network = ["--model", "small_cnn", "--from-scratch", "--image-size", "32", "--no-augment", "--batch-size", "8"];
    let train = |more: &[&str]| scene.run(&[&words[..], &network, &["--lr", "0.003", "--epochs", "60"], more].concat());
    let output = train(&[&unseen[..], &["--out", "runs/zero"]].concat());
    succeed(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("among unseen classes") && text.contains("chance 50.00 %"), "{text}");
    let result = json(&scene.path("runs/zero/result.json"));
    assert_eq!(result["method"], "zeroshot-devise");
    assert!(result["metrics"]["unseen/per_class_accuracy"].as_f64().expect("a number") > 0.7, "{result}");
    for file in ["model.safetensors", "classes.safetensors", "plots/space.png", "metrics.jsonl"] {
        assert!(scene.path("runs/zero").join(file).is_file(), "{file}");
    }

    // its classes, some of them, and one of which only the table speaks
    let predict = |more: &[&str]| {
        scene.run(
            &[&["zeroshot", "predict", "--model", "runs/zero", "--json"][..], more, &["colours/lime/0.png"]].concat(),
        )
    };
    let best = |output: &std::process::Output| {
        succeed(output);
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(found[0].get("mixture").is_none());
        (found[0]["classes"].as_array().map(Vec::len), found[0]["classes"][0]["class"].as_str().map(str::to_string))
    };
    assert_eq!(best(&predict(&[])).0, Some(5));
    let output = predict(&["--classes", "lime,plum,navy"]);
    assert!(stderr(&output).contains("the model has learned navy"), "{}", stderr(&output));
    assert_eq!(best(&output), (Some(3), Some("lime".into())));
    for (more, expected) in [
        (["--classes", "lime,pink"], "pink"),
        (["--top", "3"], "--top is not for runs/zero"),
        (["--prompt", "{}"], "--prompt"),
    ] {
        let said = stderr(&predict(&more));
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    // what it holds is not read again
    std::fs::rename(scene.path("colours.csv"), scene.path("moved.csv")).expect("it can be moved");
    assert_eq!(best(&predict(&["--classes", "lime,plum,navy"])).1, Some("lime".into()));
    std::fs::rename(scene.path("moved.csv"), scene.path("colours.csv")).expect("it can be moved");
    let output = scene.run(&["zeroshot", "evaluate", "--model", "runs/zero", "--data", "colours", "--json"]);
    succeed(&output);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["classes"].as_array().map(Vec::len), Some(8));

    for model in ["runs/zero", "runs/zero/model.safetensors"] {
        let said = stderr(&scene.run(&["predict", "--model", model, "colours/lime/0.png"]));
        let expected = format!("{model}: is a run of zeroshot train");
        assert!(said.contains(&expected) && said.lines().count() == 1, "{said}");
    }
    // beside a source model, and what mixes its classes
    let words_beside =
        ["zeroshot", "side-by-side", "--trained", "runs/zero", "--classes", "lime,plum", "colours/lime/0.png"];
    let output = scene.run(&[&words_beside[..], &COMMON, &["--json"]].concat());
    succeed(&output);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&found[0]["trained"][0], &found[0]["conse"][0]), (&"lime".into(), &"lime".into()), "{found}");
    assert_eq!(
        (found[0]["softmax"][0].as_str(), found[0]["softmax"].as_array().map(Vec::len)),
        (Some("green"), Some(3))
    );
    let output = scene.run(&[&words_beside[..], &COMMON].concat());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("softmax") && text.contains("ConSE"), "{text}");

    // killed and gone on with, it ends in the same bytes, what classes learned too; frozen stages come from another run
    let more = [
        "--method",
        "joint",
        "--freeze",
        "first:2",
        "--checkpoint-every",
        "1",
        "--dropout",
        "0.2",
        "--batch-size",
        "8",
    ];
    let more = [&words[..], &unseen, &["--model", "runs/zero", "--no-augment", "--epochs", "8"], &more].concat();
    succeed(&scene.run(&[&more[..], &["--out", "runs/whole"]].concat()));
    scene.kill_at(&[&more[..], &["--out", "runs/killed"]].concat(), "runs/killed/checkpoints/last/state.json");
    assert!(!scene.path("runs/killed/result.json").exists(), "killed too late to show anything");
    succeed(&scene.run(&["zeroshot", "train", "--resume", "runs/killed", "--quiet"]));
    for file in ["model.safetensors", "classes.safetensors", "checkpoints/last/model.safetensors"] {
        assert!(bytes(&scene.path("runs/whole").join(file)) == bytes(&scene.path("runs/killed").join(file)), "{file}");
    }
    // what was frozen is read from the run
    let inspected = scene.run(&["inspect", "runs/killed", "--json"]);
    succeed(&inspected);
    let found: Value = serde_json::from_slice(&inspected.stdout).expect("JSON");
    let trainable: Vec<bool> =
        found["stages"].as_array().expect("stages").iter().map(|stage| stage["trainable"] != 0).collect();
    assert_eq!((&trainable[..3], trainable.last()), (&[false, false, true][..], Some(&true)), "{found}");

    for (more, expected) in [
        (&["--unseen", "navy"][..], "7 seen classes and 1 unseen; expected 2 of each"),
        (&["--unseen", "navy,pink"], "--unseen pink: none of the classes"),
        (&[], "no class is unseen"),
        (&["--unseen", "navy,lime,navy"], "--unseen names navy twice"),
        (&["--unseen", "navy,lime", "--method", "eszsl"], "--method eszsl: does not learn an embedding"),
        (&["--unseen", "navy,lime", "--mixup", "0.2"], "--mixup and --cutmix mix labels"),
        (&["--unseen", "navy,lime", "--margin", "0"], "--margin 0 must be above 0"),
    ] {
        let said = stderr(&train(&[&["--out", "runs/none"], more].concat()));
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
}
