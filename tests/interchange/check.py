"""Models that leave wgrad and come back, against other programs: ONNX Runtime, NumPy in f64, scikit-learn and, with --torch, PyTorch.

pip install -r tests/interchange/requirements.txt (and torch onnxscript for --torch), then, in the repository:
python tests/interchange/check.py [--torch]
"""
import gzip
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from shared import ACTIVATIONS, ROOT, agree, answers, runtime, same_tensors, softmax, wgrad
from token_networks import networks_of_tokens

ROWS = 1000


def predictions(model):
    lines = wgrad("predict", "--model", model, "--input", "mnist", "--rows", f"0-{ROWS - 1}", "--json").splitlines()
    return np.array([json.loads(line)["probabilities"] for line in lines])


def metadata(path):
    """A model's metadata, without the shape of its inputs, which an ONNX file does not have."""
    about = json.loads(safe_open(path, "numpy").metadata()["wgrad"])
    return {name: value for name, value in about.items() if name not in ("image", "columns")}


def mnist_through_onnx(folder, images):
    model = folder / "mnist.safetensors"
    wgrad("train", "--steps", 600, "--hidden", 64, "--validation", "none", "--save", model)
    ours = predictions(model)
    wgrad("export", model, folder / "p.onnx", "--softmax")
    wgrad("export", model, folder / "z.onnx")
    name, p, _ = runtime(folder / "p.onnx", images)
    agree("MNIST, wgrad predict and ONNX Runtime", p, ours)
    assert name == "probabilities" and (p.argmax(1) == ours.argmax(1)).all()
    name, z, _ = runtime(folder / "z.onnx", images)
    agree("the same without --softmax", softmax(z.astype(np.float64)), ours)
    assert name == "logits"
    wgrad("import", folder / "p.onnx", folder / "back.safetensors")
    same_tensors("model -> ONNX -> model", model, folder / "back.safetensors")
    assert metadata(model) == metadata(folder / "back.safetensors")
    return model, ours


def every_activation(folder):
    """Models with a scaling of the features, classes, a dropout and each kind of loss."""
    widths, rng = [20, 16, 12, 5], np.random.default_rng(0)
    x = rng.standard_normal((200, widths[0])).astype(np.float32) * 3
    for i, (name, activate) in enumerate(ACTIVATIONS.items()):
        loss = ["softmax-cross-entropy", "sigmoid-cross-entropy", "mse"][i % 3]
        numbers = [0, 3, 5]
        tensors = {}
        for number, fan_in, fan_out in zip(numbers, widths, widths[1:]):
            tensors[f"{number}.weight"] = (rng.standard_normal((fan_out, fan_in)) / np.sqrt(fan_in)).astype(np.float32)
            tensors[f"{number}.bias"] = rng.standard_normal(fan_out).astype(np.float32)
        shift, scale = (rng.uniform(0.2, 2, widths[0]).astype(np.float32) for _ in range(2))
        classes = [f"class {c}" for c in range(widths[-1])]
        about = {"version": "0.1.0", "activations": [name, name, "identity"], "loss": {"kind": loss}, "dropout": [0.25, 0.0, 0.0],
                 "classes": classes, "scaling": {"shift": shift.tolist(), "scale": scale.tolist()}}
        model, graph, back = (folder / f"{name}{ending}" for ending in [".safetensors", ".onnx", ".back.safetensors"])
        save_file(tensors, model, metadata={"wgrad": json.dumps(about)})
        wgrad("export", model, graph, *["--softmax"] * (loss != "mse"))
        y = (x.astype(np.float64) - shift) * scale
        for number in numbers:
            y = y @ tensors[f"{number}.weight"].T.astype(np.float64) + tensors[f"{number}.bias"]
            y = activate(y) if number != numbers[-1] else y
        y = {"softmax-cross-entropy": softmax, "sigmoid-cross-entropy": ACTIVATIONS["sigmoid"], "mse": lambda y: y}[loss](y)
        _, z, said = runtime(graph, x)
        agree(f"{name}, scaled, {loss}", z, y)
        assert json.loads(said["wgrad"])["classes"] == classes
        wgrad("import", graph, back)
        same_tensors(f"{name} -> ONNX -> model", model, back)
        assert {**metadata(back), "version": ""} == {**about, "version": ""}, metadata(back)


