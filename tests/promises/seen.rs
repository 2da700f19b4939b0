//! What a run shows of a network of images: in its report the filters and what every convolution makes of an image, in event files the histograms of all weights, in
//! `explain` the layers with their memory.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use wgrad::{Model, ParameterKind, Predictor};

use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::support::{Random, all_between, gpu, picture, succeed, wgrad};

const SIDES: [usize; 3] = [8, 6, 3];
const PIXELS: usize = 8 * 6 * 3;

/// A first parameter that is no convolution's, a residual's body and a shortcut, a pool behind a convolution, a copy's last layer, more channels than are shown, no
/// convolution at the end.
const LAYERS: &str = "[model]\nlayers = [{ batch_norm = true }, { conv = 5, kernel = [3, 2], activation = 'relu' },
    { residual = [{ conv = 5, kernel = 3, padding = 'same' }], shortcut = [{ conv = 5, kernel = 1 }], activation = 'tanh' },
    { repeat = 2, layers = [{ conv = 4, kernel = 3, padding = 'same', activation = 'silu' }] },
    { conv = 70, kernel = 1 }, { max_pool = 2, activation = 'relu' }, { flatten = true }, { dense = 3 }]
[train]\nbatch_size = 8\nsteps = 6\n";
/// The convolutions of these, as `explain` has them.
const CONVOLUTIONS: [(&str, &str, [usize; 3]); 6] = [
    ("layer 2", "conv 5, kernel 3×2, relu", [6, 5, 5]),
    ("layer 3's body, layer 1", "conv 5, kernel 3, padding same", [6, 5, 5]),
    ("layer 3's shortcut, layer 1", "conv 5, kernel 1", [6, 5, 5]),
    ("layer 4's copy 1, layer 1", "conv 4, kernel 3, padding same, silu", [6, 5, 4]),
    ("layer 4's copy 2, layer 1", "conv 4, kernel 3, padding same, silu", [6, 5, 4]),
    ("layer 5", "conv 70, kernel 1", [6, 5, 70]),
];

fn images(path: &Path, seed: u64, rows: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let pixels: Vec<u8> = (0..rows * PIXELS).map(|_| random.bits() as u8).collect();
    let labels: Vec<i64> = (0..rows).map(|_| random.below(3) as i64).collect();
    let [height, width, channels] = SIDES;
    let tensors = [
        ("x", TensorView::new(Dtype::U8, vec![rows, height, width, channels], &pixels).unwrap()),
        ("y", TensorView::new(Dtype::I64, vec![rows], bytemuck::cast_slice(&labels)).unwrap()),
    ];
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
    pixels
}

/// A folder with run.toml and two sets, and the rows of the second.
fn folder() -> (tempfile::TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("run.toml"), LAYERS).unwrap();
    images(&folder.path().join("images.safetensors"), 1, 24);
    let rows = images(&folder.path().join("others.safetensors"), 2, 9);
    (folder, rows)
}

const TRAIN: [&str; 7] =
    ["train", "--config", "run.toml", "--data", "images.safetensors", "--validation", "others.safetensors"];

