#!/usr/bin/env python3
"""Networks that are trained by several processes of an MPI end in the same bits, whatever their number, and whatever happens to one of them.

    tests/mpi/check.py PROGRAM [PROCESSES…]

PROGRAM is built with `--features mpi`. Needs Open MPI's mpirun, and a Vulkan driver; PROCESSES are 1, 2 and 4 where none are named."""

import array
import json
import math
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

here = Path(__file__).resolve().parents[2]
program = str(Path(sys.argv[1]).resolve())
counts = [int(count) for count in sys.argv[2:]] or [1, 2, 4]
# Root is refused by Open MPI, and is what containers have.
environment = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
JOBS = {
    "784-256-10": ["--steps", "60"],
    "a convnet": ["--config", here / "examples/convnet.toml", "--batch-size", "64", "--steps", "6"],
    # Of a text that is validated on in no time.
    "a GPT": ["--config", here / "examples/gpt.toml", "--data", "text.txt", "--batch-size", "16", "--steps", "6"],
}


def mpirun(count, folder, *arguments):
    """A run that was started, in a process group of its own."""
    command = ["mpirun", "--oversubscribe", "-n", str(count), program, "train", "--screen", "none", *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(run, code=0):
    """What a run says, once it has ended with this code."""
    out, err = run.communicate(timeout=300)
    assert run.returncode == code, f"exit code {run.returncode} in place of {code}: {err}\n{out}"
    return out + err


def weights(path):
    """The bytes of a model's tensors, and the numbers in them."""
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    del header["__metadata__"]
    assert all(tensor["dtype"] == "F32" for tensor in header.values())
    return data[8 + length:], array.array("f", data[8 + length:])


def same_bits(what, arguments, folder):
    """Runs by each number of processes, and by one without MPI, which has no shards. The bytes of the weights."""
    ends = {}
    for count in counts:
        began = time.time()
        finished(mpirun(count, folder, *arguments, "--save", f"{count}.safetensors"))
        ends[count] = weights(folder / f"{count}.safetensors")
        print(f"{what}, {count} processes: {time.time() - began:.1f} s")
    first = ends[counts[0]]
    for count, end in ends.items():
        assert end[0] == first[0], f"{what}: the weights of {count} processes are not those of {counts[0]}"
    whole = [program, "train", "--screen", "none", *map(str, arguments), "--save", "whole.safetensors"]
    subprocess.run(whole, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    _, expected = weights(folder / "whole.safetensors")
    off = math.sqrt(sum((a - b) ** 2 for a, b in zip(first[1], expected)) / sum(b * b for b in expected))
    print(f"{what}: {off:.1e} from the run without MPI")
    assert off < 2e-5, f"{what}: {off}"
    return first[0]


def processes_of(run):
    """The processes that mpirun has started."""
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return [int(child) for child in children]


def interrupted(folder, arguments, how):
    """A run of four processes that is ended in some way once it has a checkpoint."""
    checkpoints = folder / "checkpoints"
    run = mpirun(4, folder, *arguments, "--checkpoint", checkpoints, "--checkpoint-every", "2", "--save", "cut.safetensors")
    while not list(checkpoints.glob("*.safetensors")):
        assert run.poll() is None, run.communicate()
        time.sleep(0.01)
    how(run)
    out, err = run.communicate(timeout=120)
    assert run.returncode != 0, "it came to its end"
    return out + err


def goes_on(what, arguments, expected):
    """A run that is interrupted goes on with other numbers of processes, to the same bits."""
    kills = [(f"process {at} is killed", 2 - at % 2, lambda run, at=at: os.kill(processes_of(run)[at], signal.SIGKILL)) for at in [0, 3]]
    # As a terminal's Ctrl-C, which only mpirun gets.
    ctrl_c = ("mpirun is interrupted", 2, lambda run: os.kill(run.pid, signal.SIGINT))
    for how, count, end in [*kills, ctrl_c]:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            interrupted(folder, arguments, end)
            assert not list(folder.glob("checkpoints/*.tmp")), "half a checkpoint"
            finished(mpirun(count, folder, "--resume", "checkpoints", "--save", "end.safetensors"))
            end_bits, _ = weights(folder / "end.safetensors")
            assert end_bits == expected, f"{what}, {how}: {count} processes go on to other weights"
            print(f"{what}: {how}, and {count} go on to the same bits")


def refused(folder):
    """Processes that were started otherwise: one message, by the first, which says what differs."""
    one = ["-n", "1", program, "train", "--screen", "none", "--steps", "2"]
    command = ["mpirun", "--oversubscribe", *one, "--seed", "0", ":", *one, "--seed", "7"]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    errors = [line for line in run.stderr.splitlines() if line.startswith("error: process")]
    assert run.returncode == 2 and len(errors) == 1, run
    assert errors[0].startswith("error: process 0 of 2: train.seed is 0 in process 0, and 7 in process 1: all processes"), errors
    assert not list(Path(folder).iterdir()), "it has written a file"
    # Three processes cannot have as many shards each.
    out = finished(mpirun(3, folder, "--steps", "2"), code=2)
    assert "3 processes cannot share the 8 shards" in out, out


with tempfile.TemporaryDirectory() as folder:
    refused(folder)
for what, arguments in JOBS.items():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "text.txt").write_text((here / "README.md").read_text())
        expected = same_bits(what, arguments, Path(folder))
    if what == "784-256-10":
        goes_on(what, arguments, expected)
print("ok: the same bits by any number of processes")
