"""Small graphs of images with as many channels as rows and columns, in which one dimension is easily taken for another, and the outputs that ONNX Runtime has
for them: what tests/promises/interchange/equal_sides.rs reads, where a graph is a model, and sees refused, where it is none.

With onnx onnxruntime safetensors numpy: python make_equal_sides.py equal_sides
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

SIDE = 3
OUT = Path(sys.argv[1])
RNG = np.random.default_rng(11)
X = RNG.standard_normal((4, SIDE, SIDE, SIDE)).astype(np.float32)
# What ONNX Runtime computes, and the words of what is refused.
EXPECTED, REFUSED = {"x": X.transpose(0, 2, 3, 1).copy()}, {}


class Graph:
    """A graph that grows; each node is called by its number and operator."""

    def __init__(self, sides=(SIDE,) * 3):
        self.nodes, self.constants, self.sides = [], [], sides

    def number(self, values, dims=()):
        return self.constant(np.full(dims, values, np.float32))

    def floats(self, *dims):
        return self.constant((RNG.standard_normal(dims) / 2).astype(np.float32))

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def constant(self, values):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def op(self, kind, *inputs, **attributes):
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{len(self.nodes)} {kind}", **attributes))
        return output

    def conv(self, x, channels=SIDE, out=SIDE, kernel=3, bias=True, **attributes):
        if not {"pads", "auto_pad"} & attributes.keys():
            attributes["pads"] = [kernel // 2] * 4
        return self.op("Conv", x, self.floats(out, channels, kernel, kernel), *([self.floats(out)] if bias else []), **attributes)

    def pad(self, x, top, left, below, right):
        return self.op("Pad", x, self.ints(0, 0, top, left, 0, 0, below, right))

    def means(self, x, *axes, keepdims=1):
        return self.op("ReduceMean", x, axes=list(axes), keepdims=keepdims)

    def deviations(self, h, *axes):
        """The deviations from a mean, and the inverse root of their squares' mean."""
        d = self.op("Sub", h, self.means(h, *axes))
        return d, self.root(self.op("Mul", d, d), *axes)

    def root(self, squares, *axes, keepdims=1):
        variance = self.op("Add", self.means(squares, *axes, keepdims=keepdims), self.number(0.01))
        return self.op("Reciprocal", self.op("Sqrt", variance))

    def turned(self, x, *perm):
        return self.op("Transpose", x, perm=perm)

    def end(self, x, values=SIDE**3):
        return self.op("Gemm", self.op("Flatten", x), self.floats(values, 3), self.floats(3))

    def model(self, y, kind=TensorProto.FLOAT):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *self.sides])
        given = helper.make_tensor_value_info(y, kind, None)
        graph = helper.make_graph(self.nodes, "graph", [x], [given], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def reads(name, graph, y):
    model = graph.model(y)
    (OUT / f"{name}.onnx").write_bytes(model.SerializeToString())
    EXPECTED[name] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})[0].reshape(len(X), -1)


def refuses(name, graph, y, *words, kind=TensorProto.FLOAT):
    (OUT / f"{name}.onnx").write_bytes(graph.model(y, kind).SerializeToString())
    REFUSED[name] = words


