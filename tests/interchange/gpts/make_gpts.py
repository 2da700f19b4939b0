"""Writes small state dicts of GPTs under the names that nanoGPT, minGPT and Hugging Face's GPT-2 give, and the logits that PyTorch computes with them in float64.

Usage: python make_gpts.py OUT_DIR      (needs: pip install torch safetensors numpy)

The module has the attributes and the parameters of nanoGPT's model.py, so that PyTorch itself makes the names. NAME.safetensors is a state dict and nothing else;
expected.safetensors has, for each, NAME.x [rows, places] int64 and NAME [rows, places, vocabulary] f32.
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

F64 = torch.float64


class LayerNorm(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width, dtype=F64))
        self.bias = nn.Parameter(torch.zeros(width, dtype=F64)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class Attention(nn.Module):
    def __init__(self, width, heads, bias, masks, length):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width, bias=bias, dtype=F64)
        self.c_proj = nn.Linear(width, width, bias=bias, dtype=F64)
        self.heads = heads
        if masks:
            self.register_buffer("bias", torch.tril(torch.ones(length, length)).view(1, 1, length, length))

    def forward(self, x):
        rows, places, width = x.shape
        q, k, v = (part.view(rows, places, self.heads, -1).transpose(1, 2) for part in self.c_attn(x).split(width, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(rows, places, width))


class MLP(nn.Module):
    def __init__(self, width, bias, approximate):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width, bias=bias, dtype=F64)
        self.c_proj = nn.Linear(4 * width, width, bias=bias, dtype=F64)
        self.approximate = approximate

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate=self.approximate))


class Block(nn.Module):
    def __init__(self, width, heads, bias, approximate, masks, length):
        super().__init__()
        self.ln_1, self.attn = LayerNorm(width, bias), Attention(width, heads, bias, masks, length)
        self.ln_2, self.mlp = LayerNorm(width, bias), MLP(width, bias, approximate)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    def __init__(self, vocabulary, length, width, heads, blocks, bias=True, approximate="none", masks=False, tied=True):
        super().__init__()
        self.transformer = nn.ModuleDict(dict(
            wte=nn.Embedding(vocabulary, width, dtype=F64), wpe=nn.Embedding(length, width, dtype=F64),
            h=nn.ModuleList(Block(width, heads, bias, approximate, masks, length) for _ in range(blocks)), ln_f=LayerNorm(width, bias)))
        self.lm_head = nn.Linear(width, vocabulary, bias=False, dtype=F64)
        if tied:
            self.transformer.wte.weight = self.lm_head.weight
        self.vocabulary, self.length = vocabulary, length

    def forward(self, tokens):
        t = self.transformer
        x = t.wte(tokens) + t.wpe(torch.arange(tokens.shape[1]))
        for block in t.h:
            x = block(x)
        return self.lm_head(t.ln_f(x))


def hugging_face(tensors):
    """The same tensors as GPT-2 has them on the hub: no prefix, no lm_head, matrices [in, out]."""
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    kept = {name.removeprefix("transformer."): value for name, value in tensors.items() if name != "lm_head.weight"}
    return {name: value.T.contiguous() if name.endswith(turned) else value for name, value in kept.items()}


CASES = {
    # After torch.compile, with the masks that older checkpoints have, and the tied weights under both names.
    "nanogpt": (dict(vocabulary=11, length=6, width=12, heads=3, blocks=2, masks=True), lambda t: {"_orig_mod." + name: value for name, value in t.items()}),
    # bias=False, and the tied weights once, as safetensors.torch.save_model keeps them.
    "nanogpt_no_bias": (dict(vocabulary=7, length=5, width=10, heads=2, blocks=1, bias=False), lambda t: {n: v for n, v in t.items() if n != "transformer.wte.weight"}),
    "mingpt": (dict(vocabulary=9, length=4, width=6, heads=1, blocks=1, approximate="tanh", masks=True, tied=False), lambda t: t),
    "gpt2": (dict(vocabulary=10, length=7, width=8, heads=2, blocks=2, approximate="tanh", masks=True), hugging_face),
}

if __name__ == "__main__":
    out, expected = Path(sys.argv[1]), {}
    for seed, (name, (sizes, named)) in enumerate(CASES.items()):
        torch.manual_seed(seed)
        net = GPT(**sizes)
        with torch.no_grad():
            for parameter in net.parameters():
                # No γ is 1 and no bias 0, and scores are large enough to tell heads apart.
                parameter.add_(torch.randn_like(parameter) * (0.3 if parameter.dim() > 1 else 0.2))
                parameter.copy_(parameter.float())
            x = torch.randint(net.vocabulary, (3, net.length))
            expected[name + ".x"], expected[name] = x, net(x).float().contiguous()
        tensors = {key: value.detach().float().clone().contiguous() for key, value in net.state_dict().items()}
        save_file(named(tensors), str(out / f"{name}.safetensors"))
    save_file(expected, str(out / "expected.safetensors"))
