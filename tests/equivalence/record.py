#!/usr/bin/env python3
"""record.py: proves that a change of the code changes no answer by a bit.

  record.py record --bin=bazel-bin --out=FILE   asks the server of a build and
                                                writes its answers down
  record.py compare FILE FILE                   says where two recordings differ

Both recordings must be made on the same machine: results are bit for bit those
of one instruction set. See README.md beside this file.
"""
import argparse
import pathlib
import platform
import re
import sys
import tempfile
import time

import recording


def cpu_name():
    match = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return match[1] if match else platform.machine()


def record(options):
    # Only here, as `compare` does without gRPC.
    import cases
    import recorded_server

    binary = options.bin.resolve() / "server/moe_server"
    if not binary.exists():
        raise SystemExit(f"there is no {binary}; build //server:moe_server")
    chosen = [case for case in cases.all_cases() if re.search(options.only, case.name)]
    if not chosen:
        raise SystemExit(f"--only={options.only} matches no case; --list shows them")
    if options.list:
        print("\n".join(case.name for case in chosen))
        return 0
    if not options.out:
        raise SystemExit("--out is missing")
    protos = recorded_server.load_protos()
    records, isas, failed = {}, set(), 0
    for i, case in enumerate(chosen):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            try:
                isa, records[case.name] = recorded_server.record_case(binary, case, pathlib.Path(directory), protos)
                isas.add(isa)
                result = f"{time.monotonic() - begin:.1f} s"
            except recorded_server.ServerError as e:
                failed += 1
                result = f"FAILED: {e}"
        print(f"{i + 1}/{len(chosen)} {case.name}: {result}", flush=True)
    recording.save(options.out, {"cpu": cpu_name(), "isa": " ".join(sorted(isas))}, records)
    if failed:
        print(f"{failed} of {len(chosen)} cases failed; {options.out} is without them")
    return 1 if failed else 0


def compare(options):
    before, after = (recording.load(path, options.only) for path in (options.before, options.after))
    if not before["cases"]:
        raise SystemExit(f"{options.before} has no case that matches --only={options.only}")
    lines = recording.compare(before, after)
    print("\n".join(lines or [f"equal: {len(before['cases'])} cases on {before['machine']['isa']}"]))
    return 1 if lines else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    recorder = commands.add_parser("record", help="asks a server and writes its answers down")
    recorder.add_argument("--bin", type=pathlib.Path, required=True, help="bazel-bin of a build of //server:moe_server")
    recorder.add_argument("--out", type=pathlib.Path, help="the recording to write")
    recorder.add_argument("--only", default="", help="record the cases whose names match this regular expression")
    recorder.add_argument("--list", action="store_true", help="only print the names of the cases")
    recorder.set_defaults(run=record)
    comparer = commands.add_parser("compare", help="exit status 1 if the recordings differ")
    comparer.add_argument("before", type=pathlib.Path)
    comparer.add_argument("after", type=pathlib.Path)
    comparer.add_argument("--only", default="", help="compare the cases whose names match this regular expression")
    comparer.set_defaults(run=compare)
    options = parser.parse_args()
    return options.run(options)


if __name__ == "__main__":
    sys.exit(main())