/// Finds an image of another row, a convolution that is left out, one that has another's name, shape or values, a channel in another's tile, and filters of what is no
/// convolution: against the f64 interpreter with the weights of the model file.
#[test]
fn the_report_shows_filters_and_what_convolutions_make_of_an_image() {
    let (folder, rows) = folder();
    let folder = folder.path();
    succeed(folder, &[&TRAIN[..], &["--out", "out", "--report-image", "7"]].concat());
    let page = std::fs::read_to_string(folder.join("out/report.html")).unwrap();
    let section = page.split("id=\"convolutions\"").nth(1).unwrap().split("</section>").next().unwrap();
    let pictures = all_between(section, "<img src=\"", "\"");
    assert_eq!(pictures.len(), 1 + CONVOLUTIONS.len(), "{section}");
    let own = &rows[7 * PIXELS..8 * PIXELS];
    assert!(section.contains("alt=\"validation row 7\""));
    let (width, height, bytes) = picture(pictures[0]);
    assert!([height, width] == SIDES[..2] && bytes == own, "another image");

    let model = Model::read(folder.join("out/model.safetensors")).unwrap();
    let (network, weights) = (model.network.clone(), model.weights.clone());
    let x: Vec<f64> = own.iter().map(|&byte| f64::from(byte) / 255.0).collect();
    let twin = Interpreter::evaluating(&network);
    let values = twin.values(&layers(&weights), &x);
    let made = all_between(section, "<div class=\"answer\">", "</p>");
    for (at, (location, words, [height, width, channels])) in CONVOLUTIONS.into_iter().enumerate() {
        // Of a layer's ops, the last makes its output.
        let graph = twin.graph();
        let mut of_layer = graph.nodes().filter(|(id, node)| {
            graph.layer(*id).is_some_and(|layer| graph.layers()[layer] == location) && !node.inputs.is_empty()
        });
        let y = values.of(of_layer.next_back().unwrap().1.result());
        assert_eq!(y.len(), height * width * channels, "{location}");
        let (least, most) = y.iter().fold((f64::MAX, f64::MIN), |(a, b), &y| (a.min(y), b.max(y)));
        let said = made[at + 1].replace("&#39;", "'");
        for words in [format!("<b>{location}</b>: {words}"), format!("{height}×{width}×{channels}, from ")] {
            assert!(said.contains(&words), "no {words} in {said}");
        }
        assert_eq!(said.contains("the first 64 of 70 channels"), channels == 70);
        let shown = channels.min(64);
        let across = (shown as f64).sqrt().ceil() as usize;
        let (wide, high, bytes) = picture(pictures[at + 1]);
        assert_eq!((wide, high), (across * (width + 1) - 1, shown.div_ceil(across) * (height + 1) - 1), "{location}");
        for channel in 0..shown {
            for pixel in 0..height * width {
                let left = channel % across * (width + 1) + pixel % width;
                let top = channel / across * (height + 1) + pixel / width;
                let found = &bytes[4 * (top * wide + left)..][..4];
                let grey = 255.0 * (y[pixel * channels + channel] - least) / (most - least);
                let is_near = found[..3].iter().all(|&byte| (f64::from(byte) - grey).abs() < 0.51);
                assert!(is_near && found[3] == 255, "{location}, channel {channel}: {found:?}, and expected {grey}");
            }
        }
    }
    // The public way to the same numbers.
    let predictor = Predictor::from_model(gpu(), model).unwrap();
    let outputs = predictor.activations(own).unwrap();
    let convolutions: Vec<&str> =
        outputs.iter().filter(|own| own.kind == "conv").map(|own| &own.location[..]).collect();
    assert_eq!(convolutions, CONVOLUTIONS.map(|(location, _, _)| location));

    // Filters of 3 × 2 taps and three channels: the one with the largest weights is the first.
    let section = page.split("id=\"weights\"").nth(1).unwrap().split("</section>").next().unwrap();
    let at =
        network.named_parameters().iter().position(|own| matches!(own.kind, ParameterKind::Kernel { .. })).unwrap();
    assert!(at > 0 && section.contains("weights of 5 filters"), "{section}");
    let (wide, high, bytes) = picture(all_between(section, "<img src=\"", "\"")[0]);
    assert_eq!((wide, high), (3 * 3 - 1, 2 * 4 - 1));
    let norm = |filter: &&[f32]| filter.iter().map(|w| f64::from(w * w)).sum::<f64>();
    let filters = weights.layers[at].weight.chunks_exact(18);
    let first = filters.max_by(|a, b| norm(a).total_cmp(&norm(b))).unwrap();
    let largest = first.iter().fold(0.0f32, |largest, w| largest.max(w.abs()));
    for tap in 0..6 {
        let found = &bytes[4 * (tap / 2 * wide + tap % 2)..][..3];
        for (channel, &byte) in found.iter().enumerate() {
            let expected = 127.5 + 127.5 * first[6 * channel + tap] / largest;
            assert!((f32::from(byte) - expected).abs() <= 1.0, "tap {tap}: {found:?}");
        }
    }
}

/// Finds a row that is taken for another where there is no such row, and an option that does nothing without a word. Nothing is trained.
#[test]
fn a_report_image_that_cannot_be_shown_is_refused() {
    let (folder, _) = folder();
    let folder = folder.path();
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = wgrad(folder, arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{message}");
        for word in words {
            assert!(message.contains(word), "no \"{word}\" in {message}");
        }
        assert!(!folder.join("model.safetensors").exists() && !folder.join("out/model.safetensors").exists());
    };
    let train = |more: &[&'static str]| [&TRAIN[..], more].concat();
    let option = "--report-image 9";
    refused(&train(&["--out", "out", "--report-image", "9"]), &[option, "9 validation rows"]);
    refused(&train(&["--report-image", "3"]), &["--report-image 3", "--out DIR"]);
    refused(&train(&["--out", "out", "--report-image", "-1"]), &["--report-image", "-1"]);
    let none = ["train", "--config", "run.toml", "--data", "images.safetensors", "--validation", "none"];
    refused(&[&none[..], &["--out", "out", "--report-image", "24"]].concat(), &["24 training rows"]);
    let dense = ["train", "--data", "images.safetensors", "--hidden", "4", "--out", "out", "--report-image", "0"];
    refused(&dense, &["--report-image 0", "144-4-3", "convolutions"]);
    refused(&["explain", "--report-image", "0"], &["--report-image is for wgrad train"]);
    // Without validation, a row of the training set; without the option, the first.
    succeed(folder, &[&none[..], &["--out", "out", "--report-image", "23"]].concat());
    let page = |out: &str| std::fs::read_to_string(folder.join(out).join("report.html")).unwrap();
    assert!(page("out").contains("alt=\"training row 23\""));
    succeed(folder, &train(&["--out", "first"]));
    assert!(page("first").contains("alt=\"validation row 0\""));
}

/// The fields of a message of protocol buffers: numbers as their eight bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn number(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 127) << shift;
            shift += 7;
            if byte < 128 {
                return value;
            }
        }
    }
    let mut found = vec![];
    while !bytes.is_empty() {
        let key = number(&mut bytes);
        let own = match key & 7 {
            0 => number(&mut bytes).to_le_bytes().to_vec(),
            kind => {
                let length = [0, 8, number_if(kind == 2, &mut bytes, number), 0, 0, 4][kind as usize];
                let (own, rest) = bytes.split_at(length);
                bytes = rest;
                own.to_vec()
            }
        };
        found.push((key >> 3, own));
    }
    found
}

