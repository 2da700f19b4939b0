"""Writes the seeds for which tests/ has no files: pip install numpy pyarrow safetensors, then python fuzz/make_seeds.py, in the repository's root."""

import json, numpy as np, pyarrow as pa, pyarrow.parquet as pq
from safetensors.numpy import save_file
out = "fuzz/corpus"
r = np.random.default_rng(1)
f = lambda *s: r.standard_normal(s).astype(np.float32)
# sets
save_file({"x_train": r.integers(0,255,(5,2,2),dtype=np.uint8), "y_train": np.array([0,1,2,1,0],dtype=np.int64), "x_test": r.integers(0,255,(2,2,2),dtype=np.uint8), "y_test": np.array([0,1],dtype=np.int64)}, f"{out}/stored/train_and_test.safetensors")
save_file({"x": f(4,3), "t": f(4,2), "w": np.ones(4,np.float32)}, f"{out}/stored/targets.safetensors")
# models
save_file({"0.weight": f(2,3), "0.bias": f(2), "2.weight": f(3,2), "2.bias": f(3)}, f"{out}/model/torch.safetensors")
save_file({"net.fc1.weight": f(2,3).astype(np.float64), "net.fc1.bias": f(2).astype(np.float16), "net.fc2.weight": f(1,2)}, f"{out}/model/named.safetensors")
about = {"version": "0.1.0", "activations": ["gelu", "identity"], "loss": {"kind": "softmax-cross-entropy", "label_smoothing": 0.1, "class_weights": [1.0, 2.0, 1.0]},
  "dropout": [0.25, 0.0], "classes": ["a", "b", "c"], "scaling": {"shift": [0.0, 1.0, 2.0], "scale": [1.0, 0.5, 2.0]},
  "columns": {"named": True, "count": 3, "features": [{"name": "n", "place": 0, "cells": {"number": {"fill": 1.5}}}, {"name": "w", "place": 1, "cells": {"category": {"words": ["x", "y"], "fill": True}}}], "target": {"name": "t", "place": 2, "classes": ["a", "b", "c"]}}}
save_file({"0.weight": f(2,3), "0.bias": f(2), "3.weight": f(3,2), "3.bias": f(3)}, f"{out}/model/own.safetensors", metadata={"wgrad": json.dumps(about)})
about = {"activations": ["identity"], "loss": {"kind": "huber", "delta": 2.0}, "image": {"height": 1, "width": 2, "channels": 1}}
save_file({"0.weight": f(1,2), "0.bias": f(1)}, f"{out}/model/image.safetensors", metadata={"wgrad": json.dumps(about)})
one = lambda *s: np.ones(s, np.float32)
save_file({"n.0.weight": one(3,2), "n.0.bias": one(3), "n.2.body.0.weight": one(4,3), "n.2.body.2.weight": one(2,4), "n.2.shortcut.0.weight": one(2,3), "n.4.weight": one(3,2)}, f"{out}/model/residual.safetensors")
# tables
n = 12
num = pa.array(np.arange(n) * 0.5, pa.float64())
txt = pa.array([["red", "green", "blue"][i % 3] for i in range(n)])
def table(name, t, **k):
    pq.write_table(t, f"{out}/parquet/{name}.parquet", store_schema=False, write_statistics=False, **k)
opt = pa.array([None if i % 4 == 0 else i for i in range(n)], pa.int32())
table("gzip", pa.table({"a": num, "b": opt, "c": txt}), compression="gzip")
table("version_2", pa.table({"a": num, "b": opt, "c": txt}), data_page_version="2.0", version="2.6", compression="snappy", row_group_size=7)
table("delta", pa.table({"a": pa.array(np.arange(n), pa.int64()), "b": opt, "c": txt}), use_dictionary=False, compression="none", column_encoding={"a": "DELTA_BINARY_PACKED", "b": "DELTA_BINARY_PACKED", "c": "DELTA_LENGTH_BYTE_ARRAY"})
table("split", pa.table({"a": pa.array(np.arange(n), pa.float32()), "h": pa.array(np.arange(n).astype(np.float16)), "b": pa.array([i % 2 == 0 for i in range(n)])}), use_dictionary=False, compression="zstd", column_encoding={"a": "BYTE_STREAM_SPLIT", "h": "BYTE_STREAM_SPLIT", "b": "RLE"}, data_page_version="2.0")
table("delta_optional", pa.table({"a": opt, "c": pa.array([None if i % 5 == 0 else str(i % 3) for i in range(n)])}), use_dictionary=False, compression="none", data_page_version="2.0", column_encoding={"a": "DELTA_BINARY_PACKED", "c": "DELTA_LENGTH_BYTE_ARRAY"})
