"""Writes the files beside it: small sets as NumPy 2.4, Pillow 13.0 and pyarrow 26.0 write them, and what those make of them.

    pip install numpy pillow pyarrow safetensors && python tests/formats/make_formats.py
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from safetensors.numpy import save_file

here = Path(__file__).parent
x = np.arange(12).reshape(4, 3)
y = np.array([0, 1, 2, 1])

# Every element type has the same twelve numbers, which all of them can hold.
for name in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", ">f4", ">i2"]:
    np.savez(here / f"{name.replace('>', 'big_')}.npz", x=x.astype(name), y=y.astype("<i8"))
np.savez_compressed(here / "compressed.npz", x=x.astype("f4"), y=y.astype("u1"), w=np.array([1, 2, 0.5, 1], "f4"))
np.savez(here / "fortran.npz", x=np.asfortranarray(x.astype("f4")), y=y)
images = np.arange(72, dtype="u1").reshape(4, 2, 3, 3)
np.savez(here / "fortran_images.npz", x=np.asfortranarray(images), y=y)
np.savez(here / "train_and_test.npz", x_train=x.astype("u1"), y_train=y, x_test=x[:2].astype("u1"), y_test=y[:2])
pair = here / "pair"
pair.mkdir(exist_ok=True)
np.save(pair / "x.npy", x.astype("f8"))
np.save(pair / "t.npy", (x[:, :2] / 4).astype("f4"))
with open(pair / "version_2.npy", "wb") as file:
    np.lib.format.write_array(file, x.astype("f4"), version=(2, 0))
save_file({"x": x.astype("u1"), "y": y}, here / "u8.safetensors")
save_file({"x": x.astype("f2"), "y": y}, here / "f16.safetensors")

# Images by class, of one colour each; and one to be resized, with Pillow's result.
folder = here / "animals"
for name, color in [("cat/1.png", (200, 30, 90)), ("dog/1.jpg", (10, 120, 250)), ("dog/2.PNG", (1, 2, 3))]:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (8, 6), color)
    image.save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
random = np.random.default_rng(0)
grey = Image.fromarray(random.integers(0, 256, (40, 24), dtype="u1"))
grey.save(here / "grey.png")
small = np.asarray(grey.resize((12, 10), Image.Resampling.BILINEAR))
(here / "grey_12x10.json").write_text(json.dumps(small.ravel().tolist()))

# A table with every kind of column.
table = pa.table({
    "small": pa.array([1, 2, 3, 4], pa.int8()),
    "large": pa.array([10, 20, 30, 2**40], pa.int64()),
    "ratio": pa.array([0.1, 0.25, -3.5, 1e-7], pa.float64()),
    "single": pa.array([0.1, 0.5, 2, 3], pa.float32()),
    "color": pa.array(["red", "green", "red", "blue"]),
    "flag": pa.array([True, False, True, True]),
    "kind": pa.array(["b", "a", "b", "c"]),
})
pq.write_table(table, here / "table.parquet", compression="snappy")
pq.write_table(table, here / "table_zstd.parquet", compression="zstd", row_group_size=2)
pq.write_table(table.set_column(0, "small", pa.array([1, None, 3, 4], pa.int8())), here / "missing.parquet")

# Scaling: NumPy's statistics of columns that are ordinary, constant, and far from 0.
columns = np.stack([random.normal(size=50), np.full(50, 0.1), 1e6 + random.normal(size=50)], axis=1).astype("f4")
wide = columns.astype("f8")
save_file({
    "x": columns, "y": np.zeros(50, "i8"), "mean": wide.mean(0), "deviation": wide.std(0),
    "least": wide.min(0), "most": wide.max(0),
}, here / "scaling.safetensors")

# Other kinds of images: the same four pixels in each, and in the first frame of several.
kinds = here / "kinds"
kinds.mkdir(exist_ok=True)
four, other = Image.fromarray(np.array([[10, 90], [170, 250]], "u1")), Image.fromarray(np.full((2, 2), 77, "u1"))
for name in ["four.bmp", "four.gif", "four.tif", "four.pgm"]:
    four.save(kinds / name)
four.convert("RGB").save(kinds / "four_lzw.tif", compression="tiff_lzw")
four.convert("RGB").save(kinds / "four.webp", lossless=True)
for name in ["frames.gif", "frames.tif"]:
    four.save(kinds / name, save_all=True, append_images=[other])
four.convert("RGB").save(kinds / "frames.webp", save_all=True, append_images=[other.convert("RGB")], lossless=True)
Image.fromarray(np.array([[0, 255], [255, 0]], "u1")).convert("1").save(kinds / "bits.pbm")
