"""Tiny source trees, written for one test."""
import pathlib
import tempfile
import unittest

import check_tree


class PlantedTreeTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.plant("docs/architecture.md", "# Map\n")

    def plant(self, path, *lines):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(line.rstrip("\n") + "\n" for line in lines), encoding="utf-8")

    def plant_header(self, path, *includes):
        self.plant(path, "#pragma once", *(f'#include "{i}"' for i in includes))

    def draw(self, *edges):
        self.plant("docs/architecture.md", "# Map", "```edges", *edges, "```")

    def assert_breaches(self, *expected):
        self.assertEqual(sorted(check_tree.check_tree(self.root)), sorted(expected))
