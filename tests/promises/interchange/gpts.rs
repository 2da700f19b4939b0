//! State dicts of GPTs by the names that nanoGPT, minGPT and Hugging Face's GPT-2 give: `make_gpts.py` beside the files wrote them, and the logits that PyTorch
//! computes in float64.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use wgrad::{Activation, AttentionLayer, DenseLayer, Error, Loss, Model, Network};

use super::{folder, logits};
use crate::bad_input::tensors;
use crate::support::{assert_close, bits, refused, succeed};

fn path(name: &str) -> PathBuf {
    folder().join("gpts").join(format!("{name}.safetensors"))
}

fn read(name: &str, heads: usize, activation: Option<Activation>) -> (Model, Vec<String>) {
    Model::read_gpt(path(name), heads, activation).unwrap_or_else(|error| panic!("{error}"))
}

/// Finds a matrix that is transposed or not, queries where keys are, heads that are split otherwise, the wrong GELU, a block that is left out, a last layer that
/// is tied where it has weights of its own, or not tied where it has none.
#[test]
fn gpts_of_other_programs_give_the_logits_they_gave_there() {
    let expected = std::fs::read(path("expected")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let f32s = |name: &str| crate::support::numbers(&expected, name);
    let tokens = |name: &str| -> Vec<f64> {
        let values = expected.tensor(name).unwrap().data().chunks_exact(8);
        values.map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap()) as f64).collect()
    };
    let approximate = Some(Activation::GeluTanh);
    for (name, heads, activation, notes) in [
        ("nanogpt", 3, None, &["gelu-tanh"][..]),
        ("nanogpt_no_bias", 2, None, &["gelu-tanh", "no biases"]),
        ("mingpt", 1, approximate, &["lm_head.weight has other values than transformer.wte.weight"]),
        ("gpt2", 2, None, &["gelu-tanh, GPT-2's", "transposed"]),
    ] {
        let (model, said) = read(name, heads, activation);
        assert_close(name, &logits(&model, &tokens(&format!("{name}.x"))), &f32s(name), 1e-6);
        assert_eq!(said.len(), notes.len(), "{name}: {said:?}");
        assert!(said.iter().zip(notes).all(|(said, note)| said.contains(note)), "{name}: {said:?}");
    }
    let block = |block: Network| {
        block
            .residual(|body| body.layer_norm().with(AttentionLayer::new(3).causal().into()))
            .residual(|body| body.layer_norm().dense(48, Activation::Gelu).dense(12, Activation::Identity))
    };
    let nanogpt = Network::tokens(6).embedding(12, 11).positions(6).repeat(2, block).layer_norm();
    assert_eq!(read("nanogpt", 3, None).0.network, nanogpt.with(DenseLayer::tied(11).into()));
}

