"""Networks of tokens as ONNX graphs in ONNX Runtime, against PyTorch's outputs and NumPy in f64. A part of check.py."""
import json

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from shared import ACTIVATIONS, ROOT, agree, answers, runtime, same_tensors, softmax, wgrad


def attend(x, heads, causal, w, b, out_w, out_b):
    """Multi-head self-attention of [rows, places, values], as Vaswani et al. have it."""
    rows, places, width = x.shape
    q, k, v = (part.reshape(rows, places, heads, -1).transpose(0, 2, 1, 3) for part in np.split(x @ w.T + b, 3, axis=2))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(width // heads)
    if causal:
        scores += np.triu(np.full((places, places), -np.inf), 1)
    return (softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(x.shape) @ out_w.T + out_b


def forward_tokens(layers, x, tensors, prefix=""):
    """Sequences after a list of layers, in f64: what each weight is, its name says."""
    number = 0
    for layer in layers:
        kind = next(iter(layer))
        own = {name: value.astype(np.float64) for name, value in tensors.items()}
        part = lambda name: own.get(f"{prefix}{number}.{name}", 0)
        if kind == "embedding":
            x = part("weight")[x]
        elif kind == "positions":
            x = x + part("weight")[:x.shape[1]]
        elif kind == "attention":
            x = attend(x, layer[kind], layer.get("causal", False), *(part(name) for name in ["in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"]))
        elif kind == "dense":
            x = x @ (own["0.weight"] if layer.get("tied") else part("weight")).T + part("bias")
        elif kind == "layer_norm":
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + layer.get("eps", 1e-5)) * part("weight") + part("bias")
        elif kind == "rms_norm":
            x = x / np.sqrt((x * x).mean(-1, keepdims=True) + layer.get("eps", 1e-5)) * part("weight")
        elif kind == "residual":
            x = x + forward_tokens(layer[kind], x, tensors, f"{prefix}{number}.body.")
        else:
            x = {"flatten": lambda x: x.reshape(len(x), -1), "global_avg_pool": lambda x: x.mean(1)}[kind](x)
        x = ACTIVATIONS[layer.get("activation", "identity")](x)
        number += 1 + ("activation" in layer)
    return x


def random_tokens(layers, form, rng, prefix=""):
    """Tensors for a list of layers, and the form that comes out: [places, values], or [values]."""
    tensors, number = {}, 0
    for layer in layers:
        kind = next(iter(layer))
        width, bias, name = form[-1], layer.get("bias", True), f"{prefix}{number}"
        own = {}
        if kind in ("embedding", "positions"):
            form = (*form, layer[kind]) if kind == "embedding" else form
            own = {"weight": (layer["vocabulary"] if kind == "embedding" else layer[kind], form[-1])}
        elif kind == "attention":
            own = {"in_proj_weight": (3 * width, width), "out_proj.weight": (width, width)} | ({"in_proj_bias": (3 * width,), "out_proj.bias": (width,)} if bias else {})
        elif kind == "dense":
            form = (*form[:-1], layer[kind])
            own = {} if layer.get("tied") else {"weight": (layer[kind], width)} | ({"bias": (layer[kind],)} if bias else {})
        elif kind in ("layer_norm", "rms_norm"):
            own = {"weight": (width,)} | ({"bias": (width,)} if kind == "layer_norm" else {})
        elif kind == "residual":
            tensors |= random_tokens(layer[kind], form, rng, f"{name}.body.")[0]
        else:
            form = (int(np.prod(form)),) if kind == "flatten" else form[-1:]
        tensors |= {f"{name}.{part}": rng.standard_normal(shape).astype(np.float32) / np.float32(np.sqrt(shape[-1]) if len(shape) > 1 else 2) for part, shape in own.items()}
        number += 1 + ("activation" in layer)
    return tensors, form


def block(width, heads, **more):
    """A transformer's block, norm first, with matrices that have biases or none."""
    bias = {name: value for name, value in more.items() if name == "bias"}
    return [{"residual": [{"layer_norm": True}, {"attention": heads, **more}]},
            {"residual": [{"rms_norm": True}, {"dense": 2 * width + 1, "activation": "gelu", **bias}, {"dense": width, **bias}]}]


TOKENS = {
    "a GPT of odd widths": (5, [{"embedding": 9, "vocabulary": 7}, {"positions": 5}, *block(9, 3, causal=True), *block(9, 1, causal=True), {"layer_norm": True}, {"dense": 7}]),
    "tied, without biases": (6, [{"embedding": 10, "vocabulary": 11}, {"positions": 9}, *block(10, 5, causal=True, bias=False), {"layer_norm": True, "eps": 1e-3},
                                 {"dense": 11, "tied": True, "bias": False}]),
    "attention to all places": (4, [{"embedding": 6, "vocabulary": 5}, {"positions": 4}, *block(6, 2), {"attention": 3, "bias": False, "activation": "tanh"}, {"dense": 3, "bias": False}]),
    "one place": (1, [{"embedding": 6, "vocabulary": 5}, {"attention": 2, "causal": True}, {"dense": 5}]),
    "a flatten": (7, [{"embedding": 5, "vocabulary": 8}, {"positions": 8}, *block(5, 1, causal=True), {"flatten": True}, {"layer_norm": True}, {"dense": 3}]),
    "a mean of places": (6, [{"embedding": 7, "vocabulary": 8}, {"positions": 6}, *block(7, 7), {"rms_norm": True, "activation": "silu"}, {"global_avg_pool": True},
                             {"rms_norm": True}, {"dense": 4}]),
}


def networks_of_tokens(folder):
    """Embeddings, positions and attention: the networks of tests/golden-nets against the outputs that PyTorch had, and others against NumPy in f64."""
    model, graph, back = (folder / f"tokens{ending}" for ending in [".safetensors", ".onnx", ".back.safetensors"])
    rng, cases = np.random.default_rng(5), []
    for path in sorted((ROOT / "tests/golden-nets").glob("*.safetensors")):
        kept, case = load_file(path), json.loads(safe_open(path, "numpy").metadata()["case"])
        if "embedding" in case["layers"][0]:
            tensors = {name.removeprefix("final."): value for name, value in kept.items() if name.startswith("final.")}
            cases.append((path.stem, "PyTorch", case["layers"], kept["x"], tensors, kept["eval"]))
    assert len(cases) == 6, len(cases)
    for what, (length, layers) in TOKENS.items():
        tensors, _ = random_tokens(layers, (length,), rng)
        x = rng.integers(0, layers[0]["vocabulary"], (40, length))
        cases.append((what, "NumPy", layers, x, tensors, forward_tokens(layers, x, tensors)))
    for what, other, layers, x, tensors, expected in cases:
        about = {"version": "0.1.0", "inputs": x.shape[1], "layers": layers, "loss": {"kind": "softmax-cross-entropy"}}
        save_file(tensors, model, metadata={"wgrad": json.dumps(about)})
        wgrad("export", model, graph)
        _, z, _ = runtime(graph, x)
        agree(f"{what}, ONNX Runtime and {other}", z, expected)
        if z.ndim == 2:
            agree(f"{what}, wgrad predict and ONNX Runtime", answers(model, x, folder), softmax(z.astype(np.float64)))
        wgrad("import", graph, back)
        same_tensors(f"{what} -> ONNX -> model", model, back)
        wgrad("export", model, graph, "--softmax")
        _, p, _ = runtime(graph, x)
        agree(f"{what}, --softmax", p, softmax(z.astype(np.float64)))
    gpts_as_graphs(folder)


def gpts_as_graphs(folder):
    """State dicts of other programs' GPTs, as ONNX graphs, against the logits that PyTorch had."""
    kept = load_file(ROOT / "tests/interchange/gpts/expected.safetensors")
    for name, heads, *more in [("nanogpt", 3), ("nanogpt_no_bias", 2), ("mingpt", 1, "--activation", "gelu-tanh"), ("gpt2", 2)]:
        wgrad("import", ROOT / f"tests/interchange/gpts/{name}.safetensors", folder / "gpt.safetensors", "--heads", heads, *more)
        wgrad("export", folder / "gpt.safetensors", folder / "gpt.onnx")
        _, z, _ = runtime(folder / "gpt.onnx", kept[f"{name}.x"])
        agree(f"{name}, ONNX Runtime and PyTorch", z, kept[name])