def padding():
    # 3 + 1 pixels: an even number, of which the padding is another than that of 3.
    for word, fits, other, pads in [("SAME_UPPER", (1, 1, 0, 0), (0, 0, 1, 1), "[0, 0, 2, 2]"), ("SAME_LOWER", (0, 0, 1, 1), (1, 1, 0, 0), "[2, 2, 0, 0]")]:
        g = Graph()
        h = g.conv(g.pad(g.conv("x"), *fits), auto_pad=word, strides=[2, 2])
        reads(f"pad_{word.lower()}", g, g.end(g.op("GlobalAveragePool", h), SIDE))
        g = Graph()
        h = g.conv(g.pad(g.conv("x"), *other), auto_pad=word, strides=[2, 2])
        refuses(f"pad_{word.lower()}_on_one_side", g, g.end(g.op("GlobalAveragePool", h), SIDE), "node 2, Conv", pads)
    g = Graph()
    h = g.conv(g.pad("x", 1, 1, 1, 1), auto_pad="SAME_UPPER", strides=[2, 2])
    reads("pad_around", g, g.end(g.op("GlobalAveragePool", h), SIDE))
    g = Graph()
    h = g.conv(g.pad("x", 0, 0, 0, 0))
    reads("pad_of_nothing", g, g.end(g.op("MaxPool", g.pad(h, 0, 0, 0, 0), kernel_shape=[1, 1])))
    for name, attributes in [("valid", {"auto_pad": "VALID", "pads": [1] * 4}), ("same", {"auto_pad": "SAME_UPPER", "pads": [2] * 4})]:
        g = Graph()
        h = g.conv("x", **attributes)
        refuses(f"pads_and_{name}", g, g.end(g.op("GlobalAveragePool", h), SIDE), "node 0, Conv", "both pads", attributes["auto_pad"])
    g = Graph()
    h = g.op("MaxPool", g.conv("x"), kernel_shape=[2, 2], auto_pad="VALID", pads=[1] * 4)
    refuses("pool_pads_and_valid", g, g.end(g.op("GlobalAveragePool", h), SIDE), "node 1, MaxPool", "both pads", "VALID")
    # What takes an image with zeros around it, besides Conv.
    inner = (SIDE, SIDE - 2, SIDE - 2)
    g = Graph(inner)
    refuses("sum_of_padded_input", g, g.end(g.op("Add", g.pad("x", 1, 1, 1, 1), g.conv("x", pads=[2] * 4))), "node 2, Add", "a Pad put around it")
    g = Graph()
    h = g.conv("x", kernel=3, pads=[0] * 4)
    refuses("sum_of_padded_units", g, g.end(g.op("Add", g.pad(h, 1, 1, 1, 1), g.conv(h, pads=[2] * 4))), "node 3, Add", "a Pad put around it")
    g = Graph(inner)
    refuses("padded_input_that_is_flattened", g, g.end(g.pad("x", 1, 1, 1, 1)), "node 1, Flatten", "a Pad put around it")
    g = Graph(inner)
    h = g.op("Relu", g.pad(g.conv("x"), 1, 1, 1, 1))
    refuses("relu_of_padded_units", g, g.end(h), "node 2, Relu", "a Pad put around it")


def norms():
    keras = "Mul"
    for name, axes in [("channels", [1]), ("all", [1, 2, 3])]:
        g = Graph()
        d, root = g.deviations(g.conv("x"), *axes)
        reads(f"norm_of_{name}", g, g.end(g.op("Add", g.op("Mul", d, g.op(keras, root, g.floats(SIDE, 1, 1))), g.floats(1, SIDE, 1, 1))))
    for name, axes in [("columns", [3]), ("rows", [2])]:
        g = Graph()
        d, root = g.deviations(g.conv("x"), *axes)
        refuses(f"norm_of_{name}", g, g.end(g.op("Mul", d, root)), "ReduceMean")
    # Channels and rows in one dimension: as many values remain as there are of pixels, and as many are taken as there are channels.
    g = Graph()
    h = g.op("Reshape", g.conv("x"), g.ints(0, SIDE * SIDE, SIDE))
    d, root = g.deviations(h, 2)
    refuses("norm_of_columns_reshaped", g, g.end(g.op("Reshape", g.op("Mul", d, root), g.ints(0, SIDE, SIDE, SIDE))), "node 2, ReduceMean", "all pixels")
    g = Graph()
    h = g.op("Reshape", g.conv("x"), g.ints(0, SIDE * SIDE, SIDE))
    r = g.root(g.op("Mul", h, h), 2)
    refuses("root_mean_square_of_columns", g, g.end(g.op("Mul", h, r)), "node 3, ReduceMean", "all pixels")
    # One row of as many columns as there are channels.
    g = Graph((SIDE, 1, SIDE * SIDE))
    h = g.conv("x", kernel=1, out=SIDE * SIDE)
    d, root = g.deviations(h, 3)
    refuses("norm_of_one_row", g, g.end(g.op("Mul", d, root), SIDE**4), "node 1, ReduceMean")
    # Scales and shifts that have moved: by dimensions that have changed places, or that are left out.
    def parts(g):
        h = g.conv("x")
        m = g.means(h, 1)
        d = g.op("Sub", h, m)
        return h, m, g.root(g.op("Mul", d, d), 1)

    g = Graph()
    h, m, root = parts(g)
    scale = g.op("Mul", root, g.floats(SIDE, 1, 1))
    y = g.op("Add", g.op("Mul", h, scale), g.op("Sub", g.floats(SIDE, 1, 1), g.op("Mul", m, scale)))
    reads("scale_and_shift", g, g.end(y))
    for name, perm in [("columns", [0, 1, 3, 2]), ("channels", [0, 2, 1, 3])]:
        g = Graph()
        h, m, root = parts(g)
        scale = g.turned(g.op("Mul", root, g.floats(SIDE, 1, 1)), *perm)
        y = g.op("Add", g.op("Mul", h, scale), g.op("Sub", g.floats(SIDE, 1, 1), g.op("Mul", m, scale)))
        refuses(f"scale_with_turned_{name}", g, g.end(y), "node 10, Mul", "broadcast")
    g = Graph()
    h, m, root = parts(g)
    scale = g.op("Mul", root, g.floats(SIDE, 1, 1))
    shift = g.turned(g.op("Sub", g.floats(SIDE, 1, 1), g.op("Mul", m, scale)), 0, 1, 3, 2)
    refuses("shift_that_is_turned", g, g.end(g.op("Add", g.op("Mul", h, scale), shift)), "node 13, Add", "broadcast")
    g = Graph()
    h, m, root = parts(g)
    scale = g.op("Mul", root, g.floats(SIDE, 1, 1))
    shift = g.op("Sub", g.floats(SIDE, 1, 1), g.turned(g.op("Mul", m, scale), 0, 1, 3, 2))
    refuses("shift_of_what_is_turned", g, g.end(g.op("Add", g.op("Mul", h, scale), shift)), "node 11, Sub", "as in the tensor")
    g = Graph()
    h = g.conv("x")
    root = g.root(g.op("Mul", h, h), 1, keepdims=0)
    refuses("scale_without_a_dimension", g, g.end(g.op("Mul", h, g.op("Mul", root, g.floats(SIDE, 1, 1)))), "node 6, Mul", "as in the tensor")
    g = Graph()
    d, root = g.deviations(g.conv("x"), 1)
    refuses("scale_of_columns", g, g.end(g.op("Mul", d, g.op("Mul", root, g.floats(SIDE)))), "Mul", "one for each channel")
    # A mean of all but the first two dimensions, of five.
    g = Graph((SIDE * SIDE, 1, SIDE))
    h = g.op("Reshape", g.conv("x", SIDE * SIDE, SIDE * SIDE, kernel=1), g.ints(0, SIDE, SIDE, 1, SIDE))
    h = g.turned(h, 0, 2, 3, 4, 1)
    refuses("mean_of_more_than_pixels", g, g.end(g.op("GlobalAveragePool", h), SIDE), "node 3, GlobalAveragePool", "all pixels")


