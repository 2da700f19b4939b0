//! Ends of graphs: which output is the model's, and the names of its classes.

use wgrad::{Loss, Model};

use super::graph::{first, int, integers, ints, learned, model, op, plain, refused, relu, rows, same, words};
use super::{Proto, read};

/// Finds an end of a graph that is read as another, and outputs of which the wrong one is read, or one is read without a note.
#[test]
fn the_output_that_is_the_model_is_read_and_named() {
    let to = |output: &str| op("Gemm", &["a", "w2", "b2"], &[output], &[int("transB", 1)]);
    let base = || vec![first(), relu(), to("z")];
    let with = |more: Vec<Proto>, outputs: &[&str], opset| {
        model(&base().into_iter().chain(more).collect::<Vec<_>>(), &[], rows(), outputs, opset)
    };
    let softmax = |from: &str, to: &str| op("Softmax", &[from], &[to], &[int("axis", 1)]);
    same("LogSoftmax", &with(vec![op("LogSoftmax", &["z"], &["y"], &[int("axis", -1)])], &["y"], 17));
    same("LogSoftmax of opset 11", &with(vec![op("LogSoftmax", &["z"], &["y"], &[])], &["y"], 11));
    same("Softmax and Log", &with(vec![softmax("z", "p"), op("Log", &["p"], &["y"], &[])], &["y"], 17));
    same("Softmax and a Cast", &with(vec![softmax("z", "p"), op("Cast", &["p"], &["y"], &[int("to", 1)])], &["y"], 17));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let noted = |bytes: Vec<u8>| {
        std::fs::write(&path, bytes).unwrap();
        Model::read_onnx_noted(&path, &[]).unwrap()
    };
    for (outputs, read) in
        [(["z", "p"], "p"), (["p", "z"], "p"), (["a", "z"], "z"), (["z", "h"], "z"), (["l", "z"], "z")]
    {
        let nodes = vec![softmax("z", "p"), op("ArgMax", &["z"], &["l"], &[int("axis", 1)])];
        let (model, notes) = noted(with(nodes, &outputs, 17));
        assert_eq!(model, plain(), "{outputs:?}");
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        for word in [outputs[0], outputs[1], &format!("\"{read}\" is read")] {
            assert!(note.contains(word), "no {word} in {note}");
        }
    }
    assert!(noted(with(vec![softmax("z", "y")], &["y"], 17)).1.is_empty());
    // Of one output, the softmax is 1: it is no class' probability.
    let one = |more: Vec<Proto>| {
        let nodes = [first(), relu(), op("Gemm", &["a", "zeros", "zero"], &["z"], &[int("transB", 1)])];
        noted(model(&nodes.into_iter().chain(more).collect::<Vec<_>>(), &[], rows(), &["y"], 17))
    };
    let (number, notes) = one(vec![op("Squeeze", &["z"], &["y"], &[])]);
    assert_eq!(number.loss, Loss::MeanSquaredError);
    assert!(notes[0].contains("mse") && notes[0].contains("--loss"), "{notes:?}");
    let (yes, notes) = one(vec![op("Sigmoid", &["z"], &["y"], &[])]);
    assert_eq!((yes.loss, notes.len()), (Loss::sigmoid_cross_entropy(), 0));

    for (what, more, outputs, words) in [
        ("two heads", vec![to("z2")], &["z", "z2"][..], &["2 outputs", "\"z\" and \"z2\"", "extract_model"][..]),
        ("two losses", vec![softmax("z", "p"), op("Sigmoid", &["z"], &["q"], &[])], &["p", "q"], &["\"p\"", "\"q\""]),
        (
            "no model among them",
            vec![op("Conv", &["x"], &["c"], &[])],
            &["a", "c"],
            &["2 outputs", "\"a\" and \"c\"", "none", "relu"],
        ),
        ("an output that is not there", vec![], &["w"], &["\"w\""]),
        (
            "LogSoftmax over the rows",
            vec![op("LogSoftmax", &["z"], &["y"], &[int("axis", 0)])],
            &["y"],
            &["node 3, LogSoftmax"],
        ),
        ("no output", vec![], &[], &["no output"]),
        ("very many", vec![], &["z"; 100], &["100 outputs", "64"]),
    ] {
        refused(what, &with(more, outputs, 17), words);
    }
}

/// Finds classes whose names get lost, or that change places.
#[test]
fn names_of_classes_come_from_the_graph() {
    let to = |output: &str| op("Gemm", &["a", "w2", "b2"], &[output], &[int("transB", 1)]);
    let softmax = op("Softmax", &["z"], &["p"], &[int("axis", 1)]);
    let zip = |names: Proto| learned("ZipMap", &["p"], "m", &[names]);
    let read_with = |names: Proto| {
        let nodes = [first(), relu(), to("z"), Proto(softmax.0.clone()), op("ArgMax", &["p"], &["l"], &[]), zip(names)];
        read(&model(&nodes, &[], rows(), &["l", "m"], 17)).unwrap()
    };
    let named = read_with(words("classlabels_strings", &["dog", "cat"]));
    assert_eq!((named.classes.as_slice(), &named.weights), (&["dog".to_string(), "cat".into()][..], &plain().weights));
    assert_eq!(read_with(ints("classlabels_int64s", &[7, -3])).classes, ["7", "-3"]);
    // Names that cannot be theirs are no names.
    assert!(read_with(words("classlabels_strings", &["a", "b", "c"])).classes.is_empty());
    assert!(read_with(words("classlabels_strings", &["a", "a"])).classes.is_empty());

    // One unit, whose sigmoid is the probability of the second class.
    let nodes = |no: &str, yes: &str| {
        [
            first(),
            relu(),
            op("Gemm", &["a", "zeros", "zero"], &["z"], &[int("transB", 1)]),
            op("Sigmoid", &["z"], &["yes"], &[]),
            op("Sub", &["one", "yes"], &["no"], &[]),
            op("Concat", &[no, yes], &["p"], &[int("axis", 1)]),
            op("ArgMax", &["p"], &["l"], &[int("axis", 1)]),
            learned("ArrayFeatureExtractor", &["names", "l"], "label", &[]),
        ]
    };
    let names = || [integers("names", &[2], &[10, 20])];
    let both = read(&model(&nodes("no", "yes"), &names(), rows(), &["label", "p"], 17)).unwrap();
    assert_eq!((both.loss, both.classes), (Loss::sigmoid_cross_entropy(), vec!["10".into(), "20".into()]));
    for (no, yes) in [("yes", "no"), ("yes", "yes")] {
        refused(
            "classes the other way round",
            &model(&nodes(no, yes), &names(), rows(), &["label", "p"], 17),
            &["Concat"],
        );
    }
}
