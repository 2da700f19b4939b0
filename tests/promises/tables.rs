//! Tables: which columns are numbers and which are words, what the classes are, and that a model's table is read like its training set's.

use wgrad::{Columns, Dataset, Fill, ReadOptions};

use crate::support::refused;

fn csv(text: &str, options: &ReadOptions) -> Result<Dataset, String> {
    Dataset::from_bytes(text.as_bytes(), options).map_err(|error| error.to_string())
}

fn plain(text: &str) -> Dataset {
    csv(text, &ReadOptions::default()).unwrap()
}

/// Every row's features.
fn rows(set: &Dataset) -> Vec<Vec<f32>> {
    (0..set.rows()).map(|row| set.row(row).unwrap()).collect()
}

const PEOPLE: &str = "age,city,height,grade\n31,Oslo,1.8,b\n22,Rome,1.7,a\n45,Oslo,1.6,c\n28,Bern,1.9,a\n";

/// Finds words that become features in another order, a header that is read as a row, and a row that is read as a header.
#[test]
fn numbers_words_and_classes() {
    let set = plain(PEOPLE);
    assert_eq!(set.columns().unwrap().feature_names(), ["age", "city=Bern", "city=Oslo", "city=Rome", "height"]);
    assert_eq!(set.class_names(), ["a", "b", "c"]);
    assert_eq!(set.labels(), [1, 0, 2, 0]);
    assert_eq!(
        rows(&set),
        [
            [31.0, 0.0, 1.0, 0.0, 1.8],
            [22.0, 0.0, 0.0, 1.0, 1.7],
            [45.0, 0.0, 1.0, 0.0, 1.6],
            [28.0, 1.0, 0.0, 0.0, 1.9]
        ]
    );
    // The same without a header, with tabs and quotes, spaces and carriage returns, and a byte order mark.
    let without: String = PEOPLE.lines().skip(1).map(|line| format!("{line}\n")).collect();
    let other = plain(&without);
    assert_eq!((rows(&other), other.labels(), other.class_names()), (rows(&set), set.labels(), set.class_names()));
    assert_eq!(other.columns().unwrap().feature_names()[..2], ["1", "2=Bern"]);
    let tabs = ReadOptions { delimiter: Some('\t'), ..ReadOptions::default() };
    let tabbed = csv(&PEOPLE.replace(',', "\t"), &tabs).unwrap();
    assert_eq!((rows(&tabbed), tabbed.labels()), (rows(&set), set.labels()));
    let quoted = "\u{feff}\"age\",city , height,grade\r\n31,\"Oslo\",1.8,b\r\n 22,Rome,1.7,a\r\n45,Oslo,1.6,c\r\n28,Bern,1.9,\"a\"";
    assert_eq!(plain(quoted), set);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.TSV");
    std::fs::write(&path, PEOPLE.replace(',', "\t")).unwrap();
    assert_eq!(Dataset::read(&path, &ReadOptions::default()).unwrap().0, tabbed);
}

/// Finds a header that is guessed wrongly, and cannot be set by an option.
#[test]
fn headers_are_detected_or_given() {
    let header = |header| ReadOptions { header: Some(header), ..ReadOptions::default() };
    assert_eq!(plain("1,2,0\n3,4,1\n").rows(), 2);
    assert_eq!(csv("1,2,0\n3,4,1\n", &header(true)).unwrap().rows(), 1);
    assert_eq!(plain("a,b,c\nx,y,z\n").rows(), 1, "a table of words has a header");
    assert_eq!(csv("a,b,c\nx,y,z\n", &header(false)).unwrap().rows(), 2);
    let fill = ReadOptions { fill: Some(Fill::Zero), ..ReadOptions::default() };
    assert_eq!(csv("x,,0\n1,2,0\n3,4,1\n", &fill).unwrap().rows(), 3, "no name, but a missing value");
}

