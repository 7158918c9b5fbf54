"""A client made by grpcio-tools from the .proto files, against the real server.

python_client_test.py SERVER CHECKPOINT_DIRECTORY: run from the root of the
repository (or the runfiles).
"""
import os
import pathlib
import signal
import sys
import tempfile
import time
import unittest

import grpc
import grpc_status.rpc_status
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from python_client import ServerProcess, generate_client, write_byte_tokenizer

SERVER, CHECKPOINT = sys.argv.pop(1), sys.argv.pop(1)
PATIENCE = 60  # seconds; only a bug takes that long


class PythonClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        root = pathlib.Path(cls.directory.name)
        generated = root / "generated"
        generated.mkdir()
        cls.pb, stubs, cls.control_pb, control_stubs = generate_client(generated)
        write_byte_tokenizer(root / "tokenizer.json")
        cls.server = ServerProcess(
            SERVER,
            root,
            f"""
            model {{ path: "{os.path.abspath(CHECKPOINT)}" name: "tiny" tokenizer: "tokenizer.json" }}
            engine {{ threads: 1 }}
            """,
            PATIENCE,
        )
        cls.process = cls.server.process
        cls.addClassCleanup(cls.stop)
        cls.channel = grpc.insecure_channel(cls.server.address)
        cls.inference = stubs.InferenceStub(cls.channel)
        cls.control = control_stubs.ControlStub(cls.channel)

    @classmethod
    def stop(cls):
        cls.server.stop()
        cls.directory.cleanup()

    def request(self, **fields):
        fields.setdefault("text", "The sea")
        request = self.pb.GenerateRequest(**fields)
        request.sampling.seed = 7
        request.stopping.max_new_tokens = 20
        request.stopping.ignore_eos = True
        return request

    def test_a_stream_is_the_answer_in_pieces(self):
        request = self.request(request_id="python-1")
        request.output.timing = True
        call = self.inference.GenerateStream(request, timeout=PATIENCE)
        chunks = list(call)
        self.assertIn(("x-request-id", "python-1"), [tuple(m) for m in call.initial_metadata()])
        self.assertEqual(chunks[0].request_id, "python-1")
        self.assertEqual(chunks[0].prompt.num_tokens, 7)
        finishes = [c.finish for c in chunks if c.HasField("finish")]
        self.assertEqual(len(finishes), 1)
        self.assertEqual(finishes[0].reason, self.pb.Finish.LENGTH)
        self.assertEqual(finishes[0].usage.completion_tokens, 20)
        self.assertGreater(chunks[-1].timing.total_seconds, 0)
        whole = self.inference.Generate(request, timeout=PATIENCE)
        self.assertEqual(whole.answers[0].text, "".join(c.text for c in chunks))

    def test_bad_fields_are_named_in_the_details(self):
        request = self.request()
        request.sampling.temperature = float("nan")
        request.sampling.n = 0
        with self.assertRaises(grpc.RpcError) as raised:
            self.inference.Generate(request, timeout=PATIENCE)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        status = grpc_status.rpc_status.from_call(raised.exception)
        bad_request = error_details_pb2.BadRequest()
        self.assertTrue(status.details[0].Unpack(bad_request))
        self.assertEqual(
            [v.field for v in bad_request.field_violations], ["sampling.temperature", "sampling.n"]
        )

    def test_over_long_prompts_are_refused(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.inference.Generate(self.request(text="x" * 100), timeout=PATIENCE)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn("100 tokens", raised.exception.details())

    def test_unknown_models_are_not_found(self):
        with self.assertRaises(grpc.RpcError) as raised:
            self.inference.GetModel(self.pb.GetModelRequest(model="other"), timeout=PATIENCE)
        self.assertEqual(raised.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_tokens_and_text(self):
        text = "H\u00e9llo \U0001f30a"
        tokens = self.inference.Tokenize(self.pb.TokenizeRequest(text=text), timeout=PATIENCE)
        self.assertEqual(b"".join(tokens.tokens), text.encode())
        self.assertEqual(list(tokens.token_ids), list(text.encode()))
        back = self.inference.Detokenize(
            self.pb.DetokenizeRequest(token_ids=tokens.token_ids), timeout=PATIENCE
        )
        self.assertEqual(back.text, text)

    def test_compressed_requests_are_refused(self):
        request = self.pb.TokenizeRequest(text="x" * 100000)
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            with self.assertRaises(grpc.RpcError) as raised:
                self.inference.Tokenize(request, compression=compression, timeout=PATIENCE)
            self.assertEqual(raised.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_too_much_metadata_is_logged(self):
        port = pathlib.Path(self.directory.name, "port").read_text().strip()
        with grpc.insecure_channel(f"127.0.0.1:{port}", [("own", 1)]) as channel:
            list_models = channel.unary_unary("/moe.v1.Inference/ListModels")
            list_models(b"", metadata=[("x-much", "m" * 60000)], timeout=PATIENCE)
            with self.assertRaises(grpc.RpcError):
                list_models(b"", metadata=[("x-much", "m" * 100000)], timeout=PATIENCE)
        log = self.server.log_path
        deadline = time.monotonic() + PATIENCE
        while "metadata size exceeds limit" not in log.read_text():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def test_prompt_logprobs(self):
        request = self.request()
        request.output.prompt_logprobs = 2
        request.output.logprobs = 0
        answer = self.inference.Generate(request, timeout=PATIENCE)
        tokens = answer.prompt.tokens
        self.assertEqual(len(tokens), 7)
        self.assertFalse(tokens[0].HasField("logprob"))
        for token in tokens[1:]:
            self.assertLess(token.logprob, 0)
            self.assertEqual(len(token.top), 2)
        self.assertTrue(all(t.HasField("logprob") for t in answer.answers[0].tokens))

    def test_the_model_describes_itself(self):
        model = self.inference.ListModels(self.pb.ListModelsRequest(), timeout=PATIENCE).models[0]
        self.assertEqual(model.name, "tiny")
        self.assertEqual(list(model.experts_per_layer), [0, 2, 0, 4, 0, 8])
        self.assertEqual(model.residual_moe, "b2")
        self.assertTrue(model.has_tokenizer)
        self.assertEqual(list(model.eos_token_ids), [256])

    def test_control(self):
        info = self.control.GetServerInfo(self.control_pb.GetServerInfoRequest(), timeout=PATIENCE)
        self.assertEqual(info.state, self.control_pb.ServerInfo.SERVING)
        self.assertTrue(info.isa)
        load = self.control.GetLoad(self.control_pb.GetLoadRequest(), timeout=PATIENCE)
        self.assertGreater(load.total_kv_blocks, 0)

    def test_health(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        for service in ("", "moe.v1.Inference"):
            request = health_pb2.HealthCheckRequest(service=service)
            response = health.Check(request, timeout=PATIENCE)
            self.assertEqual(response.status, health_pb2.HealthCheckResponse.SERVING)

    def test_reflection(self):
        database = ProtoReflectionDescriptorDatabase(self.channel)
        services = set(database.get_services())
        self.assertLessEqual({"moe.v1.Inference", "moe.v1.Control", "grpc.health.v1.Health"}, services)
        file = database.FindFileContainingSymbol("moe.v1.GenerateRequest")
        self.assertEqual(file.name, "proto/moe/v1/generation.proto")

    def test_zz_sigterm_drains(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(timeout=PATIENCE), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
