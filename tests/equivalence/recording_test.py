#!/usr/bin/env python3
"""What `record.py compare` says of recordings, and that the cases are sound."""
import copy
import pathlib
import struct
import tempfile
import types
import unittest

import cases
import recording
import workload


def sample():
    answer = {"tokens": ["17 bf0c49ba 1", "4 c0a1b2c3 2"], "finish": "LENGTH, 2 tokens"}
    return {"machine": {"cpu": "a", "isa": "avx2"},
            "cases": {"one": {"requests": {"greedy": {"answer 0": answer}}}, "two": {"layout": "tensor 2"}}}


class CompareTest(unittest.TestCase):
    def test_equal_recordings_differ_nowhere(self):
        self.assertEqual(recording.compare(sample(), sample()), [])

    def test_one_bit_is_found_and_named(self):
        other = sample()
        other["cases"]["one"]["requests"]["greedy"]["answer 0"]["tokens"][1] = "4 c0a1b2c2 2"
        self.assertEqual(recording.compare(sample(), other), [
            'one: requests/greedy/answer 0/tokens[1]: "4 c0a1b2c3 2" became "4 c0a1b2c2 2"'])

    def test_a_missing_token_is_a_difference(self):
        other = sample()
        del other["cases"]["one"]["requests"]["greedy"]["answer 0"]["tokens"][1]
        self.assertEqual(recording.compare(other, sample()), [
            'one: requests/greedy/answer 0/tokens[1]: nothing became "4 c0a1b2c3 2"'])

    def test_a_missing_case_is_a_difference(self):
        other = sample()
        del other["cases"]["two"]
        self.assertEqual(recording.compare(sample(), other), ["two: only in the first recording"])
        self.assertEqual(recording.compare(other, sample()), ["two: only in the second recording"])

    def test_each_case_has_few_lines(self):
        before, after = sample(), sample()
        before["cases"]["one"] = {"tokens": ["1"] * 10}
        after["cases"]["one"] = {"tokens": ["2"] * 10}
        lines = recording.compare(before, after, most=3)
        self.assertEqual(len(lines), 4)
        self.assertEqual(lines[3], "one: and 7 more differences")

    def test_instruction_sets_must_be_equal(self):
        other = copy.deepcopy(sample())
        other["machine"]["isa"] = "avx3"
        lines = recording.compare(sample(), other)
        self.assertEqual(len(lines), 1)
        self.assertIn("avx2 and avx3", lines[0])

    def test_files_keep_a_recording(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "a.rec"
            recording.save(path, sample()["machine"], sample()["cases"])
            self.assertEqual(recording.load(path), sample())
            self.assertEqual(list(recording.load(path, only="^t")["cases"]), ["two"])
            path.write_text("[]")
            with self.assertRaises(ValueError):
                recording.load(path)


class WorkloadTest(unittest.TestCase):
    def test_bits_tell_floats_apart(self):
        self.assertEqual(workload.float_bits(-1.0), "bf800000")
        self.assertNotEqual(workload.float_bits(0.0), workload.float_bits(-0.0))
        next_below_one = struct.unpack(">f", bytes.fromhex("3f7fffff"))[0]
        self.assertEqual(workload.float_bits(next_below_one), "3f7fffff")

    def test_requests_fit_every_model(self):
        for positions, vocab_size in ((8, 48), (32, 59), (512, 4096)):
            model = types.SimpleNamespace(max_positions=positions, vocab_size=vocab_size, has_tokenizer=False)
            for preempted in (False, True):
                for name, fields in workload.requests(model, preempted):
                    ids, new_tokens = fields["token_ids"]["ids"], fields["stopping"]["max_new_tokens"]
                    self.assertGreaterEqual(len(ids), 1, name)
                    self.assertGreaterEqual(new_tokens, 1, name)
                    self.assertLessEqual(len(ids) + new_tokens, positions, name)
                    self.assertLess(max(ids), vocab_size, name)


class CasesTest(unittest.TestCase):
    def test_names_are_unique(self):
        names = [case.name for case in cases.all_cases()]
        self.assertEqual(len(names), len(set(names)))

    def test_each_kind_of_exchange_is_pinned_for_each_moe_model(self):
        moe = [m for m in (*cases.SHIPPED, *cases.MEGATRON) if not m.startswith("dense")]
        self.assertEqual(len(moe), 11)
        for model in moe:
            mine = " ".join(case.parallel for case in cases.all_cases() if case.path.endswith("/" + model))
            for kind in ("FLAT", "HIERARCHICAL", "COORDINATED", "REPLICATED"):
                self.assertIn(f"exchange: {kind}", mine, model)


if __name__ == "__main__":
    unittest.main(verbosity=2)