def dense(widths, activations, **more):
    """A list of dense layers."""
    return [{"dense": width, **({"activation": activation} if activation != "identity" else {}), **more} for width, activation in zip(widths, activations)]


RESIDUALS = {
    "a residual": [*dense([16], ["relu"]), {"residual": dense([24, 16], ["gelu", "identity"]), "activation": "tanh"}],
    "of the features": [{"residual": dense([9, 20], ["silu", "identity"])}],
    "a shortcut": [*dense([16], ["tanh"]), {"residual": dense([16, 12], ["relu", "identity"]), "shortcut": dense([12], ["identity"]), "activation": "elu"}],
    "the shortcut longer": [{"residual": dense([12], ["relu"], dropout=0.5), "shortcut": dense([8, 12], ["relu", "identity"])}],
    "one in another": [*dense([16], ["relu"]), {"residual": [*dense([12], ["relu"]), {"residual": dense([12], ["softplus"]), "dropout": 0.25},
                                                              *dense([16], ["identity"])], "activation": "leaky-relu"}],
}


def forward(layers, x, tensors, prefix=""):
    """Rows after a list of layers, in f64. A layer takes a number, and so do its activation and its dropout."""
    number = 0
    for layer in layers:
        name = f"{prefix}{number}"
        if "dense" in layer:
            x = x @ tensors[f"{name}.weight"].T.astype(np.float64) + tensors[f"{name}.bias"]
        else:
            x = forward(layer["residual"], x, tensors, f"{name}.body.") + forward(layer.get("shortcut", []), x, tensors, f"{name}.shortcut.")
        x = ACTIVATIONS[layer.get("activation", "identity")](x)
        number += 1 + ("activation" in layer) + ("dropout" in layer)
    return x


def weights(layers, width, rng, prefix=""):
    """Tensors for a list of layers, and the width that comes out."""
    tensors, number = {}, 0
    for layer in layers:
        name, before = f"{prefix}{number}", width
        if "dense" in layer:
            width = layer["dense"]
            tensors[f"{name}.weight"] = (rng.standard_normal((width, before)) / np.sqrt(before)).astype(np.float32)
            tensors[f"{name}.bias"] = rng.standard_normal(width).astype(np.float32)
        else:
            for part, listed in [("body", layer["residual"]), ("shortcut", layer.get("shortcut", []))]:
                inner, width = weights(listed, before, rng, f"{name}.{part}.")
                tensors |= inner
        number += 1 + ("activation" in layer) + ("dropout" in layer)
    return tensors, width


