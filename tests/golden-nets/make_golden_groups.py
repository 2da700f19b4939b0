"""Writes trajectories of groups of weights, computed by PyTorch in float64: torch.optim's param_groups, and parameters without a gradient; and of
moving averages of the weights: torch.optim.swa_utils; and of gradients that are added up over several minibatches before a step.

Usage: python make_golden_groups.py OUT_DIR            (needs: pip install torch safetensors numpy)

The files are as those of make_golden_nets.py, which builds the networks. The case has besides:
  groups   [{match: [kinds or names], weight_decay, lr_scale, frozen}]   the first that matches a tensor counts
  schedule [[scheduler, arguments]]                                      of torch.optim.lr_scheduler, called after every step
  ema      the decay of the moving average, which final and eval are of; running statistics are averaged alike
  accumulate   the minibatches of a step: a loss is the mean over the rows of all of them, and step s begins where step s - 1 ended
grad0 has the gradients of frozen weights too: they are computed before these are frozen.
"""
import fnmatch, json, math, sys
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from safetensors.torch import save_file

from make_golden_nets import ChannelsLast, F64, build

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, ChannelsLast)


def kinds(net, name):
    """The kinds of a tensor, by the module that has it."""
    path, part = name.rsplit(".", 1); module = net.get_submodule(path)
    own = {"norms"} if isinstance(module, NORMS) else set()
    if part == "bias": return own | {"biases"}
    return own or {"convs"} if isinstance(module, nn.Conv2d) else own or {"matrices"}


def group_of(net, name, groups):
    """The first group that matches a tensor."""
    is_member = lambda group: any(p in kinds(net, name) or fnmatch.fnmatchcase(name.replace(".norm.", "."), p) for p in group["match"])
    return next((group for group in groups if is_member(group)), {})


CASES = {
    "groups_adamw": dict(
        layers=[dict(conv=6, kernel=3, activation="relu"), dict(flatten=True), dict(dense=9, activation="relu"), dict(layer_norm=True), dict(dense=3)],
        shape=(6, 7, 2), opt=("AdamW", dict(lr=0.01, eps=1e-7, weight_decay=0.3)), clip=0.8, schedule=[("StepLR", dict(step_size=5, gamma=0.7))],
        groups=[dict(match=["norms", "biases"], weight_decay=0.0), dict(match=["6.*"], lr_scale=0.25), dict(match=["convs"], weight_decay=1.5, lr_scale=2.0)]),
    "groups_frozen": dict(
        layers=[dict(conv=5, kernel=3, bias=False), dict(batch_norm=True, activation="relu"), dict(flatten=True), dict(dense=10, activation="relu"), dict(dense=7, activation="relu"), dict(dense=4)],
        shape=(6, 5, 3), opt=("SGD", dict(lr=0.05, momentum=0.9, weight_decay=0.1)), clip=0.4,
        groups=[dict(match=["convs", "1.bias", "4.weight", "6.bias"], frozen=True), dict(match=["*.bias"], weight_decay=0.0, lr_scale=1.5)]),
    "groups_frozen_norm": dict(
        layers=[dict(dense=12, bias=False), dict(batch_norm=True, activation="relu"), dict(dense=9), dict(layer_norm=True, activation="silu"), dict(dense=3)],
        shape=(8,), opt=("Adam", dict(lr=0.01, eps=1e-7, weight_decay=0.05)),
        groups=[dict(match=["1.*"], frozen=True), dict(match=["norms"], lr_scale=0.5, weight_decay=0.0)]),
    "ema": dict(
        layers=[dict(conv=5, kernel=3, bias=False), dict(batch_norm=True, activation="relu"), dict(flatten=True), dict(dense=4)],
        shape=(6, 5, 2), opt=("SGD", dict(lr=0.1, momentum=0.9)), ema=0.8, groups=[dict(match=["convs"], frozen=True)]),
    "accumulate": dict(
        layers=[dict(conv=6, kernel=3, bias=False), dict(batch_norm=True, activation="relu"), dict(flatten=True), dict(dense=8, activation="relu"), dict(layer_norm=True), dict(dense=4)],
        shape=(6, 5, 2), opt=("Adam", dict(lr=0.01, eps=1e-7)), batch=6, rows=31, accumulate=3, clip=0.5, schedule=[("StepLR", dict(step_size=5, gamma=0.7))], groups=[]),
}


