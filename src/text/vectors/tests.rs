use std::io::Write;

use super::*;

/// A file with that content, and what is found in it for the names.
fn described(file: &str, content: &[u8], names: &[&str]) -> Result<(WordVectors, Described)> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file);
    std::fs::write(&path, content).unwrap();
    std::fs::write(folder.path().join("words.txt"), "cat\nPolar_Bear\n").unwrap();
    let names: Vec<ClassName> = names.iter().map(|name| name.parse().unwrap()).collect();
    let vectors = WordVectors::open(&path, &forms(&names))?;
    let described = vectors.describe(&names)?;
    Ok((vectors, described))
}

fn rows(described: &Described) -> Vec<Vec<f64>> {
    Vec::try_from(&described.vectors.to_kind(Kind::Double)).unwrap()
}

fn close(found: &[f64], expected: &[f64]) {
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
        "{found:?}"
    );
}

#[test]
fn every_format_gives_the_same_vectors() -> Result<()> {
    let text = b"the 9 9\ncat 3 4\nPolar_Bear 0 2\n";
    let counted = b"3 2\nthe 9 9\ncat 3 4\nPolar_Bear 0 2\n";
    let mut binary = b"3 2\n".to_vec();
    for (word, numbers) in [("the", [9f32, 9.0]), ("cat", [3.0, 4.0]), ("Polar_Bear", [0.0, 2.0])] {
        write!(binary, "{word} ").unwrap();
        numbers.iter().for_each(|number| binary.extend(number.to_le_bytes()));
        binary.push(b'\n');
    }
    let plain = br#"{"the": [9, 9], "cat": [3, 4], "Polar_Bear": [0, 2]}"#;
    let nested = br#"{"precision": 8, "dimensions": 2, "words": ["the"], "vectors": {"cat": [3, 4, 5, 0], "Polar_Bear": [0, 2, 2, 1]}}"#;
    let (tensors, array) = {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.safetensors");
        let vectors = Tensor::from_slice2(&[[3f32, 4.0], [0.0, 2.0]]);
        vectors.write_npy(folder.path().join("v.npy")).unwrap();
        let state = StateDict::new([("vectors".to_string(), vectors)].into(), Default::default());
        crate::models::formats::write_safetensors(&path, &state)?;
        (std::fs::read(&path).unwrap(), std::fs::read(folder.path().join("v.npy")).unwrap())
    };
    for (file, content) in [
        ("a.txt", &text[..]),
        ("a.vec", counted),
        ("a.bin", &binary),
        ("a.json", plain),
        ("a.json", nested),
        ("a.safetensors", &tensors),
        ("a.npy", &array),
    ] {
        let (vectors, described) = described(file, content, &["cat", "polar bear"])?;
        assert_eq!((vectors.dimensions(), vectors.get("the")), (2, None), "{file}");
        let rows = rows(&described);
        close(&rows[0], &[0.6, 0.8]);
        close(&rows[1], &[0.0, 1.0]);
    }
    Ok(())
}

#[test]
fn phrases_are_means_of_what_is_known_of_them() -> Result<()> {
    let text = b"red 2 0 0\npanda 0 2 0\nRed 9 9 9\nfire 0 0 5\n. . 1 1 1\nfox 0 0 4\n";
    let names = ["red panda", "x=red panda|firefox|fire-fox", "okapi", "red kangaroo"];
    let (_, described) = described("a.txt", text, &names)?;
    let (rows, half) = (rows(&described), 0.5f64.sqrt());
    close(&rows[0], &[half, half, 0.0]);
    // two phrases of three are known: (½, ½, 0)·√2 and (0, 0, 1)
    let length = (2.0 * half * half + 1.0).sqrt();
    close(&rows[1], &[half / length, half / length, 1.0 / length]);
    close(&rows[2], &[0.0, 0.0, 0.0]);
    close(&rows[3], &[1.0, 0.0, 0.0]);
    assert_eq!(described.unknown, [2].into());
    assert_eq!(described.missing, [(1, vec!["firefox".to_string()]), (3, vec!["kangaroo".to_string()])].into());
    Ok(())
}

#[test]
fn words_may_be_called_as_a_files_own_entries_are() -> Result<()> {
    let plain = br#"{"vectors": [3, 4], "dimensions": [0, 2]}"#;
    let (vectors, _) = described("a.json", plain, &["vectors", "dimensions"])?;
    assert_eq!((vectors.get("vectors"), vectors.get("dimensions")), (Some(&[3.0, 4.0][..]), Some(&[0.0, 2.0][..])));
    Ok(())
}

#[test]
fn damaged_files_are_named_with_the_place() {
    for (file, content, expected) in [
        ("a.txt", &b"cat 1 2\ndog 1\n"[..], "line 2 has 2 fields"),
        ("a.txt", b"cat 1 x\n", "line 1 has what is no number behind cat"),
        ("a.txt", b"dog 1 2\n", "none of the classes' words"),
        ("a.txt", b"cat 1 nan\n", "no finite number for cat"),
        ("a.bin", b"2 2\ncat 12", "ends too early"),
        ("a.bin", b"hello\n", "first line"),
        ("a.json", b"[1]", "an object"),
        ("a.json", br#"{"vectors": {"cat": 7}}"#, "cat has no list"),
        ("a.safetensors", b"garbage", "a.safetensors"),
    ] {
        let message = described(file, content, &["cat"]).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
