//! Tables.

use serde_json::Value;

use super::{Ran, case, train, wgrad};

/// Rows, features and classes of a table, as `explain` prints them.
#[track_caller]
fn explained(folder: &std::path::Path, arguments: &[&str]) -> (Ran, [u64; 3]) {
    let ran = wgrad(folder, &[&["explain"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.said);
    let table = ran.event("table");
    let sizes = ["rows", "features", "classes"].map(|key| table[key].as_u64().unwrap());
    (ran, sizes)
}

/// The same for a text that is written to a file first.
#[track_caller]
fn of_text(text: &str, arguments: &[&str]) -> (Ran, [u64; 3]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.csv"), text).unwrap();
    explained(folder.path(), &[&["--data", "set.csv"], arguments].concat())
}

/// The message with which a text is refused.
#[track_caller]
fn refused(text: &str, arguments: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.csv"), text).unwrap();
    wgrad(folder.path(), &[&["explain", "--data", "set.csv"], arguments].concat()).refused(words);
}

/// What a model keeps, as `inspect` shows it.
fn inspected(folder: &std::path::Path) -> Value {
    wgrad(folder, &["inspect", "model.safetensors"]).events.remove(0)
}

/// The names of the columns in some role.
fn columns(ran: &Ran, role: &str) -> Vec<String> {
    let columns = ran.events.iter().filter(|event| event["event"] == "column" && event["role"] == role);
    columns.map(|column| column["name"].as_str().unwrap().into()).collect()
}

/// Rows with three numbers and a class, as text.
fn rows(count: usize) -> Vec<String> {
    (0..count).map(|row| format!("{}.{},{},-0.{row}7,{}", row % 7, row % 3, 3 * row, row % 3)).collect()
}

#[test]
fn a_header_with_an_empty_name() {
    for fill in [&[][..], &["--fill", "mean"]] {
        let (ran, sizes) = explained(&case("header_first_name_empty"), &[&["--data", "set.csv"], fill].concat());
        assert_eq!(sizes, [60, 3, 3]);
        assert_eq!(
            (columns(&ran, "feature"), columns(&ran, "left out")),
            (["a", "b", "c"].map(String::from).to_vec(), vec!["1".to_string()])
        );
        ran.says(&["first column has no name", "left out"]);
    }
    // An index of words, as R has it, and of numbers in any order, as a part of a table has; pandas' name for it.
    for index in
        [|row: usize| format!("car {row}"), |row: usize| (97 * row % 61).to_string(), |row: usize| row.to_string()]
    {
        for name in ["", "Unnamed: 0", "\"\""] {
            let body: String =
                rows(30).iter().enumerate().map(|(row, cells)| format!("{},{cells}\n", index(row))).collect();
            let (ran, sizes) = of_text(&format!("{name},a,b,c,y\n{body}"), &[]);
            assert_eq!(sizes, [30, 3, 3], "{}", ran.said);
        }
    }
    // A column without a name that says something is a feature, by its number; and an index that is asked for is one.
    let body: String = rows(30).iter().map(|cells| format!("{cells}\n")).collect();
    let (ran, sizes) = of_text(&format!(",b,c,y\n{body}"), &[]);
    assert_eq!((sizes, columns(&ran, "feature")), ([30, 3, 3], vec!["1".into(), "b".into(), "c".into()]));
    let (ran, _) = of_text(&format!("a,,c,y\n{body}"), &[]);
    assert_eq!(columns(&ran, "feature"), ["a", "2", "c"]);
}

#[test]
fn a_header_of_numbers() {
    let (ran, sizes) = explained(&case("header_of_numbers_and_a_word"), &["--data", "set.csv"]);
    assert_eq!((sizes, columns(&ran, "target")), ([60, 3, 3], vec!["y".to_string()]));
    let body: String = rows(30).iter().map(|cells| format!("{cells}\n")).collect();
    // Whether the line is a header, and whether there is a note: words over numbers are plainly a header.
    for (header, is_header, is_told) in [
        // pandas' own names, with and without its index' empty one.
        ("0,1,2,3", true, true),
        ("1990,1991,1992,1993", true, true),
        ("2019,2020,2021,y", true, true),
        ("400.5,402.5,404.5,y", true, true),
        ("150,4,setosa,y", true, true),
        // Names that begin like numbers with units.
        ("1stFlrSF,2ndFlrSF,3SsnPorch,y", true, false),
        ("10%,50%,90%,y", true, false),
        ("$1,5min,1 km,y", true, false),
        // Rows.
        ("0.3,1,2,0", false, false),
        ("5,3,-0.2,1", false, false),
    ] {
        let (ran, sizes) = of_text(&format!("{header}\n{body}"), &[]);
        assert_eq!(sizes[0], if is_header { 30 } else { 31 }, "{header}: {}", ran.said);
        assert_eq!(ran.said.contains("line 1 is taken for the columns' names"), is_told, "{header}: {}", ran.said);
        // The decision is in a run's start event, too, and the option that it names changes it.
        let other = if is_header { "--no-header" } else { "--header" };
        let (_, sizes) = of_text(&format!("{header}\n{body}"), &[other, "--label", "4"]);
        assert_eq!(sizes[0], if is_header { 31 } else { 30 }, "{header}");
    }
    let (_, sizes) = of_text("1,2,3,0\n2,3,4,1\n5,6,7,0\n", &[]);
    assert_eq!(sizes[0], 3, "rows that count");
}

#[test]
fn words_without_a_header() {
    let (ran, sizes) = explained(&case("words_without_header_twice_the_same"), &["--data", "set.data"]);
    assert_eq!(sizes[0], 96, "{}", ran.said);
    ran.says(&["line 1 is taken for a row", "--header"]);
    let (ran, sizes) = of_text("hue,form,kind\nred,round,apple\nyellow,long,banana\nred,long,banana\n", &[]);
    assert_eq!(sizes[0], 3);
    ran.says(&["line 1 is taken for the columns' names", "--no-header"]);
    refused("a,b,a\n1,2,0\n3,4,1\n", &[], &["both named \"a\"", "header = false"]);
}

/// The first line of scikit-learn's own iris.csv has counts, and names no column.
#[test]
fn a_first_line_that_counts_rows() {
    let body: String = rows(30).iter().map(|cells| format!("{cells}\n")).collect();
    for names in ["setosa,versicolor,virginica", "setosa,versicolor", "a,b,c,d,e"] {
        let (ran, sizes) = of_text(&format!("30,3,{names}\n{body}"), &[]);
        assert_eq!(sizes, [30, 3, 3], "{}", ran.said);
        ran.says(&["line 1 is left out"]);
    }
    // R's write.table has no name above the rows' names.
    let named: String = rows(30).iter().enumerate().map(|(row, cells)| format!("\"r{row}\",{cells}\n")).collect();
    let (ran, sizes) = of_text(&format!("a,b,c,y\n{named}"), &[]);
    assert_eq!(sizes, [30, 3, 3], "{}", ran.said);
    ran.says(&["it has one cell less than the rows"]);
    // If the first cells do not distinguish rows, the row has a cell too many.
    for body in ["m,0,0.1,0\nf,1,0.2,1\nm,2,0.3,0\n", "0.5,0.3,0,\n0.25,0.1,1,\n"] {
        refused(&format!("a,b,y\n{body}"), &[], &["line 2 has 4 cells, and those before it 3"]);
    }
}

#[test]
fn missing_values_in_words() {
    let missing = case("missing_as_words");
    let (_, sizes) = explained(&missing, &["--data", "set.csv", "--fill", "mean"]);
    assert_eq!(sizes[1..], [2, 2]);
    wgrad(&missing, &["explain", "--data", "set.csv"]).refused(&[
        "row 3 (line 5)",
        "column \"age\"",
        "\"N/A\"",
        "--fill",
    ]);
    let minus = case("missing_minus_nan");
    let (_, sizes) = explained(&minus, &["--data", "set.csv", "--fill", "mean"]);
    assert_eq!(sizes[1..], [2, 2]);
    wgrad(&minus, &["explain", "--data", "set.csv"]).refused(&["row 3 (line 5)", "\"-nan\"", "--fill"]);

    let region = case("na_is_a_word");
    wgrad(&region, &["explain", "--data", "set.csv"]).refused(&["column \"region\"", "\"NA\"", "--missing"]);
    let (_, sizes) = explained(&region, &["--data", "set.csv", "--missing", "?"]);
    assert_eq!(sizes[2], 2, "Namibia and the EU");

    for word in ["#N/A", "<NA>", "NULL", "null", "None", "n/a", "#NA", "1.#QNAN", "-NaN", "NAN"] {
        let text = format!("a,b,y\n1,2,0\n3,{word},1\n5,6,1\n");
        assert_eq!(of_text(&text, &["--fill", "zero"]).1, [3, 2, 2], "{word}");
        refused(&text, &[], &["row 1 (line 3)", "column \"b\"", word, "missing"]);
    }
    let text = "a,b,y\n1,2,0\n3,-,1\n5,n.a.,1\n";
    assert_eq!(of_text(text, &["--fill", "zero", "--missing", "-,n.a."]).1, [3, 2, 2]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.csv"), text).unwrap();
    std::fs::write(
        folder.path().join("run.toml"),
        "[data]\ntrain = \"set.csv\"\nfill = 0\nmissing = [\"-\", \"n.a.\"]\n",
    )
    .unwrap();
    assert_eq!(explained(folder.path(), &["--config", "run.toml"]).1, [3, 2, 2]);
    // A model knows what was missing in its table.
    assert_eq!(wgrad(folder.path(), &["train", "--config", "run.toml", "--epochs", "1"]).code, 0);
    std::fs::write(folder.path().join("new.csv"), "a,b\n-,1\n2,n.a.\n").unwrap();
    let ran = wgrad(folder.path(), &["predict", "--model", "model.safetensors", "--input", "new.csv"]);
    assert_eq!((ran.code, ran.events.len()), (0, 2), "{}", ran.said);
}

#[test]
fn numbers_that_are_written_otherwise() {
    let (ran, sizes) = explained(&case("decimal_comma"), &["--config", "run.toml"]);
    assert_eq!(sizes[1..], [3, 3]);
    ran.says(&["columns a, b, c", "decimal comma"]);
    let (ran, sizes) = explained(&case("decimal_comma_no_header"), &["--data", "set.csv"]);
    assert_eq!(sizes[1..], [3, 3], "{}", ran.said);
    ran.says(&["cells are between ';'", "--delimiter"]);
    let (ran, sizes) = explained(&case("numbers_with_units"), &["--data", "set.csv"]);
    assert_eq!(sizes[1..], [2, 2]);
    ran.says(&["column price", "without their $", "column share", "without their %"]);
}

/// Each notation of numbers is read as the numbers that it means.
#[test]
fn each_way_to_write_a_number() {
    let read = |cells: &[&str], options: &wgrad::ReadOptions| {
        let rows = cells.iter().enumerate().map(|(row, cell)| format!("\"{cell}\";{}\n", row % 2));
        let text: String = std::iter::once("size;y\n".into()).chain(rows).collect();
        let set = wgrad::Dataset::from_bytes(text.as_bytes(), options);
        set.map(|set| (0..set.rows()).map(|row| set.row(row).unwrap()).collect::<Vec<_>>())
    };
    let semicolons = wgrad::ReadOptions { delimiter: Some(';'), ..wgrad::ReadOptions::default() };
    for (cells, numbers) in [
        (["0,5", "-1,25", "3"], [0.5, -1.25, 3.0]),
        (["1.234,5", "7,25", "12"], [1234.5, 7.25, 12.0]),
        (["1,234.5", "7.25", "-12"], [1234.5, 7.25, -12.0]),
        (["1,234,567", "7", "12"], [1_234_567.0, 7.0, 12.0]),
        (["1 234,5", "7,25", "12"], [1234.5, 7.25, 12.0]),
        (["1'234.5", "7.25", "12"], [1234.5, 7.25, 12.0]),
        (["1\u{202f}234", "1\u{a0}235", "12"], [1234.0, 1235.0, 12.0]),
        (["\u{2212}5", "7.25", "\u{2212}0.5"], [-5.0, 7.25, -0.5]),
        (["$5", "-$7.25", "$1,200"], [5.0, -7.25, 1200.0]),
        (["€5", "€ 7", "€12.5"], [5.0, 7.0, 12.5]),
        (["5 €", "7,5 €", "12 €"], [5.0, 7.5, 12.0]),
        (["US$5", "US$7", "US$1.5"], [5.0, 7.0, 1.5]),
        (["5%", "7.5 %", "-1e1%"], [5.0, 7.5, -10.0]),
        (["5 kg", "7.5kg", ".5 kg"], [5.0, 7.5, 0.5]),
        (["0,062", "1,351", "1,533"], [0.062, 1.351, 1.533]),
    ] {
        let found = read(&cells, &semicolons).unwrap();
        assert_eq!(found, numbers.map(|number| vec![number]), "{cells:?}");
    }
    // An ambiguous notation has to be given as an option; cells between commas show nothing.
    let both = "size,y\n\"1,234\",0\n\"5,678\",1\n\"9,012\",0\n";
    for (options, first) in [(Some(','), Some(1.234)), (Some('.'), Some(1234.0)), (None, None)] {
        let set = wgrad::Dataset::from_bytes(
            both.as_bytes(),
            &wgrad::ReadOptions { decimal: options, ..wgrad::ReadOptions::default() },
        );
        match first {
            Some(first) => assert_eq!(set.unwrap().row(0).unwrap(), [first]),
            None => assert!(set.unwrap_err().to_string().contains("decimal")),
        }
    }
    // Another column decides.
    let other =
        wgrad::Dataset::from_bytes(b"a,b,y\n\"1,234\",0.5,0\n\"5,678\",1.5,1\n", &wgrad::ReadOptions::default())
            .unwrap();
    assert_eq!(other.row(0).unwrap(), [1234.0, 0.5]);
    let other = wgrad::Dataset::from_bytes(
        b"a,b,y\n\"1,234\",\"0,5\",0\n\"5,678\",\"1,5\",1\n",
        &wgrad::ReadOptions::default(),
    )
    .unwrap();
    assert_eq!(other.row(0).unwrap(), [1.234, 0.5]);
    // Codes and words are no numbers with units.
    for cells in [
        ["A1", "A2", "A3"],
        ["1st", "2nd", "3rd"],
        ["2024-01-02", "2024-01-03", "2024-02-01"],
        ["12:30", "12:45", "13:00"],
        ["$5", "6 €", "7"],
    ] {
        assert_eq!(read(&cells, &semicolons).unwrap()[0].len(), 3, "{cells:?}");
    }
}

#[test]
fn words_that_differ_in_every_row() {
    for (name, data, columns) in
        [("every_row_another_word", "set.csv", ["name", "day"]), ("apostrophes_as_quotes", "set.csv", ["'a'", "'b'"])]
    {
        let (ran, _) = explained(&case(name), &["--data", data]);
        for column in columns {
            ran.says(&[&format!("column \"{column}\" has"), "different words in", "--ignore"]);
        }
    }
    let words: String = (0..20).map(|row| format!("id{},{},{}\n", row % 11, row, row % 2)).collect();
    of_text(&format!("id,a,y\n{words}"), &[]).0.says(&["\"id\" has 11 different words in 20 rows"]);
    let words: String = (0..20).map(|row| format!("id{},{},{}\n", row % 10, row, row % 2)).collect();
    assert_eq!(of_text(&format!("id,a,y\n{words}"), &["--batch-size", "8"]).0.said, "");
}

#[test]
fn classes_keep_their_words() {
    let codes = case("classes_in_e_notation");
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let ran = wgrad(&codes, &["train", "--data", "codes.csv", "--epochs", "1", "--save", model.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    assert_eq!(inspected(folder.path())["classes"], serde_json::json!(["1e5", "2b7"]));
    let (ran, sizes) = explained(&codes, &["--data", "set.csv"]);
    assert_eq!(sizes[2], 2);
    ran.says(&["unusual notations"]);
    for (classes, expected) in [
        (["02139", "10001", "02139"], &["02139", "10001"][..]),
        (["01", "1", "01"], &["01", "1"]),
        (["1.0", "1", "2"], &["1", "2"]),
        (["+1", "1", "-1"], &["+1", "-1", "1"]),
        (["10", "9", "-3"], &["-3", "9", "10"]),
        (["12345678901234567890", "12345678901234567891", "7"], &["7", "12345678901234567890", "12345678901234567891"]),
    ] {
        let rows: String = classes.iter().map(|class| format!("1,{class}\n")).collect();
        let set =
            wgrad::Dataset::from_bytes(format!("a,y\n{rows}").as_bytes(), &wgrad::ReadOptions::default()).unwrap();
        assert_eq!(set.class_names(), expected);
    }
}

#[test]
fn a_category_as_a_float() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let model = model.to_str().unwrap();
    let case = case("category_as_a_float");
    let ran = wgrad(&case, &["train", "--config", "run.toml", "--epochs", "1", "--save", model]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let ran = wgrad(&case, &["predict", "--model", model, "--input", "new.csv"]);
    assert_eq!((ran.code, ran.events.len()), (0, 2), "{}", ran.said);
    // The other way round: a table of floats, and rows of whole numbers.
    let floats = "zip,a,y\n10.0,1,0\n20.0,2,1\n10.0,3,0\n";
    let options = wgrad::ReadOptions { categorical: vec!["zip".into()], ..wgrad::ReadOptions::default() };
    let set = wgrad::Dataset::from_bytes(floats.as_bytes(), &options).unwrap();
    assert_eq!(set.columns().unwrap().feature_names(), ["zip=10", "zip=20", "a"]);
    let like = wgrad::ReadOptions { columns: set.columns().cloned(), ..wgrad::ReadOptions::inputs() };
    assert_eq!(wgrad::Dataset::from_bytes(b"zip,a\n20,1\n", &like).unwrap().row(0).unwrap(), [0.0, 1.0, 1.0]);
}

#[test]
fn a_category_that_was_never_seen() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let model = model.to_str().unwrap();
    let case = case("category_never_seen");
    assert_eq!(wgrad(&case, &["train", "--data", "set.csv", "--epochs", "1", "--save", model]).code, 0);
    let predict = ["predict", "--model", model, "--input", "new.csv"];
    let ran = wgrad(&case, &[&predict[..], &["--unknown", "none"]].concat());
    assert_eq!((ran.code, ran.events.len()), (0, 3), "{}", ran.said);
    // With --json, the other rows are still answered.
    let ran = wgrad(&case, &predict);
    ran.refused(&["row 1 (line 3)", "column \"city\"", "\"Lima\"", "--unknown none"]);
    let kinds: Vec<&str> = ran.events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["prediction", "error", "prediction"]);
    assert_eq!((&ran.events[1]["row"], &ran.events[1]["line"]), (&1.into(), &3.into()));
    // Evaluation and validation.
    let labelled = tempfile::tempdir().unwrap();
    std::fs::write(labelled.path().join("new.csv"), "city,a,y\nRome,1,0\nLima,1,1\n").unwrap();
    let new = labelled.path().join("new.csv");
    let evaluate = ["evaluate", "--model", model, "--data", new.to_str().unwrap()];
    wgrad(&case, &evaluate).refused(&["\"Lima\"", "--unknown none"]);
    assert_eq!(wgrad(&case, &[&evaluate[..], &["--unknown", "none"]].concat()).code, 0);
    let validate =
        ["train", "--data", "set.csv", "--epochs", "1", "--save", model, "--validation", new.to_str().unwrap()];
    wgrad(&case, &validate).refused(&["\"Lima\"", "--unknown none"]);
    assert_eq!(wgrad(&case, &[&validate[..], &["--unknown", "none"]].concat()).code, 0);
}

#[test]
fn a_quote_that_is_never_closed() {
    wgrad(&case("quote_left_open"), &["explain", "--data", "set.csv"]).refused(&["line 42", "quote"]);
    refused("a,b,y\n1,2,\"cat\n3,4,dog\n", &[], &["line 2"]);
    refused("a,b,y\r\n\"1\r\n\",2,cat\r\n3,\"4,dog\r\n", &[], &["line 4"]);
    refused("\u{feff}\"a,b,y\n1,2,cat\n", &[], &["line 1"]);
    assert_eq!(of_text("a,b,y\n1,\"say \"\"no\"\"\",cat\n2,5\" wide,dog\n", &[]).1, [2, 3, 2], "a cell's own quotes");
}

/// Near 1.7e9, f32 has numbers 128 apart: without care, these rows would all be equal.
#[test]
fn seconds_since_1970() {
    let (ran, _folder) =
        train("seconds_since_1970", &["--data", "set.csv", "--scaling", "standardize", "--epochs", "100"]);
    let accuracy =
        ran.events.iter().rev().find(|event| event["event"] == "epoch").unwrap()["accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.95, "{accuracy}");
    assert_eq!(ran.said, "");
    let (ran, _folder) = train("seconds_since_1970", &["--data", "set.csv", "--epochs", "1"]);
    ran.says(&["column \"t\"", "more digits than f32", "--scaling standardize"]);
}

#[test]
fn targets_that_are_no_classes() {
    let (ran, sizes) = explained(&case("stray_word_in_target"), &["--data", "set.csv"]);
    assert_eq!(sizes[2], 3);
    ran.says(&["\"l\" in row 20 (line 22)", "63 of 64"]);
    let (ran, _folder) = train("whole_numbers_to_predict", &["--data", "set.csv", "--epochs", "1"]);
    ran.says(&["classes in 120 rows", "mse"]);
    assert!(ran.event("start")["notes"][0].as_str().unwrap().contains("mse"));
    refused("a,y\n1,0.5\n2,1.5\n", &[], &["mse"]);
}

/// Plain tables are read as they always were.
#[test]
fn tables_that_are_plain() {
    let (ran, sizes) = explained(&case("ok_bom_and_quotes"), &["--data", "set.csv", "--label", "y"]);
    assert_eq!((sizes, columns(&ran, "feature")), ([64, 2, 2], vec!["a".to_string(), "b".into()]));
    assert_eq!(explained(&case("ok_carriage_returns_alone"), &["--data", "set.csv"]).1, [64, 2, 2]);
    assert_eq!(explained(&case("ok_classes_as_floats"), &["--data", "set.csv"]).1, [64, 2, 2]);
    assert_eq!(explained(&case("ok_negative_classes"), &["--data", "set.csv"]).1, [64, 2, 2]);
    for file in ["empty.csv", "header.csv", "blank.csv"] {
        wgrad(&case("ok_nothing_in_it"), &["explain", "--data", file]).refused(&["no rows"]);
    }
    let (_, folder) = train("ok_classes_as_floats", &["--data", "set.csv", "--epochs", "1"]);
    assert_eq!(inspected(folder.path())["classes"], serde_json::json!(["1", "2"]));
    let (_, folder) = train("ok_negative_classes", &["--data", "set.csv", "--epochs", "1"]);
    assert_eq!(inspected(folder.path())["classes"], serde_json::json!(["-1", "1"]));
}

#[test]
fn columns_in_another_order() {
    let (ran, folder) = train("ok_columns_in_another_order", &["--data", "set.csv", "--epochs", "5"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let model = folder.path().join("model.safetensors");
    let loss = |data: &str| {
        let ran = wgrad(
            &case("ok_columns_in_another_order"),
            &["evaluate", "--model", model.to_str().unwrap(), "--data", data],
        );
        ran.event("evaluation")["loss"].as_f64().unwrap()
    };
    assert_eq!(loss("set.csv"), loss("other.csv"));
}

#[test]
fn a_constant_column() {
    for scaling in ["standardize", "min-max"] {
        let (ran, _folder) =
            train("ok_constant_column", &["--data", "set.csv", "--scaling", scaling, "--epochs", "20"]);
        assert_eq!(ran.code, 0, "{}", ran.said);
        assert!(ran.event("end")["loss"].as_f64().unwrap().is_finite());
    }
}
