"""Writes more reference training trajectories, computed by PyTorch in float64, in the format of the first 22.

Usage: python make_golden.py OUT_DIR            (needs: pip install torch safetensors numpy)

Each case is one safetensors file. All tensors are float32 unless said otherwise:
  x                 [N, D]       inputs, in training order
  y                 [N] int64    class indices, or
  t                 [N, C]       target values
  init.<k>.weight   [out, in]    weights before training, torch.nn.Linear layout; <k> = 0, 2, 4 ..., and <n>.body.<k> in a residual
  init.<k>.bias     [out]
  loss              [S]          mean loss of each step's batch, before that step's update
  grad0.<k>.*                    gradients of the first step
  final.<k>.*                    weights after the last step
The header's metadata holds "case": a JSON object, every value by its torch name. Step s trains on rows
[(s * batch_size) mod N, ...).
"""
import json, sys
from pathlib import Path

import torch
from safetensors.torch import save_file

F64 = torch.float64
ADAM = ("Adam", dict(lr=0.01, eps=1e-7))
SGD = ("SGD", dict(lr=0.1, momentum=0.9))

CASES = {f"activation_{name}": dict(activation=name, opt=ADAM)
         for name in ["leaky-relu", "elu", "gelu", "gelu-tanh", "silu", "tanh", "sigmoid", "softplus"]}
CASES.update({
    "kl_divergence": dict(loss="kl_divergence", opt=ADAM),
    "l1": dict(loss="l1", opt=ADAM),
    "huber": dict(loss="huber", loss_args=dict(delta=0.3), opt=ADAM),
    "pos_weight": dict(loss="sigmoid_cross_entropy", loss_args=dict(pos_weight=[0.5, 2.0, 3.0]), opt=ADAM),
    "everything_at_once": dict(loss_args=dict(label_smoothing=0.2, weight=[1.0, 2.0, 0.5], ignore_index=-7), ignored=0.3, opt=ADAM),
    "soft_smoothed_weighted": dict(loss_args=dict(label_smoothing=0.1, weight=[1.0, 2.0, 0.5]), soft=True, opt=ADAM),
    "adadelta": dict(opt=("Adadelta", dict(lr=1.0, rho=0.8, weight_decay=0.01))),
    "nadam": dict(opt=("NAdam", dict(lr=0.01, momentum_decay=0.01, weight_decay=0.01))),
    "rmsprop_weight_decay": dict(opt=("RMSprop", dict(lr=0.005, alpha=0.95, eps=1e-7, weight_decay=0.02))),
    "adagrad_weight_decay": dict(opt=("Adagrad", dict(lr=0.05, eps=1e-8, weight_decay=0.02))),
    "adamw_amsgrad": dict(opt=("AdamW", dict(lr=0.01, eps=1e-8, amsgrad=True, weight_decay=0.1))),
    "adam_weight_decay": dict(opt=("Adam", dict(lr=0.01, eps=1e-8, weight_decay=0.1))),
    "clip_grad_value": dict(opt=("SGD", dict(lr=0.5)), clip_value=0.02),
    "step_lr": dict(opt=SGD, schedule=[("StepLR", dict(step_size=4, gamma=0.5))]),
    "exponential_lr": dict(opt=SGD, schedule=[("ExponentialLR", dict(gamma=0.9))]),
    "polynomial_lr": dict(opt=SGD, schedule=[("PolynomialLR", dict(total_iters=15, power=2.0))]),
    "cosine_lr": dict(opt=SGD, schedule=[("CosineAnnealingLR", dict(T_max=12, eta_min=0.01))]),
    "one_cycle_lr": dict(opt=SGD, schedule=[("OneCycleLR", dict(max_lr=0.1, total_steps=20, cycle_momentum=False))]),
    "warmup_cosine_lr": dict(opt=ADAM, schedule=[("LinearLR", dict(start_factor=0.1, total_iters=5)), ("CosineAnnealingLR", dict(T_max=15))]),
    "muon": dict(opt=("Muon", dict(lr=0.02, weight_decay=0.1, momentum=0.9)), adamw=dict(lr=0.005, weight_decay=0.1)),
    "muon_match_rms_adamw": dict(opt=("Muon", dict(lr=0.01, weight_decay=0.05, nesterov=False, adjust_lr_fn="match_rms_adamw")),
                                 adamw=dict(lr=0.005, weight_decay=0.05)),
    "residual": dict(opt=ADAM, layers=[
        dict(dense=9, activation="tanh"),
        dict(residual=[dict(dense=6, activation="gelu"), dict(dense=9)], activation="relu"),
        dict(residual=[dict(dense=9, activation="silu")]),
        dict(residual=[dict(dense=5, activation="relu"), dict(dense=8)], shortcut=[dict(dense=8)], activation="tanh"),
        dict(dense=3)]),
    "residual_of_the_inputs": dict(opt=SGD, layers=[
        dict(residual=[dict(residual=[dict(dense=7, activation="tanh")]), dict(dense=7)]),
        dict(dense=3)]),
})
ACTIVATIONS = {
    "relu": torch.nn.ReLU(), "leaky-relu": torch.nn.LeakyReLU(), "elu": torch.nn.ELU(), "gelu": torch.nn.GELU(),
    "gelu-tanh": torch.nn.GELU(approximate="tanh"), "silu": torch.nn.SiLU(), "tanh": torch.nn.Tanh(),
    "sigmoid": torch.nn.Sigmoid(), "softplus": torch.nn.Softplus(),
}


class Residual(torch.nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)


