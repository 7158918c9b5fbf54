"""The sizes of files and folders.

A file has at most MAX_LINES lines. Of the product's sources (without tests), the
median file has fewer than MEDIAN_LINES lines, and a folder holds at most
MAX_UNITS units."""
import collections
import statistics

MAX_LINES = 400
MEDIAN_LINES = 120
MAX_UNITS = 20


def check_file_shape(sources):
    units = collections.defaultdict(set)
    for source in sources:
        # Highway includes an -inl.h once for each instruction set.
        once = source.is_header and not source.path.endswith("-inl.h")
        if once and "#pragma once" not in (line.strip() for line in source.lines):
            yield f"{source.path}:1: has no #pragma once"
        if len(source.lines) > MAX_LINES:
            yield f"{source.path}:{len(source.lines)}: more than {MAX_LINES} lines: split it by noun"
        if source.is_product:
            units[source.folder].add(source.unit)
    for folder, names in sorted(units.items()):
        if len(names) > MAX_UNITS:
            yield f"{folder}:1: {len(names)} file pairs, more than {MAX_UNITS}: part it by noun"
    lengths = [len(source.lines) for source in sources if source.is_product]
    if lengths and statistics.median(lengths) >= MEDIAN_LINES:
        longest = max((s for s in sources if s.is_product), key=lambda s: len(s.lines))
        median = statistics.median(lengths)
        yield f"{longest.path}:1: the median file has {median:g} lines, not fewer than {MEDIAN_LINES}"
