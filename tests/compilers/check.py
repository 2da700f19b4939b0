#!/usr/bin/env python3
"""What AMD's compiler in Mesa makes of the program's kernels, on a machine without a GPU.

    .ci/compilers [--write] [CHIP…]

For every chip and network, the program makes the pipelines of a training step on a device that executes nothing; the driver prints what it compiled. Checked are the rules
below; and statistics.txt, which has the numbers of every kernel, so that a change shows what it does to them. --write writes it."""
import argparse
import difflib
import os
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STATISTICS = HERE / "statistics.txt"
CHIPS = ["navi21", "navi31", "vega10", "gfx1150"]
NETWORKS = {
    "784-256-10, batches of 32": [],
    "784-256-10, batches of 1024": ["--batch-size", "1024"],
    "784-4096-4096-10, batches of 4096": ["--hidden", "4096,4096", "--batch-size", "4096"],
    "examples/convnet.toml": ["--config", "examples/convnet.toml"],
    "examples/gpt.toml": ["--config", "examples/gpt.toml"],
}
# A product's loop brings the next iteration's blocks while it multiplies: it loads from memory, writes to shared memory, and multiplies.
PRODUCTS = re.compile("dense_|conv_")
FMA = re.compile(r"v_(dual_)?(pk_)?(fma|fmac|mac|mad|fmamk|fmaak)_(legacy_)?f(16|32)")
LOAD = re.compile("(buffer|global)_load")


def instructions(text):
    """(label of a block or None, operation, line), in order."""
    for line in text.splitlines():
        code = line.split(";")[0].strip()
        if label := re.match(r"(BB\d+):", code):
            yield label.group(1), None, code
        elif code:
            yield None, code.split()[0], code


def loops(text):
    """Where each loop begins and its instructions, between a jump back and its target; a loop around others after them."""
    rows = list(instructions(text))
    at = {label: number for number, (label, operation, _) in enumerate(rows) if operation is None}
    for end, (_, operation, code) in enumerate(rows):
        if operation and re.match("s_c?branch", operation):
            begin = at.get(code.split()[-1], end + 1)
            if begin <= end:
                yield begin, [row[1:] for row in rows[begin : end + 1] if row[1]]


def multiply_adds(code):
    return sum(bool(FMA.match(part.strip())) for part in code.split("::"))


def early(loop):
    """Loads that are waited for before the loop's first multiply-add, which should hide their way."""
    loaded = waited = 0
    for operation, code in loop:
        if LOAD.match(operation):
            loaded += 1
        elif operation.startswith("s_wait") and loaded and (count := re.search(r"(?:vmcnt|loadcnt)\D*(\d+)", code)):
            waited = max(waited, loaded - int(count.group(1)))
        elif multiply_adds(code):
            break
    return waited


def hot_loops(text):
    """(instructions, multiply-adds, early loads) of each loop that brings what the next iteration multiplies, and of no loop around it."""
    found = []
    for begin, loop in loops(text):
        count = sum(multiply_adds(code) for _, code in loop)
        brings = [any(re.match(kind, operation) for operation, _ in loop) for kind in (LOAD, "ds_(write|store)")]
        if count >= 32 and all(brings) and not any(begin <= inner for inner, _ in found):
            found.append((begin, (len(loop), count, early(loop))))
    return [numbers for _, numbers in found]


def kernels(log):
    """What the driver printed of each pipeline, which the program's own line about it follows."""
    text = ""
    for part in re.split(r'(?=\n[^\n]*DEBUG[^\n]*compiled kernel=)', log):
        if named := re.match(r'\n[^\n]*compiled kernel="([^"]*)" variant="([^"]*)"', part):
            yield named.group(1), named.group(2), text
        text = part


def row(kernel, variant, text):
    if "SHADER STATS" not in text:
        sys.exit(f"{kernel} {variant}: the driver printed no statistics")
    numbers = {name: int(value) for name, value in re.findall(r"^([A-Z][A-Za-z ]+): (\d+)$", text, re.M)}
    return {
        "kernel": f"{kernel} {variant}".strip(),
        "registers": numbers["VGPRs"],
        "waves": numbers["Subgroups per SIMD"],
        "spilled": numbers["Spilled VGPRs"] + numbers["Spilled SGPRs"],
        "scratch": numbers["Scratch size"],
        "shared": numbers["LDS size"],
        "code": numbers["Instructions"],
        "loops": hot_loops(text),
    }