def built(layers, width, g):
    """A list of layers, as [model] layers of run.toml has it, as modules; and the width of what comes out."""
    modules = []
    for layer in layers:
        if "dense" in layer:
            modules.append(linear(width, layer["dense"], g))
            width = layer["dense"]
        else:
            body, after = built(layer["residual"], width, g)
            shortcut, _ = built(layer.get("shortcut", []), width, g)
            modules.append(Residual(torch.nn.Sequential(*body), torch.nn.Sequential(*shortcut)))
            width = after
        if "activation" in layer:
            modules.append(ACTIVATIONS[layer["activation"]])
    return modules, width


def linear(a, b, g):
    module = torch.nn.Linear(a, b, dtype=F64)
    with torch.no_grad():
        module.weight.copy_((torch.randn(b, a, generator=g) / a**0.5).float())
        module.bias.copy_((torch.randn(b, generator=g) * 0.1).float())
    return module


KL = torch.nn.KLDivLoss(reduction="batchmean")
LOSSES = {
    "softmax_cross_entropy": torch.nn.CrossEntropyLoss, "sigmoid_cross_entropy": torch.nn.BCEWithLogitsLoss,
    "l1": torch.nn.L1Loss, "huber": torch.nn.HuberLoss,
    "kl_divergence": lambda: lambda z, t: KL(torch.log_softmax(z, 1), t),
}


def run(name, case, out, seed):
    g = torch.Generator().manual_seed(seed)
    dims, rows, batch, steps = [7, 9, 6, 3], 18, 6, 20
    kind, activation = case.get("loss", "softmax_cross_entropy"), case.get("activation", "relu")
    layers = []
    if "layers" in case:
        layers, _ = built(case["layers"], dims[0], g)
    else:
        for i, (a, b) in enumerate(zip(dims, dims[1:])):
            layers += [linear(a, b, g), ACTIVATIONS[activation]] if i < len(dims) - 2 else [linear(a, b, g)]
    net = torch.nn.Sequential(*layers)
    tensors = {"init." + k: v.detach().clone() for k, v in net.state_dict().items()}
    x = torch.randn(rows, dims[0], generator=g).float().to(F64)
    score = torch.randn(rows, dims[-1], generator=g).float().to(F64)
    arguments = {k: torch.tensor(v, dtype=F64) if isinstance(v, list) else v for k, v in case.get("loss_args", {}).items()}
    lossf = LOSSES[kind](**arguments)
    if kind == "softmax_cross_entropy" and not case.get("soft"):
        t = score.argmax(1)
        if case.get("ignored"):
            t[torch.rand(rows, generator=g) < case["ignored"]] = arguments["ignore_index"]
    elif kind == "sigmoid_cross_entropy":
        t = (score > 0).to(F64)
    elif kind in ("l1", "huber"):
        t = score
    else:
        t = torch.softmax(score, 1).float().to(F64)

    # Muon takes the hidden layers' matrices; the rest has AdamW.
    last = f"{len(layers) - 1}.weight"
    hidden = [p for name, p in net.named_parameters() if p.ndim == 2 and name != last]
    rest = [p for name, p in net.named_parameters() if p.ndim != 2 or name == last]
    opts = ([torch.optim.Muon(hidden, **case["opt"][1]), torch.optim.AdamW(rest, **case["adamw"])] if "adamw" in case
            else [getattr(torch.optim, case["opt"][0])(net.parameters(), **case["opt"][1])])
    opt = opts[0]
    schedule = case.get("schedule", [])
    made = [getattr(torch.optim.lr_scheduler, kind)(opt, **values) for kind, values in schedule]
    if len(made) == 2:
        made = [torch.optim.lr_scheduler.SequentialLR(opt, made, milestones=[schedule[0][1]["total_iters"]])]
    losses = []
    for s in range(steps):
        lo = s * batch % rows
        net.zero_grad()
        loss = lossf(net(x[lo:lo + batch]), t[lo:lo + batch])
        loss.backward()
        if s == 0:
            tensors.update({"grad0." + k: p.grad.detach().clone() for k, p in net.named_parameters()})
        if "clip_value" in case:
            torch.nn.utils.clip_grad_value_(net.parameters(), case["clip_value"])
        for each in opts:
            each.step()
        # OneCycleLR refuses steps after its last.
        if made and s + 1 < steps:
            made[0].step()
        losses.append(loss.item())
    tensors.update({"final." + k: v.detach().clone() for k, v in net.state_dict().items()})
    tensors["x"] = x
    tensors = {k: v.float().contiguous() for k, v in tensors.items()}
    tensors["loss"] = torch.tensor(losses, dtype=torch.float32)
    tensors["y" if t.dtype == torch.int64 else "t"] = t if t.dtype == torch.int64 else t.float()
    meta = dict(name=name, layers=case.get("layers", dims), activation=activation, loss=kind, loss_args=case.get("loss_args", {}),
                optimizer=case["opt"][0], optimizer_args=case["opt"][1], clip_grad_value=case.get("clip_value"),
                schedule=schedule, batch_size=batch, rows=rows, steps=steps)
    if "adamw" in case:
        meta["adamw_args"] = case["adamw"]
    save_file(tensors, str(out / f"{name}.safetensors"), metadata={"case": json.dumps(meta)})
    return losses[0], losses[-1]


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    print("PyTorch", torch.__version__)
    # PyTorch's Muon iterates in bf16; here it iterates in float64, as everything else does.
    torch.bfloat16 = torch.float64
    for i, (name, case) in enumerate(CASES.items()):
        first, last = run(name, case, out, 2000 + i)
        print(f"{name:28s} loss {first:.4f} -> {last:.4f}")
