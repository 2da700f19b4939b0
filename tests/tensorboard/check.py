"""The event files of --tensorboard, as TensorBoard's own loader reads them: beside the run's JSON and its model, and over a resumed run.

pip install -r tests/tensorboard/requirements.txt, then, in the repository: python tests/tensorboard/check.py
"""
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[2]
STEPS = 235  # of an epoch: 60,000 rows, 256 at a time


def epochs_of(*arguments):
    run = subprocess.run([ROOT / "target/debug/wgrad", "train", "--json", *map(str, arguments)], check=True, capture_output=True, text=True)
    return [event for line in run.stdout.splitlines() if (event := json.loads(line))["event"] == "epoch"]


def loaded(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "images": 0})
    return events.Reload()


def one_run(folder):
    model, board = folder / "model.safetensors", folder / "board"
    epochs = epochs_of("--batch-size", 256, "--hidden", "24,16", "--epochs", 2, "--tensorboard", board, "--save", model)
    events = loaded(board)
    tags = events.Tags()
    scalars = {"loss/training": "loss", "loss/validation": "val_loss", "accuracy/training": "accuracy", "accuracy/validation": "val_accuracy",
               "learning_rate": "learning_rate", "samples_per_second": "samples_per_second"}
    within = {"within_epoch/loss", "within_epoch/accuracy", "within_epoch/samples_per_second"}
    names = [f"{number}.{part}" for number in [0, 2, 4] for part in ["weight", "bias"]]
    histograms = [f"{what}/{name}" for what in ["weights", "gradients"] for name in names]
    # An epoch may end before its first progress.
    assert set(scalars) <= set(tags["scalars"]) <= set(scalars) | within, tags
    assert sorted(tags["histograms"]) == sorted(histograms) and tags["images"] == ["filters/0.weight"], tags

    for tag, key in scalars.items():
        read = events.Scalars(tag)
        assert [event.step for event in read] == [STEPS, 2 * STEPS], (tag, read)
        np.testing.assert_allclose([event.value for event in read], [epoch[key] for epoch in epochs], rtol=1e-6, err_msg=tag)
    for tag in within & set(tags["scalars"]):
        steps = [event.step for event in events.Scalars(tag)]
        assert steps == sorted(steps) and 0 < steps[0] and steps[-1] <= 2 * STEPS, (tag, steps)

    tensors = load_file(model)
    for name in names:
        values = tensors[name].astype(np.float64).ravel()
        read = events.Histograms(f"weights/{name}")
        assert [event.step for event in read] == [STEPS, 2 * STEPS]
        last = read[-1].histogram_value
        assert (last.min, last.max, last.num) == (values.min(), values.max(), values.size), (name, last)
        np.testing.assert_allclose([last.sum, last.sum_squares], [values.sum(), (values**2).sum()], rtol=1e-6, atol=1e-9)
        # Bars end where numpy's do; a value at an end may be counted on either side.
        assert sum(last.bucket) == values.size and last.bucket_limit[-1] == values.max()
        below = np.cumsum(last.bucket)
        ours = [np.sum(values <= limit) for limit in last.bucket_limit]
        assert np.abs(below - ours).max() <= 1, (name, below, ours)
        gradient = events.Histograms(f"gradients/{name}")[-1].histogram_value
        assert gradient.num == values.size and 0 < gradient.sum_squares < np.inf, (name, gradient)

    images = events.Images("filters/0.weight")
    assert [image.step for image in images] == [STEPS, 2 * STEPS]
    for image in images:
        png = image.encoded_image_string
        assert png[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", png[16:24]) == (image.width, image.height), image
    print(f"{len(tags['scalars'])} scalars, {len(histograms)} histograms and an image: TensorBoard reads what the run said and has")


def a_resumed_run(folder):
    board, checkpoints = folder / "resumed", folder / "checkpoints"
    common = ["--tensorboard", board, "--save", folder / "resumed.safetensors"]
    epochs_of("--batch-size", 256, "--hidden", 8, "--epochs", 2, "--checkpoint", checkpoints, "--checkpoint-every", STEPS, *common)
    epochs = epochs_of("--resume", checkpoints / f"step-{STEPS:010}.safetensors", "--epochs", 3, *common)
    events = loaded(board)
    for tag in ["loss/training", "loss/validation"]:
        assert [event.step for event in events.Scalars(tag)] == [STEPS, 2 * STEPS, 3 * STEPS], events.Scalars(tag)
    np.testing.assert_allclose(events.Scalars("loss/training")[-1].value, epochs[-1]["loss"], rtol=1e-6)
    assert [event.step for event in events.Histograms("weights/0.bias")] == [STEPS, 2 * STEPS, 3 * STEPS]
    print("a resumed run: what came after its checkpoint counts once")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        one_run(Path(folder))
        a_resumed_run(Path(folder))