fn number_if(is_there: bool, bytes: &mut &[u8], number: impl Fn(&mut &[u8]) -> u64) -> usize {
    if is_there { number(bytes) as usize } else { 0 }
}

/// The last histogram of each name, as its least, its largest, their count and their sum; and the names of images.
fn board(folder: &Path) -> (BTreeMap<String, [f64; 4]>, Vec<String>) {
    let (mut histograms, mut pictures) = (BTreeMap::new(), vec![]);
    for file in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let event = fields(&rest[12..12 + length]);
            rest = &rest[16 + length..];
            let values = event.iter().filter(|(key, _)| *key == 5).flat_map(|(_, summary)| fields(summary));
            for (_, value) in values.filter(|(key, _)| *key == 1) {
                let value = fields(&value);
                let of = |key: u64| value.iter().find(|(own, _)| *own == key).map(|(_, bytes)| bytes.clone());
                let name = String::from_utf8(of(1).unwrap()).unwrap();
                if let Some(histogram) = of(5) {
                    let mut numbers = [0.0; 4];
                    for (key, bytes) in fields(&histogram) {
                        if let 1..=4 = key {
                            numbers[key as usize - 1] = f64::from_le_bytes(bytes.try_into().unwrap());
                        }
                    }
                    histograms.insert(name, numbers);
                } else if of(4).is_some() {
                    pictures.push(name);
                }
            }
        }
    }
    (histograms, pictures)
}

/// Finds a tensor of the model that has no histogram, a norm's or running statistics among them; one that has another's values; a gradient that nothing has; and filters
/// that are no convolution's.
#[test]
fn event_files_have_histograms_of_all_weights() {
    let (folder, _) = folder();
    let folder = folder.path();
    succeed(folder, &[&TRAIN[..], &["--tensorboard", "board", "--save", "m.safetensors"]].concat());
    let bytes = std::fs::read(folder.join("m.safetensors")).unwrap();
    let model = SafeTensors::deserialize(&bytes).unwrap();
    let (histograms, pictures) = board(&folder.join("board"));
    let mut names = vec![];
    for (name, tensor) in model.tensors().into_iter().filter(|(_, tensor)| tensor.dtype() == Dtype::F32) {
        let values: Vec<f64> =
            bytemuck::pod_collect_to_vec::<u8, f32>(tensor.data()).into_iter().map(f64::from).collect();
        let found = histograms.get(&format!("weights/{name}")).unwrap_or_else(|| panic!("no histogram of {name}"));
        let fold = |of: fn(f64, f64) -> f64| values.iter().copied().reduce(of).unwrap();
        let expected = [fold(f64::min), fold(f64::max), values.len() as f64, values.iter().sum()];
        let is_near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0));
        assert!(is_near, "{name}: {found:?}, and expected {expected:?}");
        names.push(format!("weights/{name}"));
        if !name.contains("running") {
            names.push(format!("gradients/{name}"));
        }
    }
    names.sort();
    assert_eq!(histograms.keys().cloned().collect::<Vec<_>>(), names);
    assert!(names.iter().any(|name| name.ends_with("running_var")), "{names:?}");
    assert!(!pictures.is_empty() && pictures.iter().all(|name| name == "filters/1.weight"), "{pictures:?}");
}

