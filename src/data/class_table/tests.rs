use super::*;

fn rows(table: &ClassTable) -> Vec<Vec<f64>> {
    Vec::try_from(&table.values).unwrap()
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn every_form_gives_the_same_table() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(
        folder.path(),
        &[
            ("awa/classes.txt", "     1\tgrizzly+bear\n     2\tzebra\n"),
            ("awa/predicates.txt", "1\tblack\n2\tstripes\n3\tbig\n"),
            ("awa/predicate-matrix-continuous.txt", " 0.50  0.00 9\n1 80.25 3\n"),
            ("awa/predicate-matrix-binary.txt", "0 0 1\n1 1 0\n"),
            ("cub/classes.txt", "1 grizzly+bear\n2 zebra\n"),
            ("cub/attributes/class_attribute_labels_continuous.txt", "0.5 0 9\n1 80.25 3\n"),
            ("a.csv", "\u{feff}class, black,\"stripes\",big\ngrizzly+bear,0.5,0,9\n\nzebra,1,80.25,3\n"),
            (
                "a.json",
                r#"{"grizzly+bear": {"black": 0.5, "stripes": 0, "big": 9}, "zebra": {"big": 3, "stripes": 80.25, "black": 1}}"#,
            ),
            ("b.json", r#"{"grizzly+bear": [0.5, 0, 9], "zebra": [1, 80.25, 3]}"#),
        ],
    );
    for path in ["awa", "awa/predicate-matrix-continuous.txt", "cub", "a.csv", "a.json", "b.json"] {
        let table = ClassTable::open(&at(path))?;
        assert_eq!(table.classes, ["grizzly+bear", "zebra"], "{path}");
        assert_eq!(rows(&table), [[0.5, 0.0, 9.0], [1.0, 80.25, 3.0]], "{path}");
        let named = !["cub", "b.json"].contains(&path);
        assert_eq!(table.attributes, if named { vec!["black", "stripes", "big"] } else { vec![] }, "{path}");
        let turned = table.rows_of(&["Zebra".into(), "grizzly bear".into()])?;
        assert_eq!(Vec::<Vec<f64>>::try_from(&turned).unwrap(), [[1.0, 80.25, 3.0], [0.5, 0.0, 9.0]]);
        let missing = table.rows_of(&["okapi".into(), "zebra".into(), "tapir".into()]).unwrap_err().to_string();
        assert_eq!(missing, "nothing is said of okapi, tapir");
        table.require_distinct()?;
    }
    assert_eq!(rows(&ClassTable::open(&at("awa/predicate-matrix-binary.txt"))?), [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]);
    Ok(())
}

#[test]
fn what_is_not_known_is_the_mean_of_what_is() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    write(folder.path(), &[("a.csv", "class,black,big\nbear,,9\nzebra,1,3\nox,3,\n")]);
    let (table, count) = ClassTable::open(&path)?.filled()?;
    assert_eq!((rows(&table), count), (vec![vec![2.0, 9.0], vec![1.0, 3.0], vec![3.0, 6.0]], 2));
    write(folder.path(), &[("a.csv", "class,black,big\nbear,,9\nzebra,,3\n")]);
    assert!(ClassTable::open(&path)?.filled().unwrap_err().to_string().contains("not known of any class"));
    // in the real file −1 stands for it
    write(
        folder.path(),
        &[
            ("classes.txt", "1 a\n2 b\n"),
            ("predicates.txt", "1 x\n"),
            ("predicate-matrix-continuous.txt", "-1.00\n4.00\n"),
        ],
    );
    let (table, count) = ClassTable::open(folder.path())?.filled()?;
    assert_eq!((rows(&table), count), (vec![vec![4.0], vec![4.0]], 1));
    let same = table.require_distinct().unwrap_err().to_string();
    assert!(same.contains("a and b have the same attributes"), "{same}");
    write(folder.path(), &[("a.csv", "class,black,big\nbear,1,9\nzebra,0,0\n")]);
    let zeros = ClassTable::open(&path)?.require_distinct().unwrap_err().to_string();
    assert!(zeros.contains("all that is said of zebra is 0"), "{zeros}");
    Ok(())
}

#[test]
fn tables_that_make_no_sense_are_named_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, expected) in [
        ("a.csv", "class,x\nbear,1,2\n", "line 2 has 3 fields; the first line has 2"),
        ("a.csv", "class,x\nbear,red\n", "line 2 has red, which is no number"),
        ("a.csv", "class,x\nbear,1\nbear,2\n", "the class bear twice"),
        ("a.csv", "class,x,x\nbear,1,2\n", "the attribute x twice"),
        ("a.csv", "class,x\nsea_lion,1\nSea lion,2\n", "the class sea lion twice"),
        ("a.csv", "class,x\nbear,inf\n", "an infinite number"),
        ("a.csv", "", "no class with a number"),
        ("a.json", "[]", "no table of classes"),
        ("a.json", r#"{"bear": [1], "ox": [1, 2]}"#, "2 numbers for ox, and 1"),
        ("a.json", r#"{"bear": {"x": "red"}}"#, "which is no number"),
        ("a.json", r#"{"bear": 7}"#, "says 7 of bear"),
        ("a.mat", "nothing", "a.mat"),
        ("a.png", "", "is no table of classes"),
    ] {
        write(folder.path(), &[(name, text)]);
        let message = ClassTable::open(&folder.path().join(name)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
    let nowhere = ClassTable::open(&folder.path().join("nowhere.csv")).unwrap_err().to_string();
    assert!(nowhere.contains("nowhere.csv: cannot open the table"), "{nowhere}");
    assert!(ClassTable::open(folder.path()).unwrap_err().to_string().contains("predicate-matrix"));
}
