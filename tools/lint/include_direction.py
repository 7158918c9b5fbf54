"""An include follows an edge that is drawn, and each drawn edge is followed."""
import collections

from drawn_edges import ANY
from source_tree import TESTS


def check_include_direction(sources, drawing):
    """Yields a breach for each include without an edge, each folder without a line,
    and each edge without an include."""
    followed = collections.defaultdict(set)
    undrawn = set()
    for source in sources:
        folder = drawing.home(source.folder)
        # The folders of tests need no lines; those of the product each have one.
        if folder is None or (source.is_product and folder != source.folder):
            if source.folder not in undrawn:
                undrawn.add(source.folder)
                yield f"{source.path}:1: {drawing.page} draws no folder {source.folder}"
            continue
        for include in source.includes():
            target = drawing.home(include.folder)
            if target is None or target == folder:  # a library, or the same folder
                continue
            followed[folder].add(target)
            if not drawing.allows(folder, target):
                yield f"{source.path}:{include.line}: {folder} may not include {target}"
    for folder, targets in drawing.edges.items():
        for target in sorted(targets - followed[folder] - {ANY}):
            if not folder.startswith(TESTS):
                line = drawing.lines[folder]
                yield f"{drawing.page}:{line}: stale edge: nothing in {folder} includes {target}"