/// Finds a layer's shape, weights, operations or memory that are not those that follow from its words, and a total that is not that of the plan's buffers: by sums that
/// are made here.
#[test]
fn explain_counts_the_memory_of_layers_and_of_the_step() {
    let (folder, _) = folder();
    let folder = folder.path();
    let out = succeed(folder, &[&["explain", "--json"], &TRAIN[1..]].concat());
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_kind = |kind: &str| -> Vec<&Value> { events.iter().filter(|event| event["event"] == kind).collect() };
    let number = |event: &Value, key: &str| event[key].as_u64().unwrap_or_else(|| panic!("no {key} in {event}"));

    // Height, width, channels out; values of a patch and the channels of it that lie in memory; no more of what is no convolution.
    let quads = |values: u64| 4 * values.div_ceil(4);
    let dense_bytes = |rows: u64, outputs: u64| 4 * quads(rows + 1) * quads(outputs);
    let conv = |patch: u64, rows: u64, outputs: u64| {
        (patch * outputs + outputs, 2 * 30 * (patch + 1) * outputs, dense_bytes(rows, outputs))
    };
    let expected: [(u64, u64, u64, [u64; 3]); 12] = {
        let with = |(weights, flops, bytes), shape| (weights, flops, bytes, shape);
        [
            // γ and β, and the running statistics: a matrix of one input each.
            (6, 2 * 144, 2 * dense_bytes(1, 3), [8, 6, 3]),
            with(conv(18, 18, 5), [6, 5, 5]),
            (0, 150, 0, [6, 5, 5]),
            with(conv(45, 72, 5), [6, 5, 5]),
            with(conv(5, 8, 5), [6, 5, 5]),
            (0, 0, 0, [6, 5, 4]),
            with(conv(45, 72, 4), [6, 5, 4]),
            with(conv(36, 36, 4), [6, 5, 4]),
            with(conv(4, 4, 70), [6, 5, 70]),
            (0, 4 * 6 * 70, 0, [3, 2, 70]),
            (0, 0, 0, [420, 0, 0]),
            (421 * 3, 2 * 421 * 3, dense_bytes(6 * 72, 3), [3, 0, 0]),
        ]
    };
    let lines = of_kind("layer");
    assert_eq!(lines.len(), expected.len());
    // The buffers with outputs, by what they take.
    let is_output = |own: &&&Value| own["name"].as_str().unwrap().starts_with("activations.");
    let mut buffers: Vec<u64> = of_kind("buffer").iter().filter(is_output).map(|own| number(own, "bytes")).collect();
    for (line, (weights, flops, bytes, shape)) in lines.iter().zip(expected) {
        let found = ["weights", "flops", "weight_bytes"].map(|key| number(line, key));
        assert_eq!(found, [weights, flops, bytes], "{line}");
        let sides: Vec<u64> = shape.into_iter().filter(|&side| side > 0).collect();
        assert_eq!(line["shape"], serde_json::json!(sides), "{line}");
        // Eight rows: an image's pixels in whole quads, features with a 1 behind; what is flattened lies as the image that it was.
        let values = match shape {
            [420, 0, 0] => 6 * 72,
            [features, 0, 0] => 4 * (features / 4 + 1),
            [height, width, channels] => height * width * quads(channels),
        };
        // What passes its input on, or what a kernel takes in, is in no buffer: every other output is in one of its size.
        let stored = number(line, "output_bytes");
        let is_passed_on = line["kind"] == "flatten" || line["kind"] == "repeat";
        assert!(stored == 0 || !is_passed_on && stored == 8 * 4 * values, "{line}");
        if stored > 0 {
            let at = buffers.iter().position(|&bytes| bytes == stored).unwrap_or_else(|| panic!("no buffer: {line}"));
            buffers.swap_remove(at);
        }
    }
    assert_eq!(buffers, [0; 0], "outputs that no layer says");

    let [network] = of_kind("network")[..] else { panic!("{out}") };
    let mut memories: BTreeMap<u64, u64> = BTreeMap::new();
    for buffer in of_kind("buffer") {
        let bytes = memories.entry(number(buffer, "memory")).or_default();
        *bytes = number(buffer, "bytes").max(*bytes);
        // The weights that the layers say are those of the plan.
        assert!(number(buffer, "bytes") > 0);
    }
    assert_eq!(number(network, "memory_bytes"), memories.values().sum::<u64>());
    assert_eq!((number(network, "batch"), number(network, "weights")), (8, expected.iter().map(|own| own.0).sum()));
    let of_weights = of_kind("buffer").into_iter().filter(|own| own["name"].as_str().unwrap().starts_with("weights."));
    let planned: u64 = of_weights.map(|own| number(own, "bytes")).sum();
    assert_eq!(lines.iter().map(|line| number(line, "weight_bytes")).sum::<u64>(), planned);

    let text = succeed(folder, &[&["explain"], &TRAIN[1..]].concat());
    let total = format!("{:.1} KiB of device memory", number(network, "memory_bytes") as f64 / 1024.0);
    assert!(text.contains(&total) && text.contains("outputs of 8 rows"), "no {total} in {text}");
}