def affine():
    for name, before, after in [("number", [("Mul", 2.0)], []), ("numbers", [("Sub", 0.5), ("Div", 4.0), ("Add", -1.5)], []),
                                ("number_and_channels", [("Mul", -3.0)], ["Add", "Mul"]), ("number_after_relu", [], [])]:
        g = Graph()
        h = g.conv("x")
        for op, by in before:
            h = g.op(op, h, g.number(by, (1, 1, 1, 1) if op == "Div" else ()))
        for op in after:
            h = g.op(op, h, g.floats(SIDE, 1, 1))
        if name == "number_after_relu":
            h = g.op("Mul", g.op("BatchNormalization", g.op("Relu", h), *[g.number(v, (SIDE,)) for v in [1, 0, 0.5, 2]]), g.number(3.0))
        reads(f"scaled_by_{name}", g, g.end(g.conv(h)))
    g = Graph()
    h = g.op("Mul", g.conv("x"), g.number(2.0))
    reads("scaled_by_number_in_a_sum", g, g.end(g.op("Add", g.conv(h), h)))
    g = Graph()
    h = g.op("Mul", g.conv("x"), g.number(2.0))
    reads("scaled_by_number_and_flattened", g, g.end(h))
    g = Graph()
    h = g.op("Relu", g.op("Mul", g.conv("x"), g.number(2.0)))
    refuses("scaled_by_number_before_relu", g, g.end(g.conv(h)), "node 2, Relu", "what node 0, Conv", "right before another layer")
    # A constant with more dimensions gives them to the result.
    for name, dims in [("number", (1,) * 5), ("channels", (1, 1, SIDE, 1, 1))]:
        g = Graph()
        refuses(f"more_dimensions_by_{name}", g, g.end(g.op("Mul", g.conv("x"), g.number(2.0, dims))), "node 1, Mul")
    g = Graph()
    refuses("more_dimensions_of_the_input", g, g.end(g.op("Mul", "x", g.number(2.0, (1,) * 5))), "node 0, Mul", "more dimensions")