def broken_rules(chip, found):
    is_product, is_head = PRODUCTS.match(found["kernel"]), found["kernel"].startswith("team_head")
    # GCN has fewer waves at best. navi31 has half as many registers again, and takes more where it costs no waves.
    # Sums of slices and grouped convolutions have no such loop.
    is_staged = "buffered" in found["kernel"] and found["shared"] > 0
    waves = 0 if chip == "vega10" else 8 if is_product else 5 if is_head else 4
    registers = 256 if chip == "navi31" else 128
    rules = [
        (found["spilled"] == 0, "spills"),
        (found["scratch"] == 0, "takes scratch memory"),
        (found["shared"] <= 16384, "takes more than 16 KiB of shared memory"),
        (found["registers"] <= registers, f"takes more than {registers} registers"),
        (found["waves"] >= waves, f"lets fewer than {waves} waves run on a SIMD"),
        (not is_staged or found["loops"], "has no loop that was recognized"),
        (not is_product or all(early == 0 for _, _, early in found["loops"]), "waits for loads before it multiplies"),
    ]
    return [words for holds, words in rules if not holds]


def line(found):
    loops = " ".join(f"{count}/{size}" + (f" early {early}" if early else "") for size, count, early in found["loops"])
    return "{kernel:50} {registers:4} {waves:3} {spilled:3} {scratch:5} {shared:6} {code:6}".format(**found) + (f"  {loops}" if loops else "")


def logs(program, chip, arguments):
    environment = dict(os.environ, ADAPTERS=f"amd-{chip}", RADV_DEBUG="shaderstats,shaders")
    # One core, so that a pipeline's report is followed by the program's line about it.
    command = ["taskset", "-c", str(min(os.sched_getaffinity(0))), ROOT / ".ci/adapters", program, "bench", "--host", "-v", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", timeout=300)
    if "Failed to find amdgpu GPU" in done.stderr:
        sys.exit(f"Mesa's stand-in for GPUs by AMD knows no {chip}: use one as {', '.join(CHIPS)}")
    if done.returncode != 0:
        sys.exit(f"{chip}, {arguments}: exit {done.returncode}\n{done.stderr[-2000:]}\n{done.stdout[-2000:]}")
    return done.stdout.splitlines()[-1], done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", help="write statistics.txt")
    parser.add_argument("program")
    parser.add_argument("chips", nargs="*", default=CHIPS)
    options = parser.parse_args()
    chips = options.chips or CHIPS
    if options.write and chips != CHIPS:
        parser.error("--write takes all chips: statistics.txt has all")
    lines, broken, versions = [], [], set()
    print("\n".join(line.removeprefix("# ") for line in HEAD.splitlines()[1:]))
    for chip in chips:
        for network, arguments in NETWORKS.items():
            lines.append(f"{chip}: {network}")
            rows = {}
            host, log = logs(options.program, chip, arguments)
            versions |= set(re.findall(r"radv (Mesa \d[\d.]*)", log))
            for kernel, variant, text in kernels(log):
                found = row(kernel, variant, text)
                rows.setdefault(line(found), found)
            if not rows:
                sys.exit(f"{chip}, {network}: the driver reported no pipeline")
            for shown, found in sorted(rows.items()):
                lines.append(f"    {shown}")
                broken += [f"{chip}, {network}: {found['kernel']} {words}" for words in broken_rules(chip, found)]
            print("\n".join([f"{chip}: {network}. {host}", *(f"    {shown}" for shown in sorted(rows))]), flush=True)
    text = HEAD.format(version=", ".join(sorted(versions))) + "\n".join(lines) + "\n"
    if options.write:
        STATISTICS.write_text(text)
    known = STATISTICS.read_text().splitlines() if STATISTICS.exists() else []
    if known and known[0] != text.splitlines()[0]:
        print(f"not compared: {known[0]}\nnow:          {text.splitlines()[0]}")
    elif chips == CHIPS and known != text.splitlines():
        print("\n".join(difflib.unified_diff(known, text.splitlines(), "statistics.txt", "now", lineterm="")))
        broken.append("statistics.txt has other numbers: where they are meant, write them with .ci/compilers --write")
    print("\n".join(broken) or "ok: every rule holds")
    sys.exit(bool(broken))


HEAD = """# What the compiler for AMD of {version} makes of each kernel of a training step: see check.py.
# kernel and tile; vector registers of an invocation; waves that a SIMD holds, as waves of 32; spilled registers; bytes of scratch, a wave, and of shared memory; instructions; and of each loop
# that multiplies, its multiply-adds and its instructions.
"""

if __name__ == "__main__":
    main()
