"""Trains the network of examples/gpt.toml in PyTorch with the same options, and prints its validation loss; or times its steps.

Usage: python gpt.py [--seed 1] [--steps 2000]      (needs: pip install torch numpy)
       python gpt.py --seconds 5

The text is the one that the program has inside; its characters are the tokens, and its last tenth is for validation, cut into rows of the context that do not
overlap. The recipe is that of nanoGPT for a CPU: https://github.com/karpathy/nanoGPT, config/train_shakespeare_char.py with the options of its README.
benches/RESULTS.md has the losses beside the program's.
"""
import argparse
import gzip
import math
import time
from pathlib import Path

import torch
from torch import nn

from common import first_step, report

TEXT = Path(__file__).parents[2] / "data/shakespeare/plays.txt.gz"
LAYERS, HEADS, WIDTH, CONTEXT, BATCH, STEPS = 4, 4, 128, 64, 12, 2000
RATE, LAST_RATE, WARMUP = 1e-3, 1e-4, 100


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.projected, self.joined = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        rows, places, _ = x.shape
        q, k, v = (part.view(rows, places, HEADS, -1).transpose(1, 2) for part in self.projected(x).chunk(3, 2))
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.joined(y.transpose(1, 2).reshape(rows, places, WIDTH))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(WIDTH), Attention())
        self.units = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.units(x)


class Gpt(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.logits = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, vocabulary))

    def forward(self, x):
        return self.logits(self.blocks(self.tokens(x) + self.places.weight[: x.shape[1]]))


def begin(net):
    """As GPT-2: every matrix from N(0, 0.02), every bias 0."""
    for module in net.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def rate(step):
    if step < WARMUP:
        return RATE * step / WARMUP
    return LAST_RATE + (RATE - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def loss_of(net, x, y):
    return nn.functional.cross_entropy(net(x).flatten(0, 1), y.flatten())


class Training:
    """The network with its optimizer and its text; `run` trains for some steps."""

    def __init__(self, seed):
        text = gzip.decompress(TEXT.read_bytes()).decode()
        known = {character: at for at, character in enumerate(sorted(set(text)))}
        tokens = torch.tensor([known[character] for character in text])
        cut = len(tokens) - len(tokens) // 10
        self.tokens, self.held_out, self.step = tokens[:cut], tokens[cut:], 0
        torch.manual_seed(seed)
        self.net = Gpt(len(known))
        begin(self.net)
        self.adam = torch.optim.AdamW(self.net.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)

    def run(self, steps):
        """The last step's loss."""
        rows = torch.arange(CONTEXT)
        for _ in range(steps):
            self.adam.param_groups[0]["lr"] = rate(self.step)
            first = torch.randint(len(self.tokens) - CONTEXT, (BATCH, 1))
            loss = loss_of(self.net, self.tokens[first + rows], self.tokens[first + rows + 1])
            self.adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
            self.adam.step()
            self.step += 1
        return loss.item()

    def validation_loss(self):
        count = (len(self.held_out) - 1) // CONTEXT
        x, y = (self.held_out[by : by + count * CONTEXT].view(count, CONTEXT) for by in (0, 1))
        with torch.no_grad():
            losses = [loss_of(self.net, a, b).item() * len(a) for a, b in zip(x.split(64), y.split(64))]
        return sum(losses) / count


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seconds", type=float, help="only times steps, for so long")
    options = parser.parse_args()
    training = Training(options.seed)
    if not options.seconds:
        loss = training.run(options.steps)
        held_out = training.validation_loss()
        print(f"seed {options.seed}  {options.steps} steps  training loss {loss:.4f}  validation loss {held_out:.4f}", flush=True)
        return
    start = first_step(lambda: training.run(1))
    training.run(20)
    begun, steps = time.perf_counter(), 0
    while time.perf_counter() - begun < options.seconds:
        loss = training.run(10)
        steps += 10
    report(f"PyTorch {torch.__version__} eager", time.perf_counter() - begun, steps * BATCH, loss, steps=21 + steps, **start)


main()
