"""Helpers of the peers: options, MNIST in f32, and one JSON line at the end."""
import argparse, gzip, json, os, time
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[2] / "data" / "mnist"
# The time when the program was started, in seconds of the system's clock.
STARTED = float(os.environ.get("PEER_STARTED", time.time()))


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=["dense", "convnet"], default="dense", help="784-256-10, or Keras' convnet for MNIST")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2, help="timed epochs; one more goes before them")
    parser.add_argument("--seconds", type=float, default=5, help="timed seconds, for engines too slow for epochs")
    return parser.parse_args()


def mnist(part="train"):
    """The images of MNIST's part, "train" or "t10k", as f32 in [0, 1], and their classes."""
    def read(name, header):
        path = next(DATA.glob(name + "*"))
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return np.frombuffer(raw, np.uint8)[header:]

    images = read(f"{part}-images", 16).reshape(-1, 784).astype(np.float32) / np.float32(255)
    return images, read(f"{part}-labels", 8).astype(np.int64)


def first_step(step):
    """The seconds of the first step, with compilation, and those since the program was started."""
    begun = time.perf_counter()
    step()
    return {"first_step_seconds": time.perf_counter() - begun, "start_seconds": time.time() - STARTED}


def report(engine, seconds, rows, loss, **more):
    print(json.dumps({"engine": engine, "rows_per_second": rows / seconds, "loss": float(loss), **more}), flush=True)
