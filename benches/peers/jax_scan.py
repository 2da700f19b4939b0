"""The benchmark workload in JAX, the whole epoch compiled: one jitted lax.scan over minibatches gathered in its body."""
import os
import time
from functools import partial

os.environ["JAX_PLATFORMS"] = "cpu"
import jax
import jax.numpy as jnp
import numpy as np

from common import first_step, mnist, options, report

options = options()
images, labels = mnist()
x, y = jnp.asarray(images), jnp.asarray(labels.astype(np.int32))
random = np.random.default_rng(0)


def layer(inputs, outputs):
    limit = np.sqrt(6 / (inputs + outputs))
    return jnp.asarray(random.uniform(-limit, limit, (inputs, outputs)), jnp.float32), jnp.zeros(outputs, jnp.float32)


weights = [layer(784, 256), layer(256, 10)]
moments = (jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights), jnp.zeros(()))


def loss_of(weights, x, y):
    (w1, b1), (w2, b2) = weights
    logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


def step(carry, rows):
    weights, (m, v, t) = carry
    loss, g = jax.value_and_grad(loss_of)(weights, x[rows], y[rows])
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
    rate = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-7), weights, m, v)
    return (weights, (m, v, t)), loss


@partial(jax.jit, donate_argnums=0)
def epoch(carry, order):
    return jax.lax.scan(step, carry, order)


def order():
    steps = len(x) // options.batch
    return jnp.asarray(random.permutation(len(x))[: steps * options.batch].reshape(steps, -1), jnp.int32)


# There is no single step, only a compiled epoch. The code below compiles another epoch, untimed.
first = first_step(lambda: epoch.lower((weights, moments), order()).compile())
carry, loss = epoch((weights, moments), order())
loss.block_until_ready()
started = time.perf_counter()
for _ in range(options.epochs):
    rows = order()
    carry, loss = epoch(carry, rows)
loss.block_until_ready()
seconds = time.perf_counter() - started
report(f"JAX {jax.__version__}, epoch compiled", seconds, options.epochs * rows.size, loss.mean(), **first)
