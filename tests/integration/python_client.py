"""What Python tests need to talk to a real server."""
import importlib
import json
import pathlib
import subprocess
import sys
import time

import grpc_tools.protoc


def generate_client(directory):
    """Imports generation_pb2 and the other modules made from proto/moe/v1."""
    protos = sorted(str(p) for p in pathlib.Path("proto/moe/v1").glob("*.proto"))
    arguments = ["protoc", "-I.", f"--python_out={directory}", f"--grpc_python_out={directory}"]
    assert grpc_tools.protoc.main(arguments + protos) == 0
    sys.path.insert(0, str(directory))
    return [
        importlib.import_module(f"proto.moe.v1.{name}")
        for name in ("generation_pb2", "generation_pb2_grpc", "control_pb2", "control_pb2_grpc")
    ]


def byte_alphabet():
    """The printable character that stands for each byte in byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    table = {b: chr(b) for b in printable}
    table.update({b: chr(256 + i) for i, b in enumerate(others)})
    return table


def write_byte_tokenizer(path):
    """A tokenizer.json whose token i is byte i, and 256 the end of text."""
    vocab = {text: byte for byte, text in sorted(byte_alphabet().items())}
    vocab["<|endoftext|>"] = 256
    tokenizer = {
        "version": "1.0",
        "added_tokens": [
            {
                "id": 256,
                "content": "<|endoftext|>",
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }
    path.write_text(json.dumps(tokenizer), encoding="utf-8")


class ServerProcess:
    """A moe_server with the configuration `text` and the fields `serving` of its
    server, in `directory`; at a free port."""

    def __init__(self, server, directory, text, patience, serving=""):
        config = directory / "server.textproto"
        config.write_text(text + f' server {{ port: 0 port_file: "port" {serving} }}\n', encoding="utf-8")
        self.log_path = directory / "log"
        self._log = open(self.log_path, "wb")
        self.process = subprocess.Popen([server, f"--config={config}"], stderr=self._log)
        port_file = directory / "port"
        deadline = time.monotonic() + patience
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError("the server did not start:\n" + self.log())
            time.sleep(0.02)
        self.address = f"127.0.0.1:{port_file.read_text(encoding='utf-8').strip()}"

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._log.close()
