"""Small ONNX models as other programs write them, with the outputs that ONNX Runtime has for them: what
tests/promises/interchange.rs reads.

With torch onnx onnxscript onnxruntime safetensors numpy: python make_fixtures.py FOLDER torch residual helper expected
With tensorflow keras tf2onnx, before expected: python make_fixtures.py FOLDER keras
Networks of images, into a folder of their own, with all of these: python make_fixtures.py FOLDER/images torch_images keras_images expected_images
"""
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTHS = [6, 5, 4, 3]
RNG = np.random.default_rng(5)


def torch_models(out):
    """Every activation, by both of PyTorch's exporters; a scaling, a flattening and a softmax in some."""
    import torch

    activations = {
        "relu": torch.nn.ReLU(), "leaky-relu": torch.nn.LeakyReLU(), "elu": torch.nn.ELU(), "gelu": torch.nn.GELU(),
        "gelu-tanh": torch.nn.GELU(approximate="tanh"), "silu": torch.nn.SiLU(), "tanh": torch.nn.Tanh(),
        "sigmoid": torch.nn.Sigmoid(), "softplus": torch.nn.Softplus(),
    }
    for i, (name, activation) in enumerate(activations.items()):
        torch.manual_seed(i)
        a, b, c, d = WIDTHS
        net = torch.nn.Sequential(torch.nn.Linear(a, b), activation, torch.nn.Dropout(0.5), torch.nn.Linear(b, c), activation,
                                  torch.nn.Linear(c, d)).eval()
        x = torch.randn(4, a)
        batch = torch.export.Dim("batch")
        torch.onnx.export(net, (x,), out / f"torch_{name}.onnx", dynamo=True, external_data=False, dynamic_shapes=({0: batch},),
                          verbose=False)
        torch.onnx.export(net, (x,), out / f"torchscript_{name}.onnx", dynamo=False, opset_version=17, input_names=["x"],
                          dynamic_axes={"x": {0: "n"}})

    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3, bias=False))
            self.mean, self.std = torch.tensor(0.5), torch.tensor(0.25)

        def forward(self, x):
            return torch.softmax(self.net((x - self.mean) / self.std), 1)

    torch.onnx.export(Scaled().eval(), (torch.randn(4, 1, 2, 3),), out / "torch_scaled_flatten_softmax.onnx", dynamo=False,
                      opset_version=17, input_names=["x"], dynamic_axes={"x": {0: "n"}})


