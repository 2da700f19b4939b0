#!/usr/bin/env python3
"""A step on two processes of one core each, beside one process of one core: what is ideal, and what is reached.

    cargo build --release --features mpi
    benches/overlap.py target/release/wgrad [ROUNDS]

Measured: 784-1024-1024-1024-10 in minibatches of 256 rows, in two shards, by a software driver; the least of some rounds, in each of which all are run in turn.
Ideal: half of what one process takes. Beside each other without MPI: two processes, each of which trains with half of the rows alone; what they take longer than half is what the cores
share, as memory, and no exchange would get back. Not to be read as: what networks between machines cost, which benches/fabric.rs simulates."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

program = str(Path(sys.argv[1]).resolve())
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
STEPS, BATCH = 24, 256
environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


# Few rows are validated on, as a report evaluates all of them.
def start(prefix, folder, batch, shards):
    command = [*prefix, program, "train", "--hidden", "1024,1024,1024", "--batch-size", batch, "--shards", shards,
               "--steps", STEPS, "--validation", "0.01", "--screen", "none", "--out", folder]
    return subprocess.Popen(list(map(str, command)), env=environment, stdout=subprocess.DEVNULL)


def milliseconds(runs, folders):
    """A step of the slowest of these runs, once they are done."""
    for run in runs:
        assert run.wait() == 0
    epochs = [json.loads(line) for folder in folders for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return max(1e3 * epoch["rows"] / STEPS / epoch["samples_per_second"] for epoch in epochs if epoch["event"] == "epoch")


def core(number):
    return ["taskset", "-c", str(number)]


def measured(folder):
    one, two, halves = folder / "one", folder / "two", [folder / "half 0", folder / "half 1"]
    yield "one process on one core", milliseconds([start(core(0), one, BATCH, 2)], [one])
    mpirun = ["mpirun", "-n", "2", "--bind-to", "core"]
    yield "two processes on a core each", milliseconds([start(mpirun, two, BATCH, 2)], [two])
    runs = [start(core(number), half, BATCH // 2, 1) for number, half in enumerate(halves)]
    yield "two beside each other, without MPI", milliseconds(runs, halves)


least = {}
for _ in range(rounds):
    with tempfile.TemporaryDirectory() as folder:
        for what, took in measured(Path(folder)):
            least[what] = min(took, least.get(what, took))
one, *_ = least.values()
print("| | ms a step | of the ideal |\n|---|--:|--:|")
print(f"| ideal: half of one process | {one / 2:.1f} | 1.00 |")
for what, took in least.items():
    print(f"| {what} | {took:.1f} | {one / 2 / took:.2f} |")
