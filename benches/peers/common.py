"""What the peers share: options, MNIST in f32 as they want it, and one JSON line at the end."""
import argparse, gzip, json
from pathlib import Path

import numpy as np

DATA = Path(__file__).parents[2] / "data" / "mnist"


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2, help="timed ones; one goes before them")
    return parser.parse_args()


def mnist():
    def read(name, header):
        path = next(DATA.glob(name + "*"))
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        return np.frombuffer(raw, np.uint8)[header:]

    images = read("train-images", 16).reshape(-1, 784).astype(np.float32) / np.float32(255)
    return images, read("train-labels", 8).astype(np.int64)


def report(engine, seconds, rows, loss):
    print(json.dumps({"engine": engine, "rows_per_second": rows / seconds, "loss": float(loss)}), flush=True)