def residuals(folder):
    """Sums, against NumPy, ONNX Runtime and the file that they came from."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 20)).astype(np.float32)
    model, graph, back = (folder / f"residual{ending}" for ending in [".safetensors", ".onnx", ".back.safetensors"])
    for what, layers in RESIDUALS.items():
        layers = [*layers, {"dense": 5}]
        tensors, _ = weights(layers, 20, rng)
        about = {"version": "0.1.0", "inputs": 20, "layers": layers, "loss": {"kind": "softmax-cross-entropy"}}
        save_file(tensors, model, metadata={"wgrad": json.dumps(about)})
        wgrad("export", model, graph, "--softmax")
        _, z, _ = runtime(graph, x)
        y = softmax(forward(layers, x.astype(np.float64), tensors))
        agree(f"{what}, ONNX Runtime", z, y)
        agree(f"{what}, wgrad predict", answers(model, x, folder), y)
        wgrad("import", graph, back)
        same_tensors(f"{what} -> ONNX -> model", model, back)
        assert {**metadata(back), "version": ""} == {**about, "version": ""}, metadata(back)


def channels_first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def networks_of_images(folder):
    """Every kind of layer on images: the networks of tests/golden-nets with the weights that PyTorch trained, against the outputs that PyTorch had."""
    model, graph, back = (folder / f"images{ending}" for ending in [".safetensors", ".onnx", ".back.safetensors"])
    rng = np.random.default_rng(4)
    for path in sorted((ROOT / "tests/golden-nets").glob("*.safetensors")):
        kept, case = load_file(path), json.loads(safe_open(path, "numpy").metadata()["case"])
        x, loss = kept["x"], case["loss"].replace("_", "-")
        if "embedding" in case["layers"][0]:
            continue
        # The names of a chain's weights count what these do not.
        if all("dense" in layer for layer in case["layers"]):
            continue
        tensors = {name.removeprefix("final."): value for name, value in kept.items() if name.startswith("final.")}
        inputs = list(x.shape[1:]) if x.ndim == 4 else x.shape[1]
        about = {"version": "0.1.0", "inputs": inputs, "layers": case["layers"], "loss": {"kind": loss}}
        save_file(tensors, model, metadata={"wgrad": json.dumps(about)})
        wgrad("export", model, graph)
        _, z, _ = runtime(graph, channels_first(x))
        agree(f"{path.stem}, ONNX Runtime and PyTorch", z.reshape(kept["eval"].shape), kept["eval"])
        # Categories are whole numbers.
        more = x if "embed" in case["layers"][0] else rng.standard_normal((ROWS, *x.shape[1:])).astype(np.float32)
        _, z, _ = runtime(graph, channels_first(more))
        ours = answers(model, more, folder, "outputs" if loss == "mse" else "probabilities")
        agree(f"{path.stem}, wgrad predict and ONNX Runtime", ours, z if loss == "mse" else softmax(z.astype(np.float64)))
        wgrad("import", graph, back)
        same_tensors(f"{path.stem} -> ONNX -> model", model, back)
        # The layers too: their graph is the same.
        wgrad("export", back, folder / "again.onnx")
        assert (folder / "again.onnx").read_bytes() == graph.read_bytes(), path.stem


def cases_in_onnx_runtime(folder):
    """The ONNX files of tests/cases, and the outputs that are kept beside them for the tests in Rust."""
    kept = json.loads((ROOT / "tests/cases/onnx_outputs.json").read_text())
    x = np.array(kept["x"], np.float32)
    cases = sorted((ROOT / "tests/cases").glob("onnx_*/net.onnx"))
    assert len(cases) == len(kept) - 1, cases
    for path in cases:
        name = path.parent.name
        session = onnxruntime.InferenceSession(path)
        [given] = session.get_inputs()
        y = session.run(None, {given.name: x.reshape(len(x), *given.shape[1:])})[0]
        agree(f"{name}, as it is kept", np.array(kept[name]), y)
        wgrad("import", path, folder / "case.safetensors")
        ours = answers(folder / "case.safetensors", x, folder)
        y = y.astype(np.float64)
        given = {"onnx_logsoftmax": np.exp(y), "onnx_softmax11_default": y}.get(name)
        agree(f"{name}, wgrad predict", ours, softmax(y) if given is None else given)


def graphs_of_equal_sides(folder):
    """The ONNX files of equal_sides, and the outputs that are kept beside them for the tests in Rust."""
    kept = load_file(ROOT / "tests/interchange/equal_sides/expected.safetensors")
    for name in sorted(name for name in kept if name != "x" and not name.endswith(".x")):
        path = ROOT / f"tests/interchange/equal_sides/{name}.onnx"
        x = kept.get(f"{name}.x", kept["x"])
        [y] = onnxruntime.InferenceSession(path).run(None, {"x": channels_first(kept["x"])})
        agree(f"{name}, as it is kept", kept[name], y.reshape(kept[name].shape))
        wgrad("import", path, folder / "equal.safetensors")
        agree(f"{name}, wgrad predict", answers(folder / "equal.safetensors", x, folder), softmax(y.astype(np.float64)))


def through_scikit_learn(folder):
    """scikit-learn's multi-layer perceptrons, through skl2onnx, against its own predictions."""
    from skl2onnx import to_onnx
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    # Training is stopped long before it converges.
    warnings.filterwarnings("ignore")
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((120, 5)) * [1, 3, 0.2, 1, 10] + [0, 5, 0, -2, 100]).astype(np.float32)
    centred = (x - x.mean(0)) / x.std(0)
    sums = centred @ rng.standard_normal((5, 3))
    thirds = np.digitize(sums[:, 0], np.quantile(sums[:, 0], [1 / 3, 2 / 3]))
    kinds = {
        "two classes": (MLPClassifier, (sums[:, 0] > 0) + 3, ["3", "4"]),
        "two words": (MLPClassifier, np.array(["no", "yes"])[(sums[:, 0] > 0).astype(int)], ["no", "yes"]),
        "classes": (MLPClassifier, 3 * thirds - 1, ["-1", "2", "5"]),
        "words": (MLPClassifier, np.array(["zebra", "apple", "Kiwi"])[thirds], ["Kiwi", "apple", "zebra"]),
        "several labels": (MLPClassifier, (sums > 0).astype(int), None),
        "a number": (MLPRegressor, sums[:, 0], None),
        "numbers": (MLPRegressor, sums, None),
    }
    before = {"": lambda net: net, " after StandardScaler": lambda net: make_pipeline(StandardScaler(), net),
              " after MinMaxScaler": lambda net: make_pipeline(MinMaxScaler(), net)}
    for number, (kind, (of, y, classes)) in enumerate(kinds.items()):
        for activation in ["relu", "tanh", "logistic", "identity"]:
            for scaled, pipeline in before.items() if activation == "relu" else [next(iter(before.items()))]:
                rows = x if scaled else centred.astype(np.float32)
                net = pipeline(of(hidden_layer_sizes=(7, 6), activation=activation, max_iter=30, random_state=number)).fit(rows, y)
                theirs = net.predict(rows) if of is MLPRegressor else net.predict_proba(rows)
                theirs = theirs.reshape(len(rows), -1)
                for with_names in [None] if of is MLPRegressor else [True, False] if activation == "relu" else [True]:
                    options = {} if with_names is None else {"options": {"zipmap": with_names}}
                    graph, model = folder / "sklearn.onnx", folder / "sklearn.safetensors"
                    graph.write_bytes(to_onnx(net, rows[:1], **options).SerializeToString())
                    wgrad("import", graph, model)
                    ours = answers(model, rows, folder, "outputs" if of is MLPRegressor else "probabilities")
                    if theirs.shape[1] == 2 and ours.shape[1] == 1:
                        theirs = theirs[:, 1:]
                    what = f"scikit-learn, {kind}, {activation}{scaled}"
                    agree(what + ("" if with_names is not False else ", no ZipMap"), ours, theirs)
                    named = metadata(model).get("classes")
                    assert classes is None or named == classes, (what, named)


