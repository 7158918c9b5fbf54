#!/usr/bin/env python3
"""served.py BIN NP [LAYOUT...]: a served model over the network that this runs in.

Run by run.py on the first host of a virtual network; by hand:
  virtual_network --nodes=4 --ranks_per_node=2 --latency=1ms -- served.py bazel-bin 8

Makes a random pyramid of 4, 8 and 16 experts, asks one process of moe_server
for greedy answers, then NP ranks with each kind of exchange, or those named. Prints a Markdown
row for each: the time of a decode step of eight sequences, the time between two
tokens that a client sees, and whether the answers are the one process's. Exit
status 1 if any is not.
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

PROMPTS = ("5,17,200", "44,3,9,128,77", "301", "12,12,12,12,450,6")
NEW_TOKENS = 24
# Name, what the configuration says.
LAYOUTS = (
    ("flat", "tensor_degree: 1 expert_degree: 8 slice_degree: 1 exchange: FLAT"),
    ("hierarchical", "tensor_degree: 1 expert_degree: 8 slice_degree: 1 exchange: HIERARCHICAL"),
    ("replicated", "tensor_degree: 1 expert_degree: 8 slice_degree: 1 exchange: REPLICATED"),
    ("coordinated, tensor degree 2", "tensor_degree: 2 expert_degree: 8 slice_degree: 1 exchange: COORDINATED"),
    ("all chosen", ""),
)


class Server:
    """moe_server as `ranks` processes; stopped on leaving the context."""

    def __init__(self, binaries, directory, checkpoint, ranks, layout):
        config, self.port_file = directory / "server.textproto", directory / "port"
        self.log = directory / "server.log"
        self.port_file.unlink(missing_ok=True)
        parallel = f"parallel {{ {layout} }}\n" if ranks > 1 else ""
        config.write_text(
            f'model {{ path: "{checkpoint}" weight_dtype: F32 }}\n'
            f'engine {{ threads: 1 kv_cache_bytes: 16000000 }}\n{parallel}'
            f'server {{ port: 0 port_file: "{self.port_file}" }}\n', encoding="utf-8")
        launcher = ["mpirun", "-np", str(ranks)] if ranks > 1 else []
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*launcher, binaries / "server/moe_server", f"--config={config}"], stdout=log, stderr=subprocess.STDOUT)

    def __enter__(self):
        for _ in range(1200):
            if self.port_file.exists() and self.port_file.read_text(encoding="utf-8").strip():
                return "--address=127.0.0.1:" + self.port_file.read_text(encoding="utf-8").strip()
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.process.kill()
        raise SystemExit(f"the server did not start:\n{self.log.read_text(encoding='utf-8')}")

    def __exit__(self, *_):
        # Of several ranks, rank 0 is the one to drain.
        pid = re.search(r"^(?!.* rank=[1-9]).* event=starting .*?\bpid=(\d+)", self.log.read_text(encoding="utf-8"), re.M)
        if pid:
            subprocess.run(["kill", "-TERM", pid[1]], check=False)
        else:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit(f"the server did not stop:\n{self.log.read_text(encoding='utf-8')}") from None


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300).stdout


def answers(binaries, address):
    return [output(binaries / "tools/client/client", "generate", address, "--quiet", "--temperature=0", "--ignore_eos",
                   "--timeout=120s", f"--token_ids={prompt}", f"--max_new_tokens={NEW_TOKENS}") for prompt in PROMPTS]


def load(binaries, address):
    return json.loads(output(binaries / "tools/loadgen/loadgen", address, "--streams=8", "--requests=16",
                             "--prompt_tokens=8", "--new_tokens=16", "--json"))


def main():
    binaries, ranks = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2])
    failed = False
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        checkpoint = directory / "pyramid"
        output(binaries / "tools/checkpoint/checkpoint", "make_random", f"--out={checkpoint}", "--preset=tiny", "--layers=6",
               "--hidden=256", "--heads=8", "--experts=4,8,16", "--residual", "--vocab=2000")
        with Server(binaries, directory, checkpoint, 1, "") as address:
            expected = answers(binaries, address)
            alone = load(binaries, address)
        print(f"| one process | {alone['engine_step_ms_p50']:.2f} | {alone['inter_token_ms_p50']:.2f} | - |", flush=True)
        for title, layout in LAYOUTS:
            if len(sys.argv) > 3 and title not in sys.argv[3:]:
                continue
            with Server(binaries, directory, checkpoint, ranks, layout) as address:
                got = answers(binaries, address)
                report = load(binaries, address)
            same = got == expected
            failed |= not same
            print(f"| {title} | {report['engine_step_ms_p50']:.2f} | {report['inter_token_ms_p50']:.2f} "
                  f"| {'equal' if same else '**other tokens**'} |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
