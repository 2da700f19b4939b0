"""The benchmark workloads in tinygrad, on its WebGPU device: a step jitted by TinyJit, each batch uploaded."""
import os
import time
from importlib.metadata import version

from pydawn.webgpu import dll_path

os.environ.update(DEV="WEBGPU", WEBGPU_PATH=str(dll_path))
import numpy as np
from tinygrad import Context, Tensor, TinyJit, nn

from common import first_step, mnist, options, report

options = options()
WARM_UP, PROBE = (20, 25) if options.network == "dense" else (5, 8)
x, y = mnist()
y = y.astype(np.int32)
random = np.random.default_rng(0)


def glorot(layer):
    outputs, inputs, *window = layer.weight.shape
    limit = np.sqrt(6 / ((inputs + outputs) * np.prod(window)))
    layer.weight.assign(Tensor(random.uniform(-limit, limit, layer.weight.shape).astype(np.float32))).realize()
    layer.bias.assign(Tensor.zeros(outputs)).realize()
    return layer


if options.network == "dense":
    hidden, out = layers = glorot(nn.Linear(784, 256)), glorot(nn.Linear(256, 10))
    network = lambda x: out(hidden(x).relu())
else:
    conv1, conv2, out = layers = glorot(nn.Conv2d(1, 32, 3)), glorot(nn.Conv2d(32, 64, 3)), glorot(nn.Linear(1600, 10))
    pooled = lambda layer, x: layer(x).relu().max_pool2d()
    network = lambda x: out(pooled(conv2, pooled(conv1, x.reshape(-1, 1, 28, 28))).flatten(1).dropout(0.5))
adam = nn.optim.Adam(nn.state.get_parameters(layers), lr=1e-3, eps=1e-7)


# The whole set is not on the device: 188 MB in f32 are more than lavapipe binds (128 MiB).
@TinyJit
def step(x, y):
    with Context(TRAINING=1):
        adam.zero_grad()
        loss = network(x).sparse_categorical_crossentropy(y).backward()
        return loss.realize(*adam.schedule_step())


def batches():
    while True:
        order = random.permutation(len(x))[: len(x) // options.batch * options.batch]
        yield from order.reshape(-1, options.batch)


def train(steps):
    """The seconds that `steps` steps took, and the last one's loss."""
    started = time.perf_counter()
    for _ in range(steps):
        rows = next(order)
        loss = step(Tensor(x[rows]), Tensor(y[rows]))
    loss = loss.item()
    return time.perf_counter() - started, loss


order = batches()
first = first_step(lambda: train(1))
train(WARM_UP)
steps = max(PROBE, int(options.seconds * PROBE / train(PROBE)[0]))
seconds, _ = train(steps)
loss = np.mean([train(1)[1] for _ in range(PROBE)])
trained = 1 + WARM_UP + PROBE + steps + PROBE
report(f"tinygrad {version('tinygrad')}, WebGPU", seconds, steps * options.batch, loss, **first, steps=trained)
