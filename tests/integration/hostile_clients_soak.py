"""A server among clients that ask for too much, under load.

hostile_clients_soak.py SERVER CHECKPOINT_TOOL [MINUTES]: run from the root of the
repository (or the runfiles). For MINUTES (default 10) well-behaved streams run
while others, all the time, send what once held the server up: texts and lists of
tokens of megabytes, calls that are given up, answers that are too long, metadata
and compressed bodies beyond their limits. At the end every good stream must have
had the same answer, health must never have been anything but SERVING, the KV
cache must be free, and memory must have stopped growing.
"""
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from python_client import ServerProcess, generate_client, write_byte_tokenizer

PATIENCE = 120  # seconds; only a bug takes that long
POSITIONS = 4096
VOCAB = 300
GOOD_STREAMS = 4
HEALTH_PAUSE = 0.1  # seconds
MAX_GROWTH = 1.10  # of memory, between the middle and the end
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 20)]


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Soak:
    def __init__(self, server, pb, stubs, control_pb, control_stubs):
        self.server = server
        self.pb = pb
        self.stubs = stubs
        self.control_pb = control_pb
        self.control = control_stubs.ControlStub(grpc.insecure_channel(server.address))
        self.over = threading.Event()
        self.lock = threading.Lock()
        self.problems = []
        self.counts = {}

    def note(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def complain(self, problem):
        with self.lock:
            if len(self.problems) < 20:
                self.problems.append(problem)

    def stub(self, **options):
        channel = grpc.insecure_channel(
            self.server.address, options=OPTIONS + [("grpc.use_local_subchannel_pool", 1)], **options)
        return self.stubs.InferenceStub(channel)

    def request(self, text, new_tokens, seed=7):
        request = self.pb.GenerateRequest(text=text)
        request.sampling.seed = seed
        request.stopping.max_new_tokens = new_tokens
        request.stopping.ignore_eos = True
        return request

    # Clients that behave.

    def stream_well(self, number):
        stub, first = self.stub(), None
        while not self.over.is_set():
            try:
                chunks = stub.GenerateStream(self.request(f"stream {number}", 64), timeout=PATIENCE)
                answer = "".join(chunk.text for chunk in chunks)
            except grpc.RpcError as error:
                self.complain(f"a good stream ended: {error.code().name} {error.details()}")
                continue
            first = first or answer
            if answer != first:
                self.complain(f"stream {number} had another answer")
            self.note("good streams")

    def watch_health(self):
        stub = health_pb2_grpc.HealthStub(grpc.insecure_channel(self.server.address))
        while not self.over.is_set():
            try:
                status = stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status
                if status != health_pb2.HealthCheckResponse.SERVING:
                    self.complain(f"health was {status}")
            except grpc.RpcError as error:
                self.complain(f"health failed: {error.code().name} {error.details()}")
            self.note("health checks")
            time.sleep(HEALTH_PAUSE)

    # Clients that do not: each has a name and what it may end with.

    def hostile(self):
        pb = self.pb
        many = [i % 257 for i in range(1_000_000)]
        few = [7] * 4_000_000
        long_text = "a b" * (1 << 20)

        def banned():
            request = self.request("x", 4)
            request.penalties.banned_token_ids.extend(few)
            return lambda stub: stub.Generate(request, timeout=PATIENCE)

        def allowed():
            request = self.request("x", 4)
            request.penalties.allowed_token_ids.extend(many)
            return lambda stub: stub.Generate(request, timeout=PATIENCE)

        def logprobs():
            request = self.request("y" * (POSITIONS - 10), 4)
            request.output.prompt_logprobs = 20
            return lambda stub: list(stub.GenerateStream(request, timeout=PATIENCE))

        def long_answer():
            request = self.request("z", POSITIONS - 2)
            request.sampling.n = 8
            request.output.logprobs = 20
            return lambda stub: stub.Generate(request, timeout=3)

        ids = pb.DetokenizeRequest(token_ids=[256] * 3_000_000)
        text = pb.TokenizeRequest(text=long_text)
        metadata = (("x-big", "m" * 40_000),)
        bomb = pb.TokenizeRequest(text="\0" * (64 << 20))
        return {
            "detokenize": lambda stub: stub.Detokenize(ids, timeout=PATIENCE),
            "tokenize and leave": lambda stub: stub.Tokenize(text, timeout=1),
            "banned ids": banned(),
            "allowed ids": allowed(),
            "prompt logprobs": logprobs(),
            "a long unary answer": long_answer(),
            "much metadata": lambda stub: stub.Tokenize(
                pb.TokenizeRequest(text="x"), timeout=PATIENCE, metadata=metadata),
            "a compressed body": lambda stub: stub.Tokenize(
                bomb, timeout=PATIENCE, compression=grpc.Compression.Gzip),
        }

    def annoy(self, seed):
        chance, kinds = random.Random(seed), self.hostile()
        while not self.over.is_set():
            name = chance.choice(sorted(kinds))
            try:
                kinds[name](self.stub())
                self.note(f"{name}: OK")
            except grpc.RpcError as error:
                self.note(f"{name}: {error.code().name}")
                if error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN) and name != "much metadata":
                    self.complain(f"{name}: {error.code().name} {error.details()}")

    def run(self, seconds):
        threads = [threading.Thread(target=self.stream_well, args=(n,)) for n in range(GOOD_STREAMS)]
        threads += [threading.Thread(target=self.annoy, args=(seed,)) for seed in range(2)]
        threads.append(threading.Thread(target=self.watch_health))
        for thread in threads:
            thread.start()
        memory = []
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.server.process.poll() is None:
            memory.append(resident_bytes(self.server.process.pid))
            time.sleep(1)
        self.over.set()
        for thread in threads:
            thread.join()
        return memory

    def check_end(self, memory):
        if self.server.process.poll() is not None:
            self.complain(f"the server ended with {self.server.process.returncode}")
            return
        deadline = time.monotonic() + PATIENCE
        while True:
            load = self.control.GetLoad(self.control_pb.GetLoadRequest(), timeout=PATIENCE)
            idle = load.running_sequences == 0 and load.waiting_requests == 0
            if idle and load.free_kv_blocks == load.total_kv_blocks:
                break
            if time.monotonic() > deadline:
                self.complain(f"{load.free_kv_blocks} of {load.total_kv_blocks} blocks are free")
                break
            time.sleep(0.1)
        third = len(memory) // 3
        middle, last = max(memory[third:2 * third]), max(memory[2 * third:])
        print(f"memory: at most {middle >> 20} MiB in the middle third, {last >> 20} MiB in the last")
        if last > middle * MAX_GROWTH:
            self.complain(f"memory grew from {middle} to {last} bytes")


def main():
    server, checkpoint_tool = sys.argv[1:3]
    seconds = 60 * float(sys.argv[3] if len(sys.argv) > 3 else 10)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as name:
        root = pathlib.Path(name)
        (root / "generated").mkdir()
        generated = generate_client(root / "generated")
        write_byte_tokenizer(root / "tokenizer.json")
        subprocess.run([checkpoint_tool, "make_random", f"--out={root}/model", "--preset=tiny_prmoe",
                        f"--positions={POSITIONS}", f"--vocab={VOCAB}"], check=True)
        process = ServerProcess(
            server, root, f'model {{ path: "{root}/model" name: "tiny" tokenizer: "tokenizer.json" }}', PATIENCE)
        try:
            soak = Soak(process, *generated)
            soak.check_end(soak.run(seconds))
        finally:
            process.stop()
        for what, count in sorted(soak.counts.items()):
            print(f"{count:8} {what}")
        print("\n".join(soak.problems) or "nobody was disturbed")
        return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
