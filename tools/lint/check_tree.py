#!/usr/bin/env python3
"""check_tree.py ROOT: checks the structure of the sources below ROOT against
docs/architecture.md, and the names that its pages use against the tree.

Prints one line for each breach and exits with 1 if there are any."""
import pathlib
import sys

from circles import check_circles
from clocks import check_clocks
from drawn_edges import read_drawing
from file_shape import check_file_shape
from include_direction import check_include_direction
from page_names import check_page_names
from source_tree import read_sources

PAGE = "docs/architecture.md"


def check_tree(root):
    """Returns all breaches in the tree below `root`, a pathlib.Path."""
    sources = read_sources(root)
    drawing, breaches = read_drawing(PAGE, (root / PAGE).read_text(encoding="utf-8"))
    breaches += check_include_direction(sources, drawing)
    breaches += check_circles(sources, drawing)
    breaches += check_file_shape(sources)
    breaches += check_clocks(sources)
    breaches += check_page_names(root)
    return breaches


def main():
    breaches = check_tree(pathlib.Path(sys.argv[1]))
    print("\n".join(breaches) or "the tree is as its pages draw it")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
