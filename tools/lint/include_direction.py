#!/usr/bin/env python3
"""include_direction.py ROOT: checks the house's structure in the sources.

* An include points down only: each folder may include itself and the folders
  listed for it below (docs/architecture.md, section 1).
* Headers have #pragma once (but for Highway's -inl.h); sources have at most 400 lines.

Prints one line for each breach and exits with 1 if there are any.
"""
import pathlib
import re
import sys

MAX_LINES = 400

# Folder -> folders it may include. The longest matching key decides.
ALLOWED = {
    "kernels/core": [],
    "kernels/cpu": ["kernels/core"],
    "kernels/ops": ["kernels/core", "kernels/cpu"],
    "comm": ["kernels/core"],
    "engine/config": ["kernels/core", "comm"],
    "engine/batch": ["engine/config", "kernels/core"],
    "engine/checkpoint": ["engine/config", "engine/batch", "kernels", "comm"],
    "engine/cache": ["engine/config", "engine/batch", "kernels"],
    "engine/sampling": ["engine/config", "engine/batch", "kernels"],
    "engine/layers": ["engine/config", "engine/batch", "engine/checkpoint", "engine/cache", "engine/sampling", "engine/moe", "kernels", "comm"],
    "engine/moe": ["engine/config", "engine/batch", "engine/checkpoint", "engine/cache", "engine/sampling", "engine/layers", "kernels", "comm"],
    "engine/models": ["engine/config", "engine/batch", "engine/checkpoint", "engine/cache", "engine/layers", "engine/moe", "kernels", "comm"],
    "engine/scheduler": ["engine/config", "engine/batch", "engine/cache", "engine/sampling", "kernels/core"],
    "engine/runtime": ["engine", "kernels", "comm"],
    "server/text": ["kernels/core"],
    # Of the engine, the server sees what //engine:api exports.
    "server": ["server", "engine/runtime", "engine/sampling", "engine/config", "engine/checkpoint", "kernels/core", "proto"],
    "tools": ["proto", "server", "engine", "kernels", "comm", "tests/benchmarks"],
    "tests": ["proto", "server", "engine", "kernels", "comm", "tools"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
SOURCES = ("*.h", "*.cc", "*.cu", "*.cuh")


def folder_of(path):
    """The key of ALLOWED that a path falls under, or None."""
    keys = [k for k in ALLOWED if path == k or path.startswith(k + "/")]
    return max(keys, key=len) if keys else None


def check_includes(path, lines):
    folder = folder_of(path)
    if folder is None:
        yield f"{path}: no layer is known for this folder; add it to {pathlib.Path(__file__).name}"
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        # hwy/foreach_target.h includes a source again, by its own path.
        if not match or "/" not in match[1]:
            continue
        target = match[1]
        home = folder_of(target)
        if home is None or home == folder:  # a system header, or the same folder
            continue
        if not any(target.startswith(a + "/") for a in ALLOWED[folder]):
            yield f"{path}:{number}: {folder} may not include {home}"


def check_shape(path, lines):
    # Highway includes an -inl.h once for each instruction set.
    guarded = path.endswith((".h", ".cuh")) and not path.endswith("-inl.h")
    if guarded and not any(l.strip() == "#pragma once" for l in lines):
        yield f"{path}: has no #pragma once"
    if len(lines) > MAX_LINES:
        yield f"{path}: {len(lines)} lines, more than {MAX_LINES}: split it by noun"


def main():
    root = pathlib.Path(sys.argv[1])
    breaches, checked = [], 0
    for top in ("kernels", "comm", "engine", "server", "tools", "tests"):
        for pattern in SOURCES:
            for file in sorted((root / top).rglob(pattern)):
                path = str(file.relative_to(root))
                lines = file.read_text(encoding="utf-8").splitlines()
                checked += 1
                breaches += check_includes(path, lines)
                breaches += check_shape(path, lines)
    print("\n".join(breaches) or f"{checked} files: every include points down")
    return 1 if breaches or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