def residual_models(out):
    """Residual sums, one within another, by both of PyTorch's exporters."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, body, shortcut=()):
            super().__init__()
            self.body, self.shortcut = nn.Sequential(*body), nn.Sequential(*shortcut)

        def forward(self, x):
            return self.shortcut(x) + self.body(x)

    torch.manual_seed(20)
    inner = Residual([nn.Linear(4, 7), nn.SiLU(), nn.Linear(7, 4)])
    net = nn.Sequential(
        Residual([nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 6)]), nn.Linear(6, 5), nn.ReLU(), Residual([nn.Linear(5, 5), nn.GELU()]), nn.ReLU(),
        Residual([nn.Linear(5, 4), inner, nn.ELU(), nn.Linear(4, 3)], [nn.Linear(5, 3)]), nn.Dropout(0.5), nn.Tanh(), nn.Linear(3, 3),
    ).eval()
    x, batch = torch.randn(4, 6), torch.export.Dim("batch")
    torch.onnx.export(net, (x,), out / "torch_residual.onnx", dynamo=True, external_data=False, dynamic_shapes=({0: batch},), verbose=False)
    torch.onnx.export(net, (x,), out / "torchscript_residual.onnx", dynamo=False, opset_version=17, input_names=["x"],
                      dynamic_axes={"x": {0: "n"}})


def helper_models(out):
    """Graphs that the standard allows and no exporter writes."""
    def values(*shape):
        return RNG.standard_normal(shape).astype(np.float32)

    def save(name, nodes, tensors, shape=("n", 6), raw=True):
        initializers = [numpy_helper.from_array(v, k) if raw else helper.make_tensor(k, TensorProto.FLOAT, v.shape, v.ravel())
                        for k, v in tensors.items()]
        graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 3))], initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, out / f"{name}.onnx")

    node = helper.make_node
    save("matmul_add", [
        node("MatMul", ["x", "w0"], ["a"]), node("Add", ["a", "b0"], ["b"]),
        # GELU with the bias on the left, and division in place of multiplication.
        node("Div", ["b", "root2"], ["c"]), node("Erf", ["c"], ["d"]), node("Add", ["one", "d"], ["e"]), node("Mul", ["half", "b"], ["f"]),
        node("Mul", ["f", "e"], ["g"]),
        node("MatMul", ["g", "w1"], ["h"]), node("Add", ["b1", "h"], ["i"]), node("Sigmoid", ["i"], ["y"]),
    ], {"w0": values(6, 5), "b0": values(5), "w1": values(5, 3), "b1": values(3), "one": np.float32(1), "half": np.float32(0.5),
        "root2": np.float32(2**0.5)})
    save("gemm_alpha_beta", [
        node("Gemm", ["x", "w0", "b0"], ["a"], alpha=0.5, beta=2.0, transB=1),
        node("Exp", ["a"], ["b"]), node("Add", ["b", "one"], ["c"]), node("Log", ["c"], ["d"]),
        node("Gemm", ["d", "w1", "b1"], ["e"], alpha=-1.5), node("Softmax", ["e"], ["y"]),
    ], {"w0": values(5, 6), "b0": values(1, 5), "w1": values(5, 3), "b1": values(1), "one": np.ones(1, np.float32)}, raw=False)
    save("scaled", [
        node("Mul", ["x", "s"], ["a"]), node("Add", ["a", "o"], ["b"]), node("Identity", ["b"], ["c"]),
        node("Gemm", ["c", "w0", "b0"], ["y"], transB=1),
    ], {"s": np.abs(values(6)) + np.float32(0.1), "o": values(6), "w0": values(3, 6), "b0": values(3)})
    save("sum_of_three", [
        node("Mul", ["x", "s"], ["a"]), node("Add", ["a", "o"], ["b"]), node("MatMul", ["b", "w0"], ["c"]), node("Relu", ["c"], ["d"]),
        node("Gemm", ["b", "w1", "b1"], ["e"]), node("Sum", ["d", "b", "e"], ["f"]), node("Sigmoid", ["f"], ["g"]), node("Gemm", ["g", "w2"], ["y"]),
    ], {"s": np.abs(values(6)) + np.float32(0.1), "o": values(6), "w0": values(6, 6), "w1": values(6, 6), "b1": values(6), "w2": values(6, 3)})


def keras_models(out):
    import keras

    keras.utils.set_random_seed(1)
    def dense(width, activation):
        return keras.layers.Dense(width, activation, bias_initializer="random_normal")

    net = keras.Sequential([
        keras.Input((2, 3)), keras.layers.Rescaling(0.5, offset=-1.0), keras.layers.Flatten(), dense(5, "silu"), keras.layers.Dropout(0.5),
        dense(4, "relu"), dense(3, "softmax"),
    ])
    net(np.zeros((2, 2, 3), np.float32))
    net.export(out / "keras_rescaling_flatten.onnx", format="onnx", verbose=False)


def torch_images(out):
    """Networks of images, by both of PyTorch's exporters."""
    import torch
    from torch import nn

    class Residual(nn.Module):
        def __init__(self, body, shortcut=()):
            super().__init__()
            self.body, self.shortcut = nn.Sequential(*body), nn.Sequential(*shortcut)

        def forward(self, x):
            return self.body(x) + self.shortcut(x)

    class ChannelsLast(nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class RootMeanSquare(nn.RMSNorm):
        def forward(self, x):
            return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    class Pad(nn.Module):
        def forward(self, x):
            return nn.functional.pad(x, (1, 1, 1, 1))

    class View(nn.Module):
        def forward(self, x):
            return x.view(x.size(0), -1)

    class Scaled(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net, self.mean, self.std = net, torch.rand(3, 1, 1), torch.rand(3, 1, 1) + 0.5

        def forward(self, x):
            return self.net((x - self.mean) / self.std)

    conv = nn.Conv2d
    torch.manual_seed(30)
    nets = {
        "convnet": nn.Sequential(conv(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), conv(6, 5, 2, padding="same"), nn.GELU(), nn.AvgPool2d(2, 1),
                                 nn.Flatten(), nn.Dropout(0.5), nn.Linear(10, 3)),
        "norms": nn.Sequential(conv(3, 8, 3), nn.GroupNorm(4, 8), nn.ReLU(), ChannelsLast(8), nn.GroupNorm(8, 8), nn.MaxPool2d(3, 2, 1),
                               nn.Flatten(), nn.LayerNorm(96), nn.Linear(96, 8), nn.GroupNorm(2, 8), nn.Linear(8, 3)),
        "batch_norms": nn.Sequential(nn.BatchNorm2d(3), conv(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
                                     conv(6, 6, 3, groups=6, dilation=2, padding=2), nn.ReLU(), nn.BatchNorm2d(6), nn.AdaptiveAvgPool2d(1),
                                     nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
        "resnet": Scaled(nn.Sequential(
            conv(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(),
            Residual([conv(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)]),
            nn.ReLU(),
            Residual([conv(6, 10, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(10), nn.ReLU(), conv(10, 10, 3, padding=1)],
                     [conv(6, 10, 1, stride=2, bias=False), nn.BatchNorm2d(10)]),
            nn.ReLU(), Mean(), nn.Linear(10, 3))),
        "root_mean_squares": nn.Sequential(conv(3, 8, 3), RootMeanSquare(8, eps=1e-6), nn.ReLU(), nn.Flatten(), nn.Linear(280, 8), nn.RMSNorm(8, eps=1e-3),
                                           nn.Linear(8, 3)),
        "view": nn.Sequential(Pad(), conv(3, 4, 3, stride=2), nn.Tanh(), View(), nn.Linear(80, 3)),
    }
    norms = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
    batch = torch.export.Dim("batch")
    for name, net in nets.items():
        for module in net.modules():
            if isinstance(module, norms):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                if getattr(module, "bias", None) is not None:
                    nn.init.uniform_(module.bias, -0.5, 0.5)
        x = torch.randn(16, 3, 9, 7)
        net.train()(x)
        net.eval()
        torch.onnx.export(net, (x,), out / f"torch_{name}.onnx", dynamo=True, external_data=False, dynamic_shapes=({0: batch},), verbose=False)
        torch.onnx.export(net, (x[:1],), out / f"torch_{name}_one.onnx", dynamo=True, external_data=False, verbose=False)
        # It computes the pads with nodes of its own, and has no root mean square.
        if name not in ("view", "root_mean_squares"):
            torch.onnx.export(net, (x,), out / f"torchscript_{name}.onnx", dynamo=False, opset_version=17, input_names=["x"],
                              dynamic_axes={"x": {0: "n"}})


def keras_images(out):
    import keras
    from keras import layers as of

    keras.utils.set_random_seed(2)
    x = np.random.default_rng(3).standard_normal((32, 9, 7, 3)).astype(np.float32)

    def save(name, net):
        # Some steps, after which no two channels have the same statistics.
        net.compile(keras.optimizers.Adam(0.01), "mse")
        net.fit(x, np.zeros((32, 3), np.float32), epochs=3, verbose=0)
        net.export(out / f"keras_{name}.onnx", format="onnx", verbose=False)

    save("convnet", keras.Sequential([
        keras.Input((9, 7, 3)), of.Conv2D(6, 3, activation="relu"), of.BatchNormalization(), of.MaxPooling2D(2), of.Conv2D(5, 2, padding="same"),
        of.BatchNormalization(), of.Activation("silu"), of.DepthwiseConv2D(2), of.Flatten(), of.Dropout(0.5), of.Dense(4, activation="relu"),
        of.BatchNormalization(), of.Dense(3),
    ]))
    save("norms", keras.Sequential([
        keras.Input((9, 7, 3)), of.Conv2D(8, 3), of.LayerNormalization(), of.ReLU(), of.Conv2D(8, 3), of.GroupNormalization(4), of.ReLU(),
        of.MaxPooling2D(2), of.Flatten(), of.Dense(8, activation="relu"), of.LayerNormalization(epsilon=1e-5), of.Dense(3),
    ]))
    save("group_norm", keras.Sequential([
        keras.Input((9, 7, 3)), of.Conv2D(8, 3), of.GlobalAveragePooling2D(), of.GroupNormalization(2), of.Dense(3),
    ]))
    given = keras.Input((9, 7, 3))
    first = of.ReLU()(of.BatchNormalization()(of.Conv2D(4, 3, padding="same", use_bias=False)(of.Rescaling(0.5, offset=-1.0)(given))))
    body = of.BatchNormalization()(of.Conv2D(4, 3, padding="same")(first))
    body = of.AveragePooling2D(2)(of.ReLU()(of.Add()([body, first])))
    body = of.Conv2D(6, 3, strides=2, padding="same")(body)
    save("resnet", keras.Model(given, of.Dense(3)(of.GlobalAveragePooling2D()(body))))


def expected_images(out):
    import onnxruntime
    from safetensors.numpy import load_file, save_file

    for path in out.glob("*.onnx"):
        plain(path)
    kept = out / "expected.safetensors"
    x = load_file(kept)["x"] if kept.exists() else RNG.standard_normal((8, 9, 7, 3)).astype(np.float32)
    tensors = {"x": x}
    for path in sorted(out.glob("*.onnx")):
        session = onnxruntime.InferenceSession(path)
        [given] = session.get_inputs()
        rows = x if path.stem.startswith("keras") else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        each = [session.run(None, {given.name: row[None]})[0] for row in rows]
        tensors[path.stem] = np.concatenate(each)
        print(path.stem, path.stat().st_size, sorted({node.op_type for node in onnx.load(path).graph.node}))
    save_file(tensors, kept)


def plain(path):
    """Takes out stack traces, with paths of the machine that ran this."""
    model = onnx.load(path)
    for part in [model.graph, *model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output]:
        del part.metadata_props[:]
        part.ClearField("doc_string")
    onnx.save(model, path)


def expected(out):
    import onnxruntime
    from safetensors.numpy import load_file, save_file

    for path in out.glob("*.onnx"):
        plain(path)
    kept = out / "expected.safetensors"
    x = load_file(kept)["x"] if kept.exists() else RNG.standard_normal((8, 6)).astype(np.float32)
    tensors = {"x": x}
    for path in sorted(out.glob("*.onnx")):
        session = onnxruntime.InferenceSession(path)
        [given] = session.get_inputs()
        tensors[path.stem] = session.run(None, {given.name: x.reshape(8, *given.shape[1:])})[0]
        print(path.stem, path.stat().st_size, sorted({node.op_type for node in onnx.load(path).graph.node}))
    save_file(tensors, out / "expected.safetensors")


if __name__ == "__main__":
    for part in sys.argv[2:]:
        {"torch": torch_models, "residual": residual_models, "helper": helper_models, "keras": keras_models, "expected": expected,
         "torch_images": torch_images, "keras_images": keras_images, "expected_images": expected_images}[part](Path(sys.argv[1]))
