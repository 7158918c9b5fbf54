import unittest

from circles import find_circles
from planted_tree import PlantedTreeTest


class CirclesTest(PlantedTreeTest):
    def test_a_header_and_the_source_of_another(self):
        self.plant_header("comm/group.h")
        self.plant("comm/group.cc", '#include "comm/group.h"', '#include "comm/factory.h"')
        self.plant_header("comm/factory.h", "comm/group.h")
        self.draw("comm:")
        self.assert_breaches(
            "comm/factory.h:2: circle of files: comm/factory -> comm/group -> comm/factory"
            " (comm/factory.h:2, comm/group.cc:2)"
        )

    def test_the_arms_of_an_op_are_its_own(self):
        self.plant_header("kernels/ops/linear.h")
        self.plant_header("kernels/ops/linear_cpu.h", "kernels/ops/linear.h")
        self.plant("kernels/ops/linear.cc", '#include "kernels/ops/linear_cpu.h"')
        self.draw("kernels/ops:")
        self.assert_breaches()

    def test_folders_whose_files_include_each_other_in_no_circle(self):
        self.plant_header("comm/a.h", "engine/b.h")
        self.plant_header("engine/b.h")
        self.plant_header("engine/c.h", "comm/d.h")
        self.plant_header("comm/d.h")
        self.draw("comm: engine", "engine: comm")
        self.assert_breaches(
            "docs/architecture.md:3: circle of drawn edges: comm -> engine -> comm",
            "comm/a.h:2: circle of folders: comm -> engine -> comm (comm/a.h:2, engine/c.h:2)",
        )

    def test_each_set_of_nodes_gives_its_shortest_circle(self):
        graph = {"a": "bd", "b": "c", "c": "a", "d": "a", "e": "f", "f": "e", "g": "a"}
        self.assertEqual(sorted(find_circles(graph)), [["a", "d"], ["e", "f"]])
        self.assertEqual(list(find_circles({"a": "b", "b": ""})), [])


if __name__ == "__main__":
    unittest.main()
