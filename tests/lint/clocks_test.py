import unittest

from planted_tree import PlantedTreeTest

SAYS = "reads the system's clock: use SteadyNow (kernels/core/steady_clock.h)"


class ClocksTest(PlantedTreeTest):
    def setUp(self):
        super().setUp()
        self.draw("comm:", "server/generation:", "tests: *")

    def test_the_system_clock_is_not_for_durations(self):
        self.plant("comm/a.cc", "auto a = absl::Now();", "auto b = std::chrono::system_clock::now();")
        self.plant("comm/b.cc", "// absl::Now() may jump", "auto c = SteadyNow();", "auto d = absl::FromTimeT(e);")
        self.plant("server/generation/server_identity.cc", "auto now = absl::Now();")
        self.plant("tests/comm/a_test.cc", "auto now = absl::Now();")
        self.assert_breaches(f"comm/a.cc:1: {SAYS}", f"comm/a.cc:2: {SAYS}")


if __name__ == "__main__":
    unittest.main()
