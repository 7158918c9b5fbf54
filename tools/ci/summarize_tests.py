#!/usr/bin/env python3
"""summarize_tests.py EVENTS STATUS: counts the test cases of a Bazel run.

EVENTS is Bazel's --build_event_json_file, STATUS its exit status. Prints each
failed or skipped case and, last, 'N passed, N failed[, N skipped]'. A test
target that leaves no result (it did not build, timed out or crashed) counts as
one failure. Exits non-zero if anything failed or Bazel did.
"""
import json
import pathlib
import sys
import urllib.parse
import xml.etree.ElementTree as xml


def read_events(path):
    """Returns the configured test targets and the log files of those that ran."""
    targets, results, built = set(), {}, set()
    for line in open(path, encoding="utf-8"):
        event = json.loads(line)
        kind = event["id"]
        if "targetConfigured" in kind:
            if event.get("configured", {}).get("testSize"):
                targets.add(kind["targetConfigured"]["label"])
        elif "targetCompleted" in kind:
            if event.get("completed", {}).get("success"):
                built.add(kind["targetCompleted"]["label"])
        elif "testResult" in kind:
            label = kind["testResult"]["label"]
            result = event["testResult"]
            files = {
                f["name"]: urllib.parse.unquote(urllib.parse.urlparse(f["uri"]).path)
                for f in result.get("testActionOutput", [])
                if "uri" in f
            }
            results.setdefault(label, []).append((result["status"], files.get("test.xml")))
    return targets, results, built


def count_cases(status, path):
    """Returns (passed, failed names, skipped names) of one result."""
    failed, skipped, passed = [], [], 0
    try:
        cases = list(xml.parse(path).getroot().iter("testcase"))
    except (OSError, TypeError, xml.ParseError):
        cases = []
    for case in cases:
        name = ".".join(filter(None, (case.get("classname"), case.get("name"))))
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif (
            case.find("skipped") is not None
            or case.get("result") in ("skipped", "suppressed")
            or case.get("status") == "notrun"
        ):
            skipped.append(name)
        else:
            passed += 1
    if status not in ("PASSED", "FLAKY") and not failed:
        failed.append(f"({status})")
    elif not cases:
        passed += 1
    return passed, failed, skipped


def main():
    events, bazel_status = sys.argv[1], int(sys.argv[2])
    targets, results, _ = read_events(events)
    passed, failed, skipped = 0, [], []
    for label in sorted(targets | set(results)):
        if label not in results:
            failed.append(f"{label} (not built)")
            continue
        for status, path in results[label]:
            ok, bad, left = count_cases(status, path)
            passed += ok
            failed += [f"{label} {name}" for name in bad]
            skipped += [f"{label} {name}" for name in left]
    for name in skipped:
        print("SKIPPED", name)
    for name in failed:
        print("FAILED", name)
    if bazel_status and not failed:
        failed.append("bazel")
        print(f"FAILED bazel: exit status {bazel_status} (see its output above)")
    line = f"{passed} passed, {len(failed)} failed"
    print(line + (f", {len(skipped)} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
