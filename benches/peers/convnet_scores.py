"""Trains the network of examples/convnet.toml in PyTorch with the same options, and prints each epoch's accuracy on MNIST's test rows.

Usage: python convnet_scores.py [EPOCHS] [SEED] [EPS]      (needs: pip install torch numpy)

MNIST lies in data/mnist, as for the program itself. benches/RESULTS.md has the scores beside the program's. EPS is Adam's ε: PyTorch's is 1e-8, Keras' 1e-7.
"""
import sys

import torch
from torch import nn

from common import mnist
from torch_convnet import begin, convnet

BATCH = 128


def read(part):
    values, labels = mnist(part)
    return torch.from_numpy(values).reshape(-1, 1, 28, 28), torch.from_numpy(labels)


def main():
    given = sys.argv[1:]
    epochs, seed, eps = [kind(given[at]) if at < len(given) else usual for at, (kind, usual) in enumerate([(int, 1), (int, 1), (float, 1e-8)])]
    torch.manual_seed(seed)
    (x, y), (test_x, test_y) = read("train"), read("t10k")
    net = convnet()
    begin(net)
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, eps=eps)
    for epoch in range(1, epochs + 1):
        net.train()
        losses = []
        for rows in torch.randperm(60_000).split(BATCH):
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item() * len(rows))
        net.eval()
        with torch.no_grad():
            logits = torch.cat([net(part) for part in test_x.split(1000)])
        right = (logits.argmax(1) == test_y).double().mean()
        print(f"seed {seed}  epoch {epoch:>2}  loss {sum(losses) / 60_000:.4f}  test accuracy {100 * right:.2f} %", flush=True)


main()
