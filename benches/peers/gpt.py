"""Trains the network of examples/gpt.toml in PyTorch with the same options, and prints its validation loss; or times a step of it.

Usage: python gpt.py TEXT [SEED] [STEPS]      (needs: pip install torch)
       python gpt.py TEXT --time [STEPS]

TEXT is a file; its characters are the tokens, and its last tenth is for validation, cut into rows of the context that do not overlap. The recipe is that of nanoGPT for a
CPU: https://github.com/karpathy/nanoGPT, config/train_shakespeare_char.py with the options of its README. benches/RESULTS.md has the losses beside the program's.
"""
import math
import sys
import time
from pathlib import Path

import torch
from torch import nn

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


def main():
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    known = {character: at for at, character in enumerate(sorted(set(text)))}
    tokens = torch.tensor([known[character] for character in text])
    cut = len(tokens) - len(tokens) // 10
    train, held_out = tokens[:cut], tokens[cut:]
    times = "--time" in sys.argv
    rest = [int(word) for word in sys.argv[2:] if word.isdigit()]
    seed = 1 if times or not rest else rest[0]
    steps = rest[0] if times and rest else rest[1] if len(rest) > 1 else STEPS
    torch.manual_seed(seed)
    net = Gpt(len(known))
    begin(net)
    adam = torch.optim.AdamW(net.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
    rows = torch.arange(CONTEXT)
    begun = time.perf_counter()
    for step in range(steps):
        adam.param_groups[0]["lr"] = rate(step)
        first = torch.randint(len(train) - CONTEXT, (BATCH, 1))
        loss = loss_of(net, train[first + rows], train[first + rows + 1])
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        adam.step()
        if step == 9 and times:
            begun = time.perf_counter()
    if times:
        print(f"{1e3 * (time.perf_counter() - begun) / (steps - 10):.1f} ms a step")
        return
    count = (len(held_out) - 1) // CONTEXT
    x, y = (held_out[by : by + count * CONTEXT].view(count, CONTEXT) for by in (0, 1))
    with torch.no_grad():
        losses = [loss_of(net, a, b).item() * len(a) for a, b in zip(x.split(64), y.split(64))]
    print(f"seed {seed}  {steps} steps  training loss {loss.item():.4f}  validation loss {sum(losses) / count:.4f}", flush=True)


main()
