import unittest

from page_names import check_page_names
from planted_tree import PlantedTreeTest


class PageNamesTest(PlantedTreeTest):
    def setUp(self):
        super().setUp()
        self.plant(
            "engine/moe/gate.h",
            "// Once called SlotTable, in engine/moe/slot_table.h.",
            "class GateTable { int expert_offsets; };",
        )
        self.plant("engine/moe/gate.cc", '#include "engine/moe/gate.h"')
        self.plant("engine/moe/BUILD.bazel", 'cc_library(name = "gate", srcs = ["gate.cc"])')

    def missing(self, page, *lines):
        """The names that are reported when `page` has these lines, as 'line: name'."""
        self.plant(page, *lines)
        pattern = r"^" + page.replace(".", r"\.") + r":(\d+): (.*) is not in the tree$"
        breaches = list(check_page_names(self.root))
        for breach in breaches:
            self.assertRegex(breach, pattern)
        return [breach[len(page) + 1 : -len(" is not in the tree")] for breach in breaches]

    def test_names_that_exist(self):
        lines = [
            "`GateTable` and its `expert_offsets`: `engine/moe/gate.{h,cc}`, `gate.h`, engine/moe.",
            "[the gate](../engine/moe/gate.h), `//engine/moe:gate`, `bazel-bin/engine/moe/gate`,",
            "`engine/moe/<name>.h`, `engine/moe/gate`, `Make(GateTable)`; https://a.b/engine/x.h",
            "```",
            "engine/    the rooms",
            "  moe/     GateTable; gate.{h,cc}",
            "```",
        ]
        self.assertEqual(self.missing("docs/architecture.md", *lines), [])

    def test_types_and_functions_of_the_map(self):
        lines = ["`SlotTable` `Make(slot_of, 2)`", "```", "GateTable -> SlotTable", "```"]
        self.assertEqual(
            self.missing("docs/architecture.md", *lines),
            ["1: SlotTable", "1: slot_of", "3: SlotTable"],
        )
        self.plant("docs/architecture.md", "Map")
        self.assertEqual(self.missing("docs/models.md", "`SlotTable`"), [])
        self.assertEqual(self.missing("engine/README.md", "`SlotTable`"), ["1: SlotTable"])

    def test_the_tree_of_the_map(self):
        lines = ["```", "engine/", "  moe/   gate.h route.h", "  gone/", "docs/  moe/", "```"]
        self.assertEqual(
            self.missing("docs/architecture.md", *lines),
            ["3: route.h", "4: gone/", "5: moe/"],
        )

    def test_paths_labels_and_links_of_every_page(self):
        lines = [
            "[gone](../engine/gone.h) and `engine/moe/gone.h`, engine/gone,",
            "`//engine/moe:gone`, `//gone`, `bazel-bin/engine/gone`, `gone.cc`",
            "```",
            "bazel build //engine/gone:all && tools/gone.sh",
            "```",
        ]
        self.assertEqual(
            self.missing("docs/operations.md", *lines),
            ["1: ../engine/gone.h", "1: engine/moe/gone.h", "1: engine/gone"]
            + ["2: //engine/moe:gone", "2: //gone", "2: bazel-bin/engine/gone", "2: gone.cc"]
            + ["4: //engine/gone:all", "4: tools/gone.sh"],
        )

    def test_a_readme_names_paths_below_its_folder(self):
        self.assertEqual(
            self.missing("engine/README.md", "`moe/gate.h` and `moe/gone.h`"), ["1: moe/gone.h"]
        )


if __name__ == "__main__":
    unittest.main()
