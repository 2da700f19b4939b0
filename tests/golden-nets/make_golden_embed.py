"""Writes trajectories of networks that look up features which are categories, computed by PyTorch in float64: torch.cat([numbers, nn.Embedding(k, w)(city), …], 1).

Usage: python make_golden_embed.py OUT_DIR             (needs: pip install torch safetensors numpy)

The files are as those of make_golden_nets.py, which builds the layers behind the first. That is
  embed: [{feature, vocabulary, width}]   the vectors of these features, in this order, after the features that are numbers
whose tables are an nn.ModuleList: 0.0.weight, 0.1.weight. Category 0 of each is in no row that is trained on, as the one of words that were never seen.
"""
import json, math, sys
from pathlib import Path

import torch
from torch import nn
from safetensors.torch import save_file

from make_golden_nets import F64, build


class Embed(nn.ModuleList):
    def __init__(self, columns):
        super().__init__(nn.Embedding(c["vocabulary"], c["width"], dtype=F64) for c in columns)
        self.features = [c["feature"] for c in columns]

    def forward(self, x):
        numbers = [i for i in range(x.shape[1]) if i not in self.features]
        return torch.cat([x[:, numbers], *(table(x[:, f].long()) for f, table in zip(self.features, self))], 1)


CASES = {
    "embed": dict(
        features=7, columns=[dict(feature=4, vocabulary=9, width=6), dict(feature=1, vocabulary=5, width=3), dict(feature=6, vocabulary=70, width=1)],
        layers=[dict(dense=11, activation="relu"), dict(dense=3)], rows=45, steps=42, opt=("AdamW", dict(lr=0.01, eps=1e-7, weight_decay=0.3)), clip=0.9,
        groups=[dict(match=["embeddings"], weight_decay=0.02, lr_scale=2.0)]),
    "embed_ignored": dict(
        features=3, columns=[dict(feature=0, vocabulary=4, width=8), dict(feature=1, vocabulary=6, width=4), dict(feature=2, vocabulary=3, width=5)],
        layers=[dict(dense=4)], rows=40, steps=40, opt=("SGD", dict(lr=0.05, momentum=0.9)), ignored=0.2, groups=[]),
}


def run(name, case, out, seed):
    g = torch.Generator().manual_seed(seed); torch.manual_seed(seed)
    rows, batch, classes = case["rows"], 8, case["layers"][-1]["dense"]
    x = torch.randn(rows, case["features"], generator=g)
    for c in case["columns"]: x[:, c["feature"]] = torch.randint(1, c["vocabulary"], (rows,), generator=g).float()
    x = x.to(F64)
    first = Embed(case["columns"]); width = case["features"] + sum(c["width"] - 1 for c in case["columns"])
    modules, _ = build(case["layers"], (width,)); net = nn.Sequential(first, *modules)
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() == 1: p.add_(0.05 * torch.randn(p.shape, generator=g))
            p.copy_(p.float().to(F64))
        t = (first(x) @ torch.randn(width, classes, generator=g).to(F64)).argmax(1)
    if "ignored" in case: t[torch.rand(t.shape, generator=g) < case["ignored"]] = -100
    state = lambda: {k: v.detach().clone() for k, v in net.state_dict().items()}
    tensors = {"init." + k: v for k, v in state().items()}
    arguments, own = case["opt"][1], {} if not case["groups"] else case["groups"][0]
    groups = [dict(params=[p], lr=arguments["lr"] * (own.get("lr_scale", 1.0) if k.startswith("0.") else 1.0),
                   weight_decay=own.get("weight_decay", arguments.get("weight_decay", 0.0)) if k.startswith("0.") else arguments.get("weight_decay", 0.0)) for k, p in net.named_parameters()]
    opt, loss = getattr(torch.optim, case["opt"][0])(groups, **arguments), nn.CrossEntropyLoss()
    losses, passes = [], math.ceil(rows / batch)
    for s in range(case["steps"]):
        lo = (s % passes) * batch
        opt.zero_grad(); value = loss(net(x[lo:lo + batch]), t[lo:lo + batch]); value.backward()
        if s == 0: tensors.update({"grad0." + k: p.grad.detach().clone() for k, p in net.named_parameters()})
        if "clip" in case: nn.utils.clip_grad_norm_(net.parameters(), case["clip"])
        opt.step(); losses.append(value.item())
    tensors.update({"final." + k: v for k, v in state().items()})
    tensors["eval"] = net(x).detach(); tensors["x"] = x
    tensors = {k: v.float().contiguous() for k, v in tensors.items()}
    tensors["loss"] = torch.tensor(losses, dtype=torch.float32); tensors["y"] = t
    meta = dict(name=name, layers=[dict(embed=case["columns"]), *case["layers"]], loss="softmax_cross_entropy", loss_args={}, optimizer=case["opt"][0],
                optimizer_args=arguments, groups=case["groups"], clip_grad_norm=case.get("clip"), batch_size=batch, rows=rows, steps=case["steps"])
    save_file(tensors, str(out / f"{name}.safetensors"), metadata={"case": json.dumps(meta)})
    return losses[0], losses[-1]


if __name__ == "__main__":
    out = Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True)
    for i, (name, case) in enumerate(CASES.items()):
        first, last = run(name, case, out, 9000 + i)
        print(f"{name:24s} loss {first:.4f} -> {last:.4f}")
