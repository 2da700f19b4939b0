"""Trains the network of examples/resnet20.toml in PyTorch, on the same files with the same options, and prints each epoch's figures.

Usage: python resnet20.py FOLDER [EPOCHS] [SEED]      (needs: pip install torch numpy)

FOLDER has CIFAR-10's binary files, as `cargo run --release --example cifar_form -- FOLDER` writes them. It takes one thread; docs/networks.md has
its figures beside the program's.
"""
import sys, time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BATCH, PADDING = 128, 4


def read(paths):
    """Images [rows, 3, 32, 32] in bytes, and their classes."""
    records = np.concatenate([np.fromfile(path, np.uint8).reshape(-1, 3073) for path in paths])
    return torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()), torch.from_numpy(records[:, 0].astype(np.int64))


class Block(nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()
        conv = lambda a, b, kernel, stride: [nn.Conv2d(a, b, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(b)]
        self.body = nn.Sequential(*conv(before, channels, 3, stride), nn.ReLU(), *conv(channels, channels, 3, 1))
        self.shortcut = nn.Sequential(*(conv(before, channels, 1, stride) if stride > 1 else []))

    def forward(self, x):
        return F.relu(self.body(x) + self.shortcut(x))


def network():
    layers, before = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for channels in (16, 32, 64):
        for block in range(3):
            layers.append(Block(before, channels, 2 if channels > before else 1))
            before = channels
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    return net


def augmented(x, generator):
    """Each image at a place of its own within PADDING black pixels, half of them mirrored."""
    padded = F.pad(x, [PADDING] * 4)
    places = torch.randint(2 * PADDING + 1, (len(x), 2), generator=generator)
    flips = torch.rand(len(x), generator=generator) < 0.5
    cut = torch.stack([image[:, down:down + 32, across:across + 32] for image, (down, across) in zip(padded, places.tolist())])
    return torch.where(flips[:, None, None, None], cut.flip(3), cut)


def main():
    folder, epochs, seed = Path(sys.argv[1]), int((sys.argv + ["6"])[2]), int((sys.argv + ["6", "1"])[3])
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = read([folder / f"data_batch_{batch}.bin" for batch in range(1, 6)])
    test_x, test_y = read([folder / "test_batch.bin"])
    mean, deviation = [of(x.float(), (0, 2, 3), keepdim=True) for of in (torch.mean, torch.std)]
    scaled = lambda x: ((x.float() - mean) / deviation).contiguous(memory_format=torch.channels_last)
    net = network().to(memory_format=torch.channels_last)
    print(sum(weights.numel() for weights in net.parameters()), "weights")
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.1)
    began = time.perf_counter()
    for epoch in range(1, epochs + 1):
        net.train()
        loss_sum = hits = 0
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            logits = net(scaled(augmented(x[rows], generator)))
            loss = F.cross_entropy(logits, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(rows)
            hits += (logits.argmax(1) == y[rows]).sum().item()
        schedule.step()
        seconds = time.perf_counter() - began
        net.eval()
        with torch.no_grad():
            logits = torch.cat([net(scaled(part)) for part in test_x.split(500)])
        print(
            f"epoch {epoch}  loss {loss_sum / len(x):.4f}  accuracy {hits / len(x):.4f}  "
            f"validation loss {F.cross_entropy(logits, test_y):.4f}  accuracy {(logits.argmax(1) == test_y).float().mean():.4f}  {seconds:.1f} s",
            flush=True,
        )


main()
