#!/usr/bin/env python3
"""compare.py: whether a build is slower than another.

  compare.py --before=DIR --after=DIR     two directories bazel-bin

Both hold what `bazel build -c opt` makes of the targets that run.py lists. The
two builds are measured in turns (before, after, after, before, ...), so that
what else the machine does meets both. Prints, for each row, the median speed of
both and the median of the pairs' ratios, after over before. Exit status 1 if a
ratio is below --floor.

Measures decode steps and a prefill, the same on two ranks, and the server with
32 streams. Takes some 5 minutes a pair on two cores, which should have nothing
else to do.
"""
import argparse
import os
import pathlib
import re
import statistics
import sys
import tempfile

import run

TIMEOUT = 1800  # seconds, of one run of a benchmark
MPIRUN = run.ROOT / "third_party/build_defs/mpirun.sh"
STEP = re.compile(r"^(?:\[1,0\]<stdout>:)?((?:batch|prefill) \d+)\s+([\d.]+)\s+([\d.]+)", re.M)


def step_speeds(text, column):
    """{row: steps per second} of a table of steps, whose milliseconds are in column 1 or 2 after the name."""
    speeds = {row[1]: 1000 / float(row[1 + column]) for row in STEP.finditer(text)}
    if not speeds:
        raise SystemExit(f"there are no steps in:\n{text}")
    return speeds


def measure_steps(binaries, options):
    return step_speeds(run.output(
        binaries / "tests/benchmarks/engine/decode_step_benchmark", f"--threads={options.threads}",
        f"--steps={options.steps}", "--batches=1,8,32", *options.shape.split(), timeout=TIMEOUT), 1)


def measure_ranks(binaries, options, degrees):
    return step_speeds(run.output(
        MPIRUN, "2", binaries / "tests/benchmarks/engine/rank_step_benchmark", f"--steps={options.steps}",
        "--batches=1,8,32", "--baseline=false", *degrees.split(), *options.shape.split(), timeout=TIMEOUT), 2)


def measure_served(binaries, options, checkpoint, directory):
    report, = run.load_server(binaries, checkpoint, options.threads, directory, [(32, options.requests)])
    return {"output tokens": report["output_tokens_per_second"]}


def measure_in_turns(measure, before, after, pairs):
    """The results of `pairs` pairs of measurements: [(of before, of after)]."""
    results = []
    for i in range(pairs):
        if i % 2 == 0:
            first = measure(before)
            results.append((first, measure(after)))
        else:
            first = measure(after)
            results.append((measure(before), first))
    return results


def summarize(results):
    """{row: (median before, median after, the pairs' ratios in rising order)}"""
    summary = {}
    for row in results[0][0]:
        before, after = ([pair[i][row] for pair in results] for i in (0, 1))
        ratios = sorted(b / a for a, b in zip(before, after))
        summary[row] = (statistics.median(before), statistics.median(after), ratios)
    return summary


def print_summary(title, summary, floor):
    """Prints the rows; returns those below the floor."""
    slow = []
    for row, (before, after, ratios) in summary.items():
        ratio = statistics.median(ratios)
        print(f"| {title}, {row} | {before:.4g} | {after:.4g} | {ratio:.3f} | {ratios[0]:.3f} to {ratios[-1]:.3f} |",
              flush=True)
        if ratio < floor:
            slow.append(f"{title}, {row}: {ratio:.3f}")
    return slow


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=pathlib.Path, required=True)
    parser.add_argument("--after", type=pathlib.Path, required=True)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--floor", type=float, default=0.98, help="the lowest ratio that passes")
    parser.add_argument("--only", default="", help="of 'steps', '2 ranks ...' and 'served', those that this matches")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--steps", type=int, default=15, help="measured steps of each kind")
    parser.add_argument("--shape", default="--experts=8", help="flags of the step benchmarks for the model's shape")
    parser.add_argument("--preset", default="350m_moe_8", help="of the served model")
    parser.add_argument("--requests", type=int, default=64, help="to the server, from 32 streams")
    parser.add_argument("--work", type=pathlib.Path, help="directory for the checkpoint (default: a temporary one)")
    options = parser.parse_args()
    before, after = options.before.resolve(), options.after.resolve()

    with tempfile.TemporaryDirectory(dir=options.work) as name:
        directory = pathlib.Path(name)
        checkpoint = directory / options.preset
        measures = {"steps": lambda binaries: measure_steps(binaries, options)}
        for degrees in run.RANK_DEGREES:
            measures["2 ranks " + degrees.replace("--", "")] = (
                lambda binaries, degrees=degrees: measure_ranks(binaries, options, degrees))
        measures["served"] = lambda binaries: measure_served(binaries, options, checkpoint, directory)
        measures = {title: measure for title, measure in measures.items() if re.search(options.only, title)}
        if "served" in measures:
            run.output(before / "tools/checkpoint/checkpoint", "make_random", f"--out={checkpoint}",
                       f"--preset={options.preset}", timeout=TIMEOUT)
        print(f"{run.cpu_name()}, {options.threads} threads, {options.pairs} pairs; steps or tokens per second\n")
        print("| | before | after | after / before | of single pairs |\n|---|---|---|---|---|", flush=True)
        slow = []
        for title, measure in measures.items():
            results = measure_in_turns(measure, before, after, options.pairs)
            slow += print_summary(title, summarize(results), options.floor)
    print("\n" + ("\n".join([f"below {options.floor}:", *slow]) if slow else f"None is below {options.floor}."))
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
