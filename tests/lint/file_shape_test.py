import unittest

from planted_tree import PlantedTreeTest


class FileShapeTest(PlantedTreeTest):
    def setUp(self):
        super().setUp()
        self.draw("comm:", "tests: *")

    def test_a_file_of_more_than_400_lines(self):
        self.plant("comm/a.cc", *["//"] * 401)
        for name in "bc":
            self.plant(f"comm/{name}.cc", *["//"] * 119)
        self.plant("tests/comm/a_test.cc", *["//"] * 401)
        self.assert_breaches(
            "comm/a.cc:401: more than 400 lines: split it by noun",
            "tests/comm/a_test.cc:401: more than 400 lines: split it by noun",
        )

    def test_a_median_file_of_120_lines(self):
        self.plant("comm/a.cc", *["//"] * 200)
        self.plant("comm/b.cc", *["//"] * 120)
        self.plant("comm/c.cc", "//")
        for name in "defg":
            self.plant(f"tests/comm/{name}_test.cc", "//")
        self.assert_breaches("comm/a.cc:1: the median file has 120 lines, not fewer than 120")

    def test_a_folder_of_more_than_20_pairs(self):
        for number in range(20):
            self.plant_header(f"comm/f{number}.h")
            self.plant(f"comm/f{number}.cc")
        self.assert_breaches()
        self.plant("comm/g.cc")
        self.assert_breaches("comm:1: 21 file pairs, more than 20: part it by noun")

    def test_a_header_without_pragma_once(self):
        self.plant("comm/a.h", "int a;")
        self.plant("comm/a-inl.h", "int a;")
        self.assert_breaches("comm/a.h:1: has no #pragma once")


if __name__ == "__main__":
    unittest.main()
