"""The C++ sources of a repository: their lines, folders, units and includes."""
import dataclasses
import pathlib
import re

PRODUCT = ("kernels", "comm", "engine", "server", "tools")
TESTS = "tests"
SUFFIXES = (".h", ".cc", ".cu", ".cuh")

INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]+/[^"]+)"')
# What a file adds to the name of its unit: the arms of an op and its Highway
# part are the op's own.
ARM = re.compile(r"(_cpu|_cuda|(_sm\d+)_cuda|-inl)$")


@dataclasses.dataclass(frozen=True)
class Include:
    line: int
    target: str  # "engine/batch/batch.h"

    @property
    def folder(self):
        return str(pathlib.PurePosixPath(self.target).parent)

    @property
    def unit(self):
        return unit_of(self.target)


@dataclasses.dataclass(frozen=True)
class Source:
    path: str  # from the root: "engine/batch/batch.h"
    lines: tuple

    @property
    def folder(self):
        return str(pathlib.PurePosixPath(self.path).parent)

    @property
    def unit(self):
        return unit_of(self.path)

    @property
    def is_header(self):
        return self.path.endswith((".h", ".cuh"))

    @property
    def is_product(self):
        return self.path.split("/")[0] in PRODUCT

    def includes(self):
        """The includes of files of this repository, and of libraries in quotes."""
        for number, line in enumerate(self.lines, 1):
            match = INCLUDE.match(line)
            if match:
                yield Include(number, match[1])


def unit_of(path):
    """'kernels/ops/linear' for linear.h, linear.cc and linear_cpu.cc: what one class
    or family of functions is written in."""
    return ARM.sub("", str(pathlib.PurePosixPath(path).with_suffix("")))


def read_sources(root):
    """All sources below `root`, sorted by path."""
    root = pathlib.Path(root)
    sources = []
    for top in (*PRODUCT, TESTS):
        for file in sorted((root / top).rglob("*")):
            if file.suffix in SUFFIXES and file.is_file():
                lines = tuple(file.read_text(encoding="utf-8").splitlines())
                sources.append(Source(file.relative_to(root).as_posix(), lines))
    return sources