def run(name, case, out, seed):
    g = torch.Generator().manual_seed(seed); torch.manual_seed(seed)
    rows, batch, steps, groups = case.get("rows", 32), case.get("batch", 8), 24, case["groups"]
    whole = batch * case.get("accumulate", 1)
    shape = case["shape"]; shape = (shape[2], *shape[:2]) if len(shape) == 3 else shape
    classes = case["layers"][-1]["dense"]
    x = torch.randn(rows, *shape, generator=g).float().to(F64)
    modules, _ = build(case["layers"], shape); net = nn.Sequential(*modules)
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() == 1: p.add_(0.05 * torch.randn(p.shape, generator=g))
            else: p.copy_(torch.randn(p.shape, generator=g) / math.sqrt(p[0].numel()))
            p.copy_(p.float().to(F64))
    state = lambda of: {k: v.detach().clone() for k, v in of.state_dict().items() if "num_batches" not in k}
    tensors = {"init." + k: v for k, v in state(net).items()}
    t = (x.flatten(1) @ torch.randn(x[0].numel(), classes, generator=g).to(F64)).argmax(1)
    loss = nn.CrossEntropyLoss(reduction="sum")

    def gradients(lo):
        """Adds the gradients of a step's minibatches, and gives its loss."""
        end, total = min(lo + whole, rows), 0.0
        for at in range(lo, end, batch):
            value = loss(net(x[at:min(at + batch, end)]), t[at:min(at + batch, end)]) / (end - lo)
            value.backward(); total += value.item()
        return total

    before = {k: v.clone() for k, v in net.state_dict().items()}
    gradients(0)
    tensors.update({"grad0." + k: p.grad.detach().clone() for k, p in net.named_parameters()})
    net.load_state_dict(before)
    arguments, param_groups = case["opt"][1], []
    for k, p in net.named_parameters():
        group = group_of(net, k, groups); p.grad = None
        if group.get("frozen"): p.requires_grad_(False); continue
        param_groups.append(dict(params=[p], lr=arguments["lr"] * group.get("lr_scale", 1.0), weight_decay=group.get("weight_decay", arguments.get("weight_decay", 0.0))))
    opt = getattr(torch.optim, case["opt"][0])(param_groups, **arguments)
    schedulers = [getattr(torch.optim.lr_scheduler, kind)(opt, **given) for kind, given in case.get("schedule", [])]
    average = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(case["ema"]), use_buffers=True) if "ema" in case else None
    losses, passes = [], math.ceil(rows / whole)
    for s in range(steps):
        opt.zero_grad(); value = gradients((s % passes) * whole)
        if "clip" in case: nn.utils.clip_grad_norm_([p for p in net.parameters() if p.requires_grad], case["clip"])
        opt.step(); losses.append(value)
        for scheduler in schedulers: scheduler.step()
        if average: average.update_parameters(net)
    if average: net = average.module
    tensors.update({"final." + k: v for k, v in state(net).items()})
    net.eval(); tensors["eval"] = net(x).detach()
    tensors = {k: v.float().contiguous() for k, v in tensors.items()}
    tensors["loss"] = torch.tensor(losses, dtype=torch.float32)
    tensors["x"] = (x.movedim(1, -1) if x.dim() == 4 else x).float().contiguous(); tensors["y"] = t
    tensors = {k.replace(".norm.", "."): v.clone() for k, v in tensors.items()}
    meta = dict(name=name, layers=case["layers"], loss="softmax_cross_entropy", loss_args={}, optimizer=case["opt"][0], optimizer_args=case["opt"][1],
                groups=groups, schedule=case.get("schedule", []), clip_grad_norm=case.get("clip"), batch_size=batch, rows=rows, steps=steps)
    meta.update({k: case[k] for k in ("ema", "accumulate") if k in case})
    save_file(tensors, str(out / f"{name}.safetensors"), metadata={"case": json.dumps(meta)})
    return losses[0], losses[-1]


if __name__ == "__main__":
    out = Path(sys.argv[1]); out.mkdir(parents=True, exist_ok=True)
    for i, (name, case) in enumerate(CASES.items()):
        first, last = run(name, case, out, 7000 + i)
        print(f"{name:24s} loss {first:.4f} -> {last:.4f}")
