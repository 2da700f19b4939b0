"""What the checks of this folder share: the program, ONNX Runtime, and what agrees."""
import json
import subprocess
from math import erf
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-5
# f64 twins, from the papers' formulas.
ACTIVATIONS = {
    "relu": lambda z: np.maximum(z, 0), "leaky-relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, np.expm1(z)), "gelu": lambda z: 0.5 * z * (1 + np.vectorize(erf)(z / np.sqrt(2))),
    "gelu-tanh": lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z: z / (1 + np.exp(-z)), "tanh": np.tanh, "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softplus": lambda z: np.logaddexp(0, z), "identity": lambda z: z,
}


def wgrad(*arguments):
    return subprocess.run([ROOT / "target/debug/wgrad", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def runtime(path, x):
    session = onnxruntime.InferenceSession(path)
    [given], [taken] = session.get_inputs(), session.get_outputs()
    assert given.shape == ["batch", *x.shape[1:]], given.shape
    # One row, and all rows at once.
    y = session.run(None, {given.name: x})[0]
    assert taken.shape == ["batch", *y.shape[1:]], (taken.shape, y.shape)
    assert np.abs(session.run(None, {given.name: x[:1]})[0] - y[:1]).max() <= TOLERANCE
    return taken.name, y, session.get_modelmeta().custom_metadata_map


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def agree(what, a, b):
    assert a.shape == b.shape, (what, a.shape, b.shape)
    error = np.abs(a - b).max()
    print(f"{what:50s} {error:.1e}")
    assert error <= TOLERANCE, what


def same_tensors(what, a, b):
    a, b = load_file(a), load_file(b)
    assert a.keys() == b.keys(), (what, a.keys(), b.keys())
    assert all(a[k].tobytes() == b[k].tobytes() for k in a), what
    print(f"{what:50s} same bits")


def answers(model, rows, folder, key="probabilities"):
    """The predictions of `wgrad predict` for rows of an array, or for images with their channels last."""
    np.save(folder / "rows.npy", rows)
    order = ["--channels", "last"] if rows.ndim == 4 else []
    lines = wgrad("predict", "--model", model, "--input", folder / "rows.npy", "--json", *order).splitlines()
    return np.array([json.loads(line)[key] for line in lines])
