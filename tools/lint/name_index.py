"""Every path of a repository, and every word of its code."""
import fnmatch
import itertools
import os
import pathlib
import re

CODE = {".h", ".cc", ".cu", ".cuh", ".proto", ".py", ".sh", ".bzl", ".bazel", ".txtpb", ".textproto"}
# Speaks of names that are not there.
LINT = ("tools/lint", "tests/lint")
WORD = re.compile(r"[A-Za-z_]\w*")
SLASHES = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
HASH = re.compile(r"#[^\n]*")
TARGET = re.compile(r'"([^"\s:/]+)"')


class NameIndex:
    def __init__(self, root):
        self._root = pathlib.Path(root)
        self._paths, self._words, self._targets = {""}, set(), {}
        for folder, folders, files in os.walk(self._root):
            # Hidden folders and Bazel's links hold nothing of the repository.
            folders[:] = [f for f in folders if not f.startswith((".", "bazel-", "__"))]
            here = pathlib.Path(folder).relative_to(self._root).as_posix().removeprefix(".")
            for name in folders + files:
                path = f"{here}/{name}".removeprefix("/")
                self._paths.add(path)
                self._words.update(WORD.findall(name))
                self._words.add(name.partition(".")[0])
            for name in files:
                self._read(pathlib.Path(folder, name), here)
        # "linear" and "linear.h" are names of linear.h.
        self._stems = {path.rpartition(".")[0] for path in self._paths if "." in path}
        self._bases = {path.rpartition("/")[2] for path in self._paths}

    def _read(self, file, package):
        if file.suffix not in CODE and not file.name.startswith(".bazelrc"):
            return
        text = file.read_text(encoding="utf-8", errors="replace")
        slashes = file.suffix in (".h", ".cc", ".cu", ".cuh", ".proto")
        text = (SLASHES if slashes else HASH).sub(" ", text)
        if package not in LINT:
            self._words.update(WORD.findall(text))
        if file.name == "BUILD.bazel":
            self._targets[package] = set(TARGET.findall(text))

    def tops(self):
        """The folders at the root."""
        return {path.partition("/")[0] for path in self._paths if "/" in path}

    def has_word(self, word):
        return word in self._words

    def has_path(self, path, folders=("",)):
        """True if `path`, of which <x> and * stand for anything, and {a,b} for both,
        is there below the root or below one of `folders`. Its extension may be left
        out."""
        return all(
            any(self._has_one(os.path.normpath(f"{folder}/{one}").lstrip("/")) for folder in folders)
            for one in expand_braces(path)
        )

    def _has_one(self, path):
        path = "" if path == "." else path
        if "*" in path:
            return bool(fnmatch.filter(self._paths, path))
        return path in self._paths or path in self._stems

    def has_file_name(self, name):
        return all(
            bool(fnmatch.filter(self._bases, one)) if "*" in one else one in self._bases
            for one in expand_braces(name)
        )

    def has_label(self, label):
        """`label`: "//server:moe_server" or "//tools/checkpoint"."""
        package, _, target = label.removeprefix("//").partition(":")
        if target == "":
            target = package.rpartition("/")[2]
        if package not in self._targets:
            return False
        return target in ("all", "...") or target in self._targets[package] or self.has_path(f"{package}/{target}")


def expand_braces(path):
    """'a.{h,cc}' -> 'a.h', 'a.cc'; '<op>_cpu' -> '*_cpu'."""
    parts = re.split(r"\{([^{}]*)\}", re.sub(r"<\w+>", "*", path))
    choices = [[part] if i % 2 == 0 else part.split(",") for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*choices)]
