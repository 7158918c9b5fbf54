#!/usr/bin/env python3
"""What compare.py makes of the benchmarks' output."""
import contextlib
import io
import unittest

import compare

STEPS = """gpt_moe: 0.61 G parameters
step               ms  best ms        MB    GB/s machine
batch 1         20.00    18.00     800.0    40.0    42.0
prefill 512    500.00   400.00     900.0     1.8    42.0
"""
RANKS = """[1,0]<stdout>:step          alone ms  ranks ms     rate
[1,0]<stdout>:batch 8           0.00     25.00     0.0%
[1,0]<stdout>:layer 1: flat 0, hierarchical 0, coordinated 10, replicated 10
"""


class CompareTest(unittest.TestCase):
    def test_speeds_of_steps(self):
        self.assertEqual(compare.step_speeds(STEPS, 1), {"batch 1": 50, "prefill 512": 2})
        self.assertEqual(compare.step_speeds(RANKS, 2), {"batch 8": 40})

    def test_output_without_steps_ends_the_comparison(self):
        with self.assertRaises(SystemExit):
            compare.step_speeds("no table\n", 1)

    def test_builds_take_turns(self):
        order = []
        results = compare.measure_in_turns(lambda build: order.append(build) or build, "A", "B", 4)
        self.assertEqual("".join(order), "ABBAABBA")
        self.assertEqual(results, [("A", "B")] * 4)

    def test_the_ratio_is_that_of_the_pairs(self):
        # The machine slowed down, but each pair shows the same loss.
        results = [({"x": a}, {"x": 0.9 * a}) for a in (100, 50, 10)]
        before, after, ratios = compare.summarize(results)["x"]
        self.assertEqual((before, after), (50, 45))
        for ratio in ratios:
            self.assertAlmostEqual(ratio, 0.9)

    def test_rows_below_the_floor_are_named(self):
        summary = {"fast": (10, 10, [0.9, 1.0, 1.1]), "slow": (10, 9, [0.8, 0.9, 1.2])}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            slow = compare.print_summary("steps", summary, 0.98)
        self.assertEqual(slow, ["steps, slow: 0.900"])
        self.assertIn("| steps, fast | 10 | 10 | 1.000 | 0.900 to 1.100 |", printed.getvalue())


if __name__ == "__main__":
    unittest.main(verbosity=2)