def through_torch(folder, model, ours, images):
    import safetensors.torch
    import torch

    class Residual(torch.nn.Module):
        def __init__(self, body, shortcut=()):
            super().__init__()
            self.body, self.shortcut = torch.nn.Sequential(*body), torch.nn.Sequential(*shortcut)

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    # Its names in a state dict, and what torch.onnx.export writes of it.
    linear, relu = torch.nn.Linear, torch.nn.ReLU()
    inner = Residual([linear(9, 6), relu, linear(6, 9)])
    net = torch.nn.Sequential(
        linear(20, 12), relu, Residual([linear(12, 9), inner, relu, linear(9, 12)]), relu, Residual([linear(12, 8)], [linear(12, 8)]), linear(8, 3))
    x = torch.randn(50, 20)
    theirs = torch.softmax(net(x), 1).detach().numpy()
    safetensors.torch.save_file(net.state_dict(), folder / "net.safetensors")
    torch.onnx.export(net, (x[:2],), folder / "net.onnx", external_data=False, verbose=False)
    for given in ["net.safetensors", "net.onnx"]:
        wgrad("import", folder / given, folder / "back.safetensors")
        agree(f"PyTorch, residuals, {given}", answers(folder / "back.safetensors", x.numpy(), folder), theirs)

    images_through_torch(folder, Residual)

    def fresh():
        return torch.nn.Sequential(torch.nn.Linear(784, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10))

    net = fresh()
    net.load_state_dict(safetensors.torch.load_file(model))
    with torch.no_grad():
        agree("MNIST, wgrad predict and PyTorch", torch.softmax(net(torch.from_numpy(images)), 1).numpy(), ours)
    safetensors.torch.save_file(net.state_dict(), folder / "net.safetensors")
    torch.onnx.export(net, (torch.randn(2, 784),), folder / "net.onnx", external_data=False, verbose=False)
    for name, given in [("state dict", "net.safetensors"), ("torch.onnx.export", "net.onnx")]:
        back = folder / "from_torch.safetensors"
        wgrad("import", folder / given, back)
        same_tensors(f"model -> PyTorch -> {name} -> model", model, back)
        assert (predictions(back) == ours).all()