/// Finds a line whose number in an editor is another: files of \r\n, as spreadsheets write them, empty lines, and cells with lines in them.
#[test]
fn lines_are_counted_as_an_editor_does() {
    let default = ReadOptions::default();
    for (rows, words) in [
        (&["a,b,y", "1,2,0", "3,,1"][..], "row 1 (line 3), column \"b\""),
        (&["a,b,y", "1,2,0", "", "", "3,,1"], "row 1 (line 5), column \"b\""),
        (&["a,b,y", "\"1\",\"u\nv\",0", "3,,1"], "row 1 (line 4), column \"b\""),
        (&["a,b,y", ",2,0", "3,4,1"], "row 0 (line 2), column \"a\""),
        (&["a,b,y", "1,2,0", "3,1"], "line 3 has 2 cells, and those before it 3"),
        (&["a,b,y", "1,\"u\nv\",0", "", "3,1"], "line 5 has 2 cells"),
    ] {
        for mark in ["", "\u{feff}"] {
            for end in ["\n", "\r\n"] {
                let text = mark.to_string() + &rows.join("\n").replace('\n', end) + end;
                let error = csv(&text, &default).unwrap_err();
                assert!(error.contains(words), "{text:?}: {error}");
            }
        }
    }
    let inputs = ReadOptions { columns: plain(PEOPLE).columns().cloned(), ..ReadOptions::inputs() };
    let error = csv("age,city,height\r\n1,Paris,1\r\n", &inputs).unwrap_err();
    assert!(error.contains("row 0 (line 2), column \"city\""), "{error}");
    let error = Dataset::from_bytes(b"a,b\r\n1,2\r\n\xff\xfe,3\r\n", &default).unwrap_err();
    assert!(error.to_string().contains("line 3, column 1: it is not UTF-8"), "{error}");
}

