#!/usr/bin/env python3
"""run.py: exchanges of a MoE layer between hosts that this machine plays.

Needs root: four hosts of two ranks each are network namespaces, joined by a
user-space switch that adds latency and limits the links (//tests/support:
virtual_network). Real mpirun, real TCP between hosts, shared memory inside.
Nothing is left on the machine, however it ends.

For each network and exchange: time, messages and bytes that rank 0 sends, and
what the cost model predicted from links measured on the same network. Where the
model says that one exchange is clearly faster than another (--margin), the
clock must agree, or the exit status is 1. Then whole decode steps of a model
with two MoE layers, the kind of exchange pinned; then a served pyramid, whose
answers must be those of one process (served.py). Prints Markdown; takes about
six minutes on two cores.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
TARGETS = (
    "//tests/benchmarks/comm:exchange_benchmark",
    "//tests/benchmarks/engine:rank_step_benchmark",
    "//server:moe_server",
    "//tests/support:virtual_network",
    "//tools/checkpoint",
    "//tools/client",
    "//tools/loadgen",
)
# Name, flags of virtual_network. The last two make messages and bytes dear.
NETWORKS = (
    ("1 ms", ["--latency=1ms"]),
    ("5 ms", ["--latency=5ms"]),
    ("1 ms, 0.3 ms for each frame", ["--latency=1ms", "--frame_time=300us"]),
    ("1 ms, 100 Mbit/s", ["--latency=1ms", "--bytes_per_second=12.5e6"]),
)
NOT_POSSIBLE = 77  # of virtual_network
STEP_HIDDEN = 512
STEP_MOE_LAYERS = 2  # of 4
STEP = re.compile(r"^batch (\d+)\s+[\d.]+\s+([\d.]+)\s+\S+\s+([\d.]+)\s+([\d.]+)\s+(\d+)\s+([\d.]+)", re.M)
ROW = re.compile(r"^\s*(\d+)\s+(\w+)\s+([\d.]+)\s+([\d.]+)\s+(\d+)\s+(\d+)$", re.M)


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def build(startup):
    output("bazel", *startup, "build", "-c", "opt", *TARGETS)
    text = subprocess.run(["bazel", *startup, "info", "-c", "opt", "bazel-bin"], check=True, cwd=ROOT,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return pathlib.Path(text.strip())


def run_job(binaries, options, network, *command):
    """Output and errors of a job over the network."""
    result = subprocess.run(
        [binaries / "tests/support/virtual_network", f"--nodes={options.nodes}",
         f"--ranks_per_node={options.ranks_per_node}", *network, "--report", "--", "mpirun", "-np",
         str(options.nodes * options.ranks_per_node), *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=options.timeout, check=False)
    if result.returncode == NOT_POSSIBLE:
        raise SystemExit(f"not possible here: {result.stderr.strip()}")
    if result.returncode != 0:
        raise SystemExit(f"the job ended with {result.returncode}:\n{result.stdout}{result.stderr}")
    return result.stdout, result.stderr


def measure(binaries, options, network, replication, tokens, hidden):
    """Its lines about links, and rows of (tokens, kind, us, predicted us, messages, bytes)."""
    kinds = "flat,hierarchical,replicated" if replication == 1 else "flat,coordinated,replicated"
    out, err = run_job(
        binaries, options, network, binaries / "tests/benchmarks/comm/exchange_benchmark",
        f"--replication={replication}", f"--kinds={kinds}", f"--tokens={tokens}", f"--hidden={hidden}")
    rows = [(int(tokens), kind, float(us), float(predicted), int(messages), int(sent))
            for tokens, kind, us, predicted, messages, sent in ROW.findall(out)]
    links = re.search(r"^in the node: .*$", out, re.M)[0]
    switch = re.search(r"^virtual_network: .*frames.*$", err, re.M)
    return rows, links, switch[0] if switch else ""


def measure_steps(binaries, options, network, replication, kinds):
    """Prints decode steps beside what their exchanges were predicted to take."""
    data_ranks = options.nodes * options.ranks_per_node // replication
    batches = {data_ranks: 1, 8 * data_ranks: 8}  # rows on each data rank
    # Rows travel with a header of 64 bytes.
    rows, _, _ = measure(binaries, options, network, replication, "1,8", STEP_HIDDEN + 16)
    for kind in kinds:
        predicted = {row[0]: row[3] for row in rows if row[1] == kind}
        out, _ = run_job(
            binaries, options, network, binaries / "tests/benchmarks/engine/rank_step_benchmark",
            f"--tensor={replication}", f"--exchange={kind}", f"--hidden={STEP_HIDDEN}", "--layers=4", "--vocab=8192",
            "--experts=8", "--baseline=false", "--prefill=0", "--steps=10", "--batches=" + ",".join(map(str, batches)))
        for batch, step_ms, wait_ms, hidden_ms, messages, kilobytes in STEP.findall(out):
            print(f"| {batch} | {replication} | {kind} | {step_ms} | {wait_ms} | {hidden_ms} "
                  f"| {STEP_MOE_LAYERS * predicted[batches[int(batch)]] / 1e3:.2f} | {messages} | {kilobytes} |")
        sys.stdout.flush()


def serve(binaries, options, network):
    """Prints what served.py does; whether all answers were equal."""
    result = subprocess.run(
        [binaries / "tests/support/virtual_network", f"--nodes={options.nodes}",
         f"--ranks_per_node={options.ranks_per_node}", *network, "--",
         sys.executable, pathlib.Path(__file__).with_name("served.py"), binaries,
         str(options.nodes * options.ranks_per_node)],
        stdout=subprocess.PIPE, text=True, timeout=2 * options.timeout, check=False)
    print(result.stdout, flush=True)
    return result.returncode == 0


def contradictions(rows, margin):
    """Pairs of kinds that the model puts clearly in one order and the clock clearly in the other."""
    for tokens in sorted({row[0] for row in rows}):
        here = [row for row in rows if row[0] == tokens]
        for a in here:
            for b in here:
                if a[3] * (1 + margin) < b[3] and a[2] > b[2] * (1 + margin / 2):
                    yield (f"{tokens} tokens: {a[1]} was predicted to be faster than {b[1]} "
                           f"({a[3]:.0f} to {b[3]:.0f} us), but took {a[2]:.0f} to {b[2]:.0f} us")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--ranks_per_node", type=int, default=2)
    parser.add_argument("--tokens", default="1,8,64", help="on each rank")
    parser.add_argument("--hidden", type=int, default=1024, help="float32 numbers of a token")
    parser.add_argument("--networks", default="0,1,2,3", help="numbers of those to measure: "
                        + ", ".join(f"{i} ({name})" for i, (name, _) in enumerate(NETWORKS)))
    parser.add_argument("--no_exchanges", action="store_true", help="leave the single exchanges out")
    parser.add_argument("--no_steps", action="store_true", help="leave the decode steps out")
    parser.add_argument("--no_served", action="store_true", help="leave the served model out")
    parser.add_argument("--margin", type=float, default=0.25, help="a clear difference between two predictions")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for each network")
    parser.add_argument("--bin", type=pathlib.Path, help="where the programs are built; default: builds them")
    parser.add_argument("--bazel_startup", default="", help="options for bazel itself")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("network namespaces and TAP devices need root")

    binaries = options.bin or build(options.bazel_startup.split())
    print(f"{options.nodes} hosts of {options.ranks_per_node} ranks on {os.cpu_count()} cores; rows of "
          f"{options.hidden * 4} bytes, one expert a rank, top-1; microseconds there and back")
    failures = []
    networks = [NETWORKS[int(number)] for number in options.networks.split(",")]
    for name, network in [] if options.no_exchanges else networks:
        for replication in (1, options.ranks_per_node):
            rows, links, switch = measure(binaries, options, network, replication, options.tokens, options.hidden)
            print(f"\n### {name}, tensor degree {replication}\n\n{links}. {switch}\n")
            print("| tokens | exchange | us | predicted us | messages | bytes |\n|---|---|---|---|---|---|")
            for tokens, kind, us, predicted, messages, sent in rows:
                fastest = us == min(row[2] for row in rows if row[0] == tokens)
                mark = "**" if fastest else ""
                print(f"| {tokens} | {kind} | {mark}{us:.0f}{mark} | {predicted:.0f} | {messages} | {sent} |")
            sys.stdout.flush()
            failures += [f"{name}, tensor degree {replication}, {text}" for text in contradictions(rows, options.margin)]
    for name, network in [] if options.no_steps else networks:
        print(f"\n### Decode steps, {name} (4 layers, 2 of them MoE, {STEP_HIDDEN} features, 8 experts)\n")
        print("| batch | tensor degree | exchange | step ms | waiting ms | hidden ms | exchanges predicted ms | messages | kB |")
        print("|---|---|---|---|---|---|---|---|---|")
        measure_steps(binaries, options, network, 1, ("flat", "hierarchical", "replicated"))
        measure_steps(binaries, options, network, options.ranks_per_node, ("flat", "coordinated"))
    for name, network in [] if options.no_served else networks[:1]:
        print(f"\n### Served over {name}: 6 layers, 4, 8 and 16 experts, 256 features, 8 clients\n")
        print("| exchange | step p50 ms | between tokens p50 ms | tokens |\n|---|---|---|---|")
        if not serve(binaries, options, network):
            failures.append(f"{name}, served: other tokens than one process's, or it failed")
    print("\nThe clock " + ("agrees with the model." if not failures else "contradicts the model:"))
    for failure in failures:
        print("* " + failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