/// Names, shapes and values.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A file with some of its tensors changed, read as a GPT's of three heads.
fn changed(change: impl FnOnce(&mut Tensors)) -> Result<Model, Error> {
    let bytes = std::fs::read(path("nanogpt")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read = |(name, tensor): (String, TensorView<'_>)| {
        (name.replace("_orig_mod.", ""), tensor.shape().to_vec(), bytemuck::pod_collect_to_vec(tensor.data()))
    };
    let mut all: Tensors = file.tensors().into_iter().map(read).collect();
    change(&mut all);
    let entries: Vec<(&str, &[usize], &[f32])> =
        all.iter().map(|(name, shape, values)| (&name[..], &shape[..], &values[..])).collect();
    Model::from_gpt(Path::new("net.safetensors"), &tensors(&entries, None), 3, None).map(|(model, _)| model)
}

/// Puts a tensor there, with the same number everywhere.
fn set(all: &mut Tensors, name: &str, shape: &[usize], value: f32) {
    all.retain(|(own, ..)| own != name);
    all.push((name.into(), shape.into(), vec![value; shape.iter().product()]));
}

/// Finds a GPT that is read although a tensor is missing, left over or of another shape, and a message that does not name it as the file does.
#[test]
fn gpts_that_do_not_fit_are_refused_by_tensor() {
    let without = |name: &'static str| changed(move |all| all.retain(|(own, ..)| own != name));
    let with = |name: &'static str, shape: &[usize], value: f32| changed(|all| set(all, name, shape, value));
    // Tied weights are there once or twice.
    let tied = read("nanogpt", 3, None).0;
    assert_eq!(bits(&changed(|_| ()).unwrap().weights), bits(&tied.weights));
    assert_eq!(without("lm_head.weight").unwrap(), tied);
    assert_eq!(without("transformer.wte.weight").unwrap(), tied);
    for (words, read) in [
        (&["no tensor transformer.h.1.mlp.c_proj.weight", "copy 2"][..], without("transformer.h.1.mlp.c_proj.weight")),
        (&["no tensor transformer.h.1.ln_2.bias"], without("transformer.h.1.ln_2.bias")),
        (&["no tensor transformer.wpe.weight"], without("transformer.wpe.weight")),
        // A block less, of which the rest is left over.
        (&["a tensor transformer.h.1.attn.c_attn.bias, which no layer"], without("transformer.h.1.attn.c_attn.weight")),
        (&["a tensor transformer.h.0.attn.rotary, which no"], with("transformer.h.0.attn.rotary", &[4], 1.0)),
        (&["transformer.ln_f.weight holds NaN"], with("transformer.ln_f.weight", &[12], f32::NAN)),
        (&["transformer.ln_f.bias holds inf"], with("transformer.ln_f.bias", &[12], f32::INFINITY)),
        (&["c_attn.weight has the shape [12]", "matrix"], with("transformer.h.0.attn.c_attn.weight", &[12], 1.0)),
        (
            &["c_attn.weight has the shape [12, 12]", "[3 · width, width]"],
            with("transformer.h.0.attn.c_attn.weight", &[12, 12], 1.0),
        ),
        (&["width of 0"], with("transformer.h.0.attn.c_attn.weight", &[0, 0], 1.0)),
        (
            &["transformer.h.1.mlp.c_fc.weight has the shape [12, 48]", "[48, 12]"],
            with("transformer.h.1.mlp.c_fc.weight", &[12, 48], 1.0),
        ),
    ] {
        refused(words, read);
    }
    refused(&["5 heads", "width of 12"], Model::read_gpt(path("nanogpt"), 5, None));
    refused(&["0 heads", "width of 12"], Model::read_gpt(path("nanogpt"), 0, None));
    refused(&["of a GPT", "--heads 12", "Model::read_gpt"], Model::read_state_dict(path("nanogpt"), None));
    let dense = tensors(&[("0.weight", &[1, 1], &[1.0])], None);
    refused(&["no tensor", "nanoGPT's"], Model::from_gpt(Path::new("net.safetensors"), &dense, 3, None));
}

/// By the program: the note, the error without an option, and a model that is one.
#[test]
fn gpts_are_imported_with_their_number_of_heads() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(path("gpt2"), folder.path().join("gpt2.safetensors")).unwrap();
    let said = succeed(folder.path(), &["import", "gpt2.safetensors", "m.safetensors", "--heads", "2"]);
    assert!(said.contains("transposed") && said.contains("no vocabulary") && !said.contains("table"), "{said}");
    let model = Model::read(folder.path().join("m.safetensors")).unwrap();
    assert_eq!((&model, &model.loss), (&read("gpt2", 2, None).0, &Loss::default()));
    for (arguments, words) in [
        (&["import", "gpt2.safetensors", "out.safetensors"][..], &["--heads 12"][..]),
        (&["import", "m.safetensors", "out.safetensors", "--heads", "2"], &["m.safetensors", "without --heads"]),
        (&["import", "m.onnx", "out.safetensors", "--heads", "2"], &["--heads", "contains its heads"]),
    ] {
        crate::cases::wgrad(folder.path(), arguments).refused(words);
    }
}
