import unittest

from planted_tree import PlantedTreeTest


class IncludeDirectionTest(PlantedTreeTest):
    def setUp(self):
        super().setUp()
        self.plant_header("comm/group.h")
        self.plant_header("engine/moe/gate.h", "comm/group.h", "absl/status/status.h")

    def test_a_tree_as_drawn_has_no_breach(self):
        self.plant("tests/engine/gate_test.cc", '#include "engine/moe/gate.h"')
        self.draw("comm:", "engine/moe: comm", "tests: *")
        self.assert_breaches()

    def test_an_upward_include(self):
        self.plant("comm/group.cc", '#include "engine/moe/gate.h"')
        self.draw("comm:", "engine/moe: comm")
        self.assert_breaches(
            "comm/group.cc:1: comm may not include engine/moe",
            "comm/group.cc:1: circle of folders: comm -> engine/moe -> comm"
            " (comm/group.cc:1, engine/moe/gate.h:2)",
            "comm/group.cc:1: circle of files: comm/group -> engine/moe/gate -> comm/group"
            " (comm/group.cc:1, engine/moe/gate.h:2)",
        )

    def test_an_edge_to_a_folder_does_not_reach_below_it(self):
        self.plant_header("comm/control/link.h")
        self.plant("engine/moe/gate.cc", '#include "comm/control/link.h"')
        self.draw("comm:", "comm/control:", "engine/moe: comm")
        self.assert_breaches("engine/moe/gate.cc:1: engine/moe may not include comm/control")

    def test_an_edge_that_no_include_follows(self):
        self.plant_header("engine/layers/norm.h")
        self.draw("comm:", "engine/moe: comm", "engine/layers: comm")
        self.assert_breaches(
            "docs/architecture.md:5: stale edge: nothing in engine/layers includes comm"
        )

    def test_a_folder_that_is_not_drawn(self):
        self.plant_header("engine/moe/route/table.h")
        self.draw("comm:", "engine/moe: comm")
        self.assert_breaches(
            "engine/moe/route/table.h:1: docs/architecture.md draws no folder engine/moe/route"
        )

    def test_a_page_that_draws_nothing(self):
        self.plant("docs/architecture.md", "Map")
        self.assert_breaches(
            "docs/architecture.md:1: draws no edges: a code block ```edges is needed",
            "comm/group.h:1: docs/architecture.md draws no folder comm",
            "engine/moe/gate.h:1: docs/architecture.md draws no folder engine/moe",
        )

    def test_lines_that_say_nothing(self):
        self.draw("comm:", "engine/moe: comm kernels", "comm:", "engine moe")
        self.assert_breaches(
            "docs/architecture.md:4: kernels has no line of its own",
            "docs/architecture.md:4: stale edge: nothing in engine/moe includes kernels",
            "docs/architecture.md:5: comm is drawn twice",
            "docs/architecture.md:6: not of the form 'folder: folder folder': engine moe",
        )


if __name__ == "__main__":
    unittest.main()
