#!/usr/bin/env python3
"""Turns the expected.npz of each checkpoint into expected.json + expected.bin.

usage: make_expected.py SOURCE   (a folder with <name>/expected.npz in it)

expected.npz was computed by Megatron-DeepSpeed's own loader and forward pass
in a new process (fp32, eval mode, no token dropping). The .bin holds the
arrays one after another, little endian, i32 or f32; the .json is the index:
  {"<array>": {"dtype": "i32"|"f32", "shape": [...], "offset": <bytes>}, ...}
Needs NumPy.
"""

import json
import pathlib
import sys

import numpy as np


def convert(source, target):
    index = {}
    blob = bytearray()
    with np.load(source) as arrays:
        for name in sorted(arrays.files):
            array = arrays[name]
            is_float = array.dtype.kind == "f"
            data = array.astype("<f4" if is_float else "<i4")
            if not np.array_equal(data, array):
                raise ValueError(f"{source}: {name} does not fit in 32 bits")
            index[name] = {
                "dtype": "f32" if is_float else "i32",
                "shape": list(data.shape),
                "offset": len(blob),
            }
            blob += data.tobytes()
    (target / "expected.bin").write_bytes(bytes(blob))
    lines = [f' "{k}": {json.dumps(v)}' for k, v in index.items()]
    (target / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    here = pathlib.Path(__file__).resolve().parent
    for source in sorted(pathlib.Path(sys.argv[1]).glob("*/expected.npz")):
        target = here / source.parent.name
        target.mkdir(exist_ok=True)
        convert(source, target)


if __name__ == "__main__":
    main()
