"""The file of a recording, and the comparison of two.

A recording is JSON with sorted keys: `machine` says where it was made, `cases`
has a record (nested dictionaries and lists of texts and numbers) of each case.
"""
import json
import re


def save(path, machine, cases):
    text = json.dumps({"machine": machine, "cases": cases}, indent=1, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def load(path, only=""):
    """The recording in a file, of the cases whose names match the regular expression `only`."""
    recording = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(recording, dict) or not {"machine", "cases"} <= recording.keys():
        raise ValueError(f"{path} is not a recording")
    recording["cases"] = {name: case for name, case in recording["cases"].items() if re.search(only, name)}
    return recording


def differences(before, after, path=""):
    """Where two records differ: triples of a path such as 'greedy/answer 0/tokens[3]' and both values.

    None stands for a value that is absent.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), f"{path}/{key}" if path else key)
    elif isinstance(before, list) and isinstance(after, list):
        for i in range(max(len(before), len(after))):
            yield from differences(before[i] if i < len(before) else None, after[i] if i < len(after) else None,
                                   f"{path}[{i}]")
    elif before != after:
        yield path, before, after


def value_text(value):
    if value is None:
        return "nothing"
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + "..."


def compare(before, after, most=3):
    """Lines that say where two recordings differ; at most `most` of each case. No lines: they are equal."""
    isas = [recording["machine"]["isa"] for recording in (before, after)]
    if isas[0] != isas[1]:
        return [f"recorded with different instruction sets, which round differently: {isas[0]} and {isas[1]}"]
    lines = []
    cases = (before["cases"], after["cases"])
    for name in sorted(cases[0].keys() | cases[1].keys()):
        if name not in cases[0] or name not in cases[1]:
            lines.append(f"{name}: only in the {'second' if name in cases[1] else 'first'} recording")
            continue
        found = list(differences(cases[0][name], cases[1][name]))
        lines += [f"{name}: {path}: {value_text(a)} became {value_text(b)}" for path, a, b in found[:most]]
        if len(found) > most:
            lines.append(f"{name}: and {len(found) - most} more differences")
    return lines
