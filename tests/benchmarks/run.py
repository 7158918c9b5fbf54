#!/usr/bin/env python3
"""run.py: the project's benchmarks, one after the other, on a quiet machine.

Builds what it runs, then measures, each beside the machine's own read rate and
multiply-add peak in the same minutes:

  1. whole decode steps and a prefill of models far above the last-level cache
     (the paper's 350M+MoE with 8 and with 32 experts, random weights);
  2. two ranks of one thread against one rank of two threads, for tensor and for
     expert degree 2: steps, and what exchanges cost;
  3. the model with 8 experts in PyTorch eager, if --torch_python names an
     interpreter that has torch;
  4. the server with the model with 8 experts: what one client and 32 clients see.

Prints Markdown. Needs about 16 GB of memory, 4 GB of disk and 10 minutes.
"""
import argparse
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGETS = (
    "//server:moe_server",
    "//tests/benchmarks:machine_ceilings",
    "//tests/benchmarks/engine:decode_step_benchmark",
    "//tests/benchmarks/engine:rank_step_benchmark",
    "//tools/checkpoint",
    "//tools/loadgen",
)
# Of the two ranks: tensor slices of experts, whole experts, no tensor slices.
RANK_DEGREES = ("--tensor=2 --expert=1 --slice=2", "--tensor=2 --expert=2", "--tensor=1 --expert=2")


def output(*command, **options):
    """The standard output of a command; its errors go to ours."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, **options).stdout


def build(startup):
    output("bazel", *startup, "build", "-c", "opt", *TARGETS)
    return pathlib.Path(output("bazel", *startup, "info", "-c", "opt", "bazel-bin", stderr=subprocess.DEVNULL).strip())


def cpu_name():
    match = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return match[1] if match else platform.machine()


def block(title, text):
    print(f"\n### {title}\n\n```\n{text.rstrip()}\n```", flush=True)


def serve(binary, checkpoint, threads, directory):
    """Starts the server; returns the process and its port."""
    config = directory / "server.textproto"
    port_file = directory / "port"
    config.write_text(
        f'model {{ path: "{checkpoint}" name: "bench" }}\n'
        f"engine {{ threads: {threads} max_running_sequences: 32 }}\n"
        f'server {{ port: 0 port_file: "{port_file}" }}\n',
        encoding="utf-8",
    )
    log = open(directory / "server.log", "w", encoding="utf-8")
    process = subprocess.Popen([binary, "--config", config], stdout=log, stderr=subprocess.STDOUT)
    for _ in range(1200):
        if port_file.exists() and port_file.read_text(encoding="utf-8").strip():
            return process, int(port_file.read_text(encoding="utf-8"))
        if process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"the server did not start:\n{(directory / 'server.log').read_text(encoding='utf-8')}")


def load_server(binaries, checkpoint, threads, directory, loads):
    """Serves the model, and returns what loadgen reports of each load (streams, requests)."""
    process, port = serve(binaries / "server/moe_server", checkpoint, threads, directory)
    try:
        return [json.loads(output(
            binaries / "tools/loadgen/loadgen", f"--address=127.0.0.1:{port}", f"--streams={streams}",
            f"--requests={requests}", "--prompt_tokens=64", "--new_tokens=64", "--json"))
            for streams, requests in loads]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def measure_serving(binaries, checkpoint, threads, directory):
    rows = load_server(binaries, checkpoint, threads, directory, ((1, 2), (32, 64)))
    print("\n### Serving (64 prompt and 64 new tokens each)\n")
    print("| streams | output tokens/s | TTFT p50 / p95 ms | inter-token p50 / p95 ms | engine step p50 ms |")
    print("|---|---|---|---|---|")
    for r in rows:
        print(f"| {r['streams']} | {r['output_tokens_per_second']:.1f} | {r['ttft_ms_p50']:.0f} / {r['ttft_ms_p95']:.0f} "
              f"| {r['inter_token_ms_p50']:.2f} / {r['inter_token_ms_p95']:.2f} | {r['engine_step_ms_p50']:.2f} |")
    one = rows[0]
    overhead = one["inter_token_ms_p50"] - one["engine_step_ms_p50"]
    print(f"\nOverhead of the server per streamed token (one stream): {overhead * 1e3:.0f} us.", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--torch_python", help="an interpreter with torch; without it the peer is left out")
    parser.add_argument("--work", type=pathlib.Path, help="directory for the checkpoint (default: a temporary one)")
    parser.add_argument("--bazel_startup", default="", help="options for bazel itself")
    options = parser.parse_args()

    binaries = build(options.bazel_startup.split())
    print(f"{cpu_name()}, {options.threads} threads, {time.strftime('%Y-%m-%d')}")
    block("Machine", output(binaries / "tests/benchmarks/machine_ceilings"))
    for experts in (8, 32):
        block(f"350M+MoE, {experts} experts in every second layer",
              output(binaries / "tests/benchmarks/engine/decode_step_benchmark", f"--experts={experts}",
                     f"--threads={options.threads}"))
    for degrees in RANK_DEGREES:
        block(f"Two ranks, 8 experts: {degrees}",
              output("third_party/build_defs/mpirun.sh", "2",
                     binaries / "tests/benchmarks/engine/rank_step_benchmark", *degrees.split()))
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        directory = pathlib.Path(name)
        checkpoint = directory / "350m_moe_8"
        output(binaries / "tools/checkpoint/checkpoint", "make_random", f"--out={checkpoint}", "--preset=350m_moe_8")
        if options.torch_python:
            for dtype in ("float32", "bfloat16"):
                block(f"PyTorch eager, {dtype}", output(
                    options.torch_python, "tests/benchmarks/peers/pytorch_eager.py", f"--checkpoint={checkpoint}",
                    f"--dtype={dtype}", f"--threads={options.threads}"))
        measure_serving(binaries, checkpoint, options.threads, directory)


if __name__ == "__main__":
    main()
