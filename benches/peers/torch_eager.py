"""The benchmark workloads in PyTorch, eager: minibatches gathered from one tensor, fused Adam, denormals flushed, images with channels last."""
import time

import torch
from torch import nn

from common import first_step, mnist, options, report
from torch_convnet import begin, convnet

options = options()
torch.set_flush_denormal(True)
torch.manual_seed(0)
x, y = map(torch.from_numpy, mnist())
if options.network == "dense":
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
else:
    x = x.reshape(-1, 1, 28, 28)
    model = convnet()
begin(model)
adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)


def step(rows):
    loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
    adam.zero_grad(set_to_none=True)
    loss.backward()
    adam.step()
    return loss.detach()


def epoch():
    order = torch.randperm(len(x))
    return [step(rows) for rows in order.split(options.batch) if len(rows) == options.batch]


first = first_step(lambda: step(torch.randperm(len(x))[: options.batch]).item())
epoch()
started = time.perf_counter()
losses = [epoch() for _ in range(options.epochs)]
seconds = time.perf_counter() - started
rows = options.epochs * len(losses[-1]) * options.batch
report(f"PyTorch {torch.__version__} eager", seconds, rows, torch.stack(losses[-1]).mean(), **first)
