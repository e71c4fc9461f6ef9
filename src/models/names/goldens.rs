//! The names of other libraries, taken from them (`tests/golden/names/generate.py`), become exactly torchvision's.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::Deserialize;
use tch::{Tensor, kind::FLOAT_CPU};

use super::*;
use crate::Result;
use crate::models::formats::{StateDict, write_safetensors};

type Shapes = BTreeMap<String, Vec<i64>>;

#[derive(Deserialize)]
struct Goldens {
    networks: BTreeMap<String, Shapes>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    network: String,
    dialect: String,
    shapes: Shapes,
}

fn goldens() -> Goldens {
    let packed = include_bytes!("../../../tests/golden/names/data.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Tensors of these shapes, each one number in memory.
fn tensors(shapes: &Shapes) -> BTreeMap<String, Tensor> {
    let tensor = |shape: &Vec<i64>| Tensor::zeros([1; 8], FLOAT_CPU).reshape(vec![1; shape.len()]).expand(shape, false);
    shapes.iter().map(|(name, shape)| (name.clone(), tensor(shape))).collect()
}

#[test]
fn every_name_of_every_dialect_becomes_one_of_torchvisions() -> Result<()> {
    let Goldens { networks, cases } = goldens();
    let mut visited = BTreeSet::new();
    for Case { network, dialect, shapes } in cases {
        let mut ours = networks[&network].clone();
        if !shapes.keys().any(|name| name.ends_with("num_batches_tracked")) {
            ours.retain(|name, _| !name.ends_with("num_batches_tracked")); // from before batch norm counted
        }
        let file = StateDict::new(tensors(&shapes), BTreeMap::new());
        let found = translate(file, &network, &tensors(&ours))?;
        let case = format!("{network} of {dialect}");
        assert_eq!(found.dialect.as_deref(), Some(dialect.as_str()), "{case}");
        let mapped: Shapes = found.dict.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size())).collect();
        assert_eq!(mapped, ours, "{case}");
        let mut sources: Vec<_> =
            mapped.keys().flat_map(|name| found.origins.get(name).cloned().unwrap_or(vec![name.clone()])).collect();
        sources.sort();
        assert!(sources.iter().eq(shapes.keys()), "{case}: a tensor of the file was lost");
        visited.insert((network, dialect));
    }
    let known = families().iter().flat_map(|family| {
        let names = |network| family.dialects.iter().map(move |dialect| (String::clone(network), dialect.name.clone()));
        family.networks.keys().flat_map(names)
    });
    assert_eq!(visited, known.collect(), "every dialect is checked for every network");
    Ok(())
}

#[test]
fn torchvisions_own_names_stay() -> Result<()> {
    for (network, shapes) in goldens().networks {
        let found = translate(StateDict::new(tensors(&shapes), BTreeMap::new()), &network, &tensors(&shapes))?;
        assert!(found.dialect.is_none() && found.origins.is_empty(), "{network}");
    }
    Ok(())
}

#[test]
fn a_network_is_recognised_by_the_names_of_another_library() -> Result<()> {
    let chosen =
        ["vgg16", "resnet34", "densenet169", "mobilenet_v3_small", "efficientnet_b1", "convnext_small", "vit_b_16"];
    let cases = goldens().cases.into_iter().filter(|case| chosen.contains(&case.network.as_str()));
    let mut compared = 0;
    for Case { network, dialect, shapes } in cases {
        let found = recognise(&StateDict::new(tensors(&shapes), BTreeMap::new()))?;
        assert_eq!(found, Some((network.as_str(), dialect.as_str())));
        compared += 1;
    }
    assert!(compared > chosen.len(), "{compared}");
    let other = tensors(&Shapes::from([("encoder.weight".to_string(), vec![3, 4])]));
    assert_eq!(recognise(&StateDict::new(other, BTreeMap::new()))?, None);
    Ok(())
}

/// The second of three steps that compare logits; `models/README.md` has all of them.
#[test]
#[ignore = "needs the files of `python tests/golden/names/generate.py weights target/names`"]
fn weights_of_other_libraries_are_renamed() -> Result<()> {
    let networks = goldens().networks;
    let files = std::fs::read_dir("target/names").expect("the folder").map(|file| file.expect("a file").path());
    for file in files.filter(|file| file.to_string_lossy().ends_with(".theirs.safetensors")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (network, _) = name.split_once('@').expect("the generator's name");
        let ours = translate(StateDict::read(&file)?, network, &tensors(&networks[network]))?;
        println!("{name}: {:?}, {} reshaped", ours.dialect, ours.reshaped.len());
        write_safetensors(file.with_file_name(name.replace(".theirs.", ".ours.")), &ours.dict)?;
    }
    Ok(())
}