def sums():
    for name, ops in [("relu", ["Relu", None]), ("relu_and_tanh", ["Relu", "Tanh"])]:
        g = Graph()
        h = g.conv("x")
        a = g.conv(g.op(ops[0], h))
        b = h if ops[1] is None else g.conv(g.op(ops[1], h), kernel=1)
        reads(f"begins_with_{name}", g, g.end(g.op("Add", a, b)))
    g = Graph()
    h = g.conv("x")
    for _ in range(2):
        norm = lambda v: g.op("BatchNormalization", v, *[g.constant(np.abs(RNG.standard_normal(SIDE)).astype(np.float32) + 0.1) for _ in range(4)])
        body = g.conv(g.op("Relu", norm(g.conv(g.op("Relu", norm(h))))))
        h = g.op("Add", h, body)
    reads("residuals_with_norms_first", g, g.end(h))
    # The same scaling in a node for each way, and another one.
    for name, by in [("same", 0.5), ("other", 0.25)]:
        g = Graph()
        y = g.op("Add", g.conv(g.op("Mul", "x", g.number(0.5))), g.conv(g.op("Mul", "x", g.number(by)), kernel=1))
        (reads(f"{name}_scaling_twice", g, g.end(y)) if name == "same" else
         refuses(f"{name}_scaling_twice", g, g.end(y), "node 1, Conv", "node 3, Conv", "different shifts and scales"))
    g = Graph()
    y = g.op("Add", g.conv("x"), g.conv(g.turned("x", 0, 1, 3, 2)))
    refuses("image_twice_in_different_orders", g, g.end(y), "node 0, Conv", "node 2, Conv", "in different orders")
    g = Graph()
    y = g.op("Add", g.end(g.conv("x")), g.end("x"))
    refuses("image_and_rows", g, g.op("Gemm", y, g.floats(3, 3)), "node 0, Conv", "node 4, Gemm", "as an image and as rows")


def orders():
    g = Graph()
    reads("channels_last", g, g.end(g.conv(g.turned("x", 0, 3, 1, 2))))
    EXPECTED["channels_last.x"] = X.copy()
    for name, perm in [("rows_and_columns", [0, 1, 3, 2]), ("channels_and_rows", [0, 2, 1, 3]), ("all", [0, 2, 3, 1]), ("reversed", [0, 3, 2, 1])]:
        g = Graph()
        refuses(f"input_with_turned_{name}", g, g.end(g.conv(g.turned("x", *perm))), "node 1, Conv", "another order in the graph's input")

    def turned_rows(g, h):
        h = g.turned(g.op("Reshape", h, g.ints(0, SIDE, SIDE)), 0, 2, 1)
        return g.op("Reshape", h, g.ints(0, SIDE * SIDE))

    g = Graph()
    h = g.op("Gemm", g.op("Flatten", "x"), g.floats(SIDE**3, SIDE * SIDE))
    refuses("outputs_that_are_turned", g, turned_rows(g, h), "node 1, Gemm", "another order")
    g = Graph()
    h = g.op("MatMul", g.op("Flatten", "x"), g.floats(SIDE**3, SIDE * SIDE))
    refuses("bias_of_turned_products", g, g.op("Gemm", g.op("Add", turned_rows(g, h), g.floats(SIDE * SIDE)), g.floats(SIDE * SIDE, 3)), "node 5, Add")
    g = Graph()
    refuses("class_of_each_column", g, g.op("ArgMax", g.end("x"), axis=0), "node 2, ArgMax", "axis is 0", kind=TensorProto.INT64)


def values():
    for name, by, words in [("variance", -0.5, ["running_var holds -0.5", "at least 0"]), ("number", np.nan, ["holds NaN", "finite"])]:
        g = Graph()
        constants = [g.number(1.0, (SIDE,)) for _ in range(3)] + [g.number(by, (SIDE,))]
        h = g.op("BatchNormalization", g.conv("x"), *constants)
        refuses(f"no_{name}", g, g.end(h), 'node 1, BatchNormalization "1 BatchNormalization"', *words)
    g = Graph()
    refuses("scaling_by_infinity", g, g.end(g.conv(g.op("Div", "x", g.number(0.0)))), "scales its input", "finite")
    g = Graph((1, 4096, 4096))
    h = g.conv(g.op("Mul", "x", g.number(0.5)), 1, 1, kernel=1)
    refuses("one_number_for_millions", g, g.end(g.op("GlobalAveragePool", h), 1), "16777216 values", "at most 4194304")
    g = Graph((None,))
    g.constants.append(TensorProto(name="absent", dims=[1 << 40, 2], data_type=TensorProto.FLOAT))
    refuses("one_number_for_a_weight_that_is_not_there", g, g.op("MatMul", g.op("Mul", "x", g.number(0.5)), "absent"), "1099511627776 values", "at most 4194304")
    g = Graph()
    refuses("window_that_does_not_fit", g, g.end(g.op("MaxPool", g.op("Relu", g.conv("x")), kernel_shape=[9, 9])), "node 2, MaxPool", "it has an image of 3×3×3", "window of 9×9")


if __name__ == "__main__":
    for part in [padding, norms, affine, sums, orders, values]:
        part()
    save_file({name: np.ascontiguousarray(value, np.float32) for name, value in EXPECTED.items()}, OUT / "expected.safetensors")
    (OUT / "refused.json").write_text(json.dumps(REFUSED, indent=1, ensure_ascii=False) + "\n")