/// Targets are found by name and by number; whole numbers are classes, or numbers to predict.
#[test]
fn targets_are_classes_or_numbers() {
    let label = |word: &str| ReadOptions { label: Some(word.into()), ..ReadOptions::default() };
    let text = "kind,x,y\n10,1,0.5\n9,2,1.5\n10.0,3,-2\n-1,4,0\n";
    let set = csv(text, &label("kind")).unwrap();
    assert_eq!(set.class_names(), ["-1", "9", "10"], "sorted as numbers");
    assert_eq!(set.labels(), [2, 1, 2, 0]);
    assert_eq!(rows(&set)[0], [1.0, 0.5]);
    assert_eq!(csv(text, &label("1")).unwrap(), set);
    let numbers = csv(text, &ReadOptions { regression: true, ..label("y") }).unwrap();
    assert_eq!(numbers.values().unwrap(), [0.5, 1.5, -2.0, 0.0]);
    assert_eq!(rows(&numbers)[2], [10.0, 3.0]);
    for (options, words) in [
        (label("y"), "numbers with fractions"),
        (label("z"), "no column \"z\""),
        (label("4"), "no column \"4\""),
        (label("0"), "no column \"0\""),
    ] {
        let error = csv(text, &options).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let error = csv("x,y\n1,2\n2,?\n", &ReadOptions { regression: true, ..ReadOptions::default() }).unwrap_err();
    assert!(error.contains("row 1 (line 3), column \"y\""), "{error}");
}

/// Finds a missing value that becomes a 0 in silence, or an error that does not say where it is.
#[test]
fn missing_values_are_named_or_filled() {
    for missing in ["", "NA", "NaN", "nan", "?", "  "] {
        let text = format!("a,b,y\n1,x,0\n{missing},y,1\n4,x,1\n");
        let error = csv(&text, &ReadOptions::default()).unwrap_err();
        assert!(error.contains("row 1 (line 3), column \"a\"") && error.contains("fill"), "{error}");
        for (fill, expected) in [(Fill::Mean, 2.5), (Fill::Zero, 0.0), (Fill::Number(-7.5), -7.5)] {
            let set = csv(&text, &ReadOptions { fill: Some(fill), ..ReadOptions::default() }).unwrap();
            assert_eq!(rows(&set), [[1.0, 1.0, 0.0], [expected, 0.0, 1.0], [4.0, 1.0, 0.0]]);
            // A row of another table has the same fill, and not that table's.
            let like = ReadOptions { columns: set.columns().cloned(), ..ReadOptions::inputs() };
            assert_eq!(rows(&csv("a,b\n,x\n100,\n", &like).unwrap()), [[expected, 1.0, 0.0], [100.0, 0.0, 0.0]]);
        }
    }
    let error = csv("a,b,y\n1,x,0\n1,,1\n", &ReadOptions::default()).unwrap_err();
    assert!(error.contains("row 1 (line 3), column \"b\""), "{error}");
    let fill = ReadOptions { fill: Some(Fill::Zero), ..ReadOptions::default() };
    let error = csv("a,y\n1,u\n1,\n", &fill).unwrap_err();
    assert!(error.contains("the target is missing"), "{error}");
    refused(&["\"median\" is not a replacement", "mean, zero or a finite number"], "median".parse::<Fill>());
    refused(&["\"inf\" is not a replacement"], "inf".parse::<Fill>());
}

/// A column can be left out, and numbers can be categories.
#[test]
fn columns_are_ignored_and_made_categories() {
    let text = "id,zip,x,y\nu1,10,1,a\nu2,20,2,b\nu3,10,3,a\n";
    let options = ReadOptions { ignore: vec!["id".into()], categorical: vec!["2".into()], ..ReadOptions::default() };
    let set = csv(text, &options).unwrap();
    assert_eq!(set.columns().unwrap().feature_names(), ["zip=10", "zip=20", "x"]);
    assert_eq!(rows(&set)[1], [0.0, 1.0, 2.0]);
    let last = csv(text, &ReadOptions { ignore: vec!["y".into(), "id".into()], ..ReadOptions::default() }).unwrap();
    assert_eq!(last.class_names(), ["1", "2", "3"], "the last column that is left is the target");
    let many: String = (0..1001).map(|row| format!("w{row},{row}\n")).collect();
    let error = csv(&many, &ReadOptions { label: Some("2".into()), ..ReadOptions::default() }).unwrap_err();
    assert!(error.contains("more than 1000 different words") && error.contains("ignore"), "{error}");
}

/// Finds new rows that are encoded by their own words, columns or classes: columns in another order, with more and without the target, and words that
/// were never seen.
#[test]
fn other_tables_are_encoded_like_the_first() {
    let set = plain(PEOPLE);
    let columns: Columns = serde_json::from_str(&serde_json::to_string(set.columns().unwrap()).unwrap()).unwrap();
    assert_eq!(Some(&columns), set.columns(), "as the model keeps it");
    let like = ReadOptions { columns: Some(columns), ..ReadOptions::default() };
    let inputs = ReadOptions { inputs_only: true, ..like.clone() };
    let moved = csv("height,name,city,age\n1.5,Ada,Rome,99\n", &inputs).unwrap();
    assert_eq!(rows(&moved), [[99.0, 0.0, 0.0, 1.0, 1.5]]);
    let labelled = csv("grade,height,city,age\nc,1.5,Rome,99\nc,1.5,Rome,99\n", &like).unwrap();
    assert_eq!((labelled.labels(), labelled.classes()), (&[2, 2][..], 3));
    // Without a header, by place, with the target and without it.
    for text in ["99,Rome,1.5,c\n", "99,Rome,1.5\n"] {
        assert_eq!(rows(&csv(text, &inputs).unwrap()), rows(&moved), "{text}");
    }
    for (text, options, words) in [
        ("age,city,height\n1,Paris,1\n", &inputs, "row 0 (line 2), column \"city\": \"Paris\" is none of its words"),
        ("age,height\n1,2\n", &inputs, "no column \"city\""),
        ("age,city,height\n1,Rome,x\n", &inputs, "column \"height\": \"x\" is not a number"),
        ("age,city,height,grade\n1,Rome,1,z\n", &like, "column \"grade\": \"z\" is none of the 3 classes"),
        ("age,city,height\n1,Rome,1\n", &like, "no column \"grade\""),
        ("1,Rome\n", &inputs, "have 2 cells: they must have 4, or 3, without the target"),
    ] {
        let error = csv(text, options).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    // The target in the middle: what comes after it is one place nearer where it is not there.
    let middle = csv("1,u,2\n3,v,4\n", &ReadOptions { label: Some("2".into()), ..ReadOptions::default() }).unwrap();
    let inputs = ReadOptions { columns: middle.columns().cloned(), ..ReadOptions::inputs() };
    assert_eq!(rows(&csv("5,6\n", &inputs).unwrap()), rows(&csv("5,w,6\n", &inputs).unwrap()));
}

/// Tables that contradict themselves are refused.
#[test]
fn tables_that_disagree_with_themselves_are_refused() {
    let default = ReadOptions::default();
    for (text, words) in [
        ("a,b,a\n1,2,0\n", "columns 1 and 3 are both named \"a\""),
        ("a,b\n1,2\n3\n", "line 3 has 1 cell, and those before it 2"),
        ("a,b,y\n1,inf,0\n2,3,1\n", "row 0 (line 2), column \"b\": inf is not a finite f32"),
        ("a,b,y\n1,1e39,0\n2,3,1\n", "column \"b\": 1e39 is not a finite f32"),
        ("y\n1\n2\n", "no column besides the target"),
        ("", "no rows"),
    ] {
        let error = csv(text, &default).unwrap_err();
        assert!(error.contains(words), "{text:?}: {error}");
    }
    let error = Dataset::from_bytes(b"a,b\n1,2\n\xff\xfe,3\n", &default).unwrap_err();
    assert!(error.to_string().contains("line 3, column 1: it is not UTF-8"), "{error}");
    let delimiter = ReadOptions { delimiter: Some('→'), ..ReadOptions::default() };
    assert!(csv("1,2\n", &delimiter).unwrap_err().contains("ASCII"));
}