def images_through_torch(folder, Residual):
    """Networks of images that PyTorch has just trained: state dicts with a list of layers, and files of torch.onnx.export."""
    import safetensors.torch
    import torch
    from torch import nn

    def block(channels, out, stride):
        body = [nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU(),
                nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)]
        return Residual(body, [nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)] if stride > 1 else ())

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    def conv(channels, stride=1, kernel=3):
        return f"{{ conv = {channels}, kernel = {kernel}, stride = {stride}, padding = {kernel // 2}, bias = false }}"

    def residual(channels, stride):
        body = f'{conv(channels, stride)}, {{ batch_norm = true, activation = "relu" }}, {conv(channels)}, {{ batch_norm = true }}'
        shortcut = f", shortcut = [{conv(channels, stride, 1)}, {{ batch_norm = true }}]" if stride > 1 else ""
        return f'{{ residual = [{body}]{shortcut}, activation = "relu" }}'

    nets = {
        "a convnet": (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, 2, 1, groups=4), nn.GELU(), nn.AvgPool2d(2, 1), nn.Flatten(),
                          nn.Dropout(0.5), nn.Linear(108, 5)),
            """{ conv = 8, kernel = 3, activation = "relu" }, { max_pool = 2 },
               { conv = 12, kernel = 3, stride = 2, padding = 1, groups = 4, activation = "gelu" },
               { avg_pool = 2, stride = 1 }, { flatten = true }, { dropout = 0.5 }, { dense = 5 }"""),
        "norms": (
            nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.GroupNorm(4, 8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, dilation=2), nn.BatchNorm2d(8),
                          nn.Tanh(), nn.Flatten(), nn.LayerNorm(128), nn.Linear(128, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5)),
            """{ conv = 8, kernel = 5, padding = 2 }, { group_norm = 4, activation = "relu" }, { max_pool = 3, stride = 2, padding = 1 },
               { conv = 8, kernel = 3, dilation = 2 }, { batch_norm = true, activation = "tanh" }, { flatten = true },
               { layer_norm = true }, { dense = 6 }, { batch_norm = true, activation = "relu" }, { dense = 5 }"""),
        "a ResNet": (
            nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), block(8, 8, 1), nn.ReLU(), block(8, 16, 2), nn.ReLU(),
                          block(16, 16, 1), nn.ReLU(), Mean(), nn.Linear(16, 5)),
            f"""{conv(8)}, {{ batch_norm = true, activation = "relu" }}, {residual(8, 1)}, {residual(16, 2)}, {residual(16, 1)},
                {{ global_avg_pool = true }}, {{ dense = 5 }}"""),
    }
    back, config = folder / "back.safetensors", folder / "layers.toml"
    for what, (net, layers) in nets.items():
        torch.manual_seed(3)
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for _ in range(5):
            x = torch.randn(64, 3, 16, 16)
            optimizer.zero_grad()
            nn.functional.cross_entropy(net.train()(x), torch.randint(5, (64,))).backward()
            optimizer.step()
        net.eval()
        x = torch.randn(ROWS, 3, 16, 16)
        with torch.no_grad():
            theirs = torch.softmax(net(x), 1).numpy()
        rows = np.ascontiguousarray(x.numpy().transpose(0, 2, 3, 1))
        safetensors.torch.save_file(net.state_dict(), folder / "net.safetensors")
        config.write_text(f"[model]\nlayers = [{layers}]\n")
        wgrad("import", folder / "net.safetensors", back, "--config", config, "--inputs", "16,16,3")
        agree(f"PyTorch, {what}, state dict", answers(back, rows, folder), theirs)
        # And out again: PyTorch takes what was written here.
        net.load_state_dict(safetensors.torch.load_file(back))
        batch = torch.export.Dim("batch")
        torch.onnx.export(net, (x[:2],), folder / "net.onnx", external_data=False, verbose=False, dynamic_shapes=({0: batch},))
        torch.onnx.export(net, (x[:2],), folder / "script.onnx", dynamo=False, opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        for given in ["net.onnx", "script.onnx"]:
            wgrad("import", folder / given, back)
            agree(f"PyTorch, {what}, {given}", answers(back, rows, folder), theirs)


if __name__ == "__main__":
    with gzip.open(ROOT / "data/mnist/t10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    images = (pixels.reshape(-1, 784)[:ROWS] / 255).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model, ours = mnist_through_onnx(folder, images)
        every_activation(folder)
        residuals(folder)
        networks_of_images(folder)
        networks_of_tokens(folder)
        cases_in_onnx_runtime(folder)
        graphs_of_equal_sides(folder)
        through_scikit_learn(folder)
        if "--torch" in sys.argv:
            through_torch(folder, model, ours, images)
