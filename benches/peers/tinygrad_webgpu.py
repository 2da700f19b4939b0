"""The benchmark workload in tinygrad, on its WebGPU device: a step jitted by TinyJit, each batch uploaded."""
import os
import time
from importlib.metadata import version

from pydawn.webgpu import dll_path

os.environ.update(DEV="WEBGPU", WEBGPU_PATH=str(dll_path))
import numpy as np
from tinygrad import Context, Tensor, TinyJit, nn

from common import first_step, mnist, options, report

WARM_UP, PROBE = 20, 25

options = options()
x, y = mnist()
y = y.astype(np.int32)
random = np.random.default_rng(0)


def layer(inputs, outputs):
    layer = nn.Linear(inputs, outputs)
    limit = np.sqrt(6 / (inputs + outputs))
    layer.weight.assign(Tensor(random.uniform(-limit, limit, (outputs, inputs)).astype(np.float32))).realize()
    layer.bias.assign(Tensor.zeros(outputs)).realize()
    return layer


hidden, out = layer(784, 256), layer(256, 10)
adam = nn.optim.Adam(nn.state.get_parameters([hidden, out]), lr=1e-3, eps=1e-7)


# The whole set is not on the device: 188 MB in f32 are more than lavapipe binds (128 MiB).
@TinyJit
def step(x, y):
    with Context(TRAINING=1):
        adam.zero_grad()
        loss = out(hidden(x).relu()).sparse_categorical_crossentropy(y).backward()
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
