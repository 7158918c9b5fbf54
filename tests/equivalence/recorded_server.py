"""moe_server as one process or as ranks of mpirun, and what it answers."""
import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import time

import grpc

import workload

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_TIMEOUT = 300  # seconds; the machine may be busy
STOP_TIMEOUT = 120
CALL_TIMEOUT = 300
LOG_TAIL = 3000  # characters of the log in a message


class ServerError(Exception):
    """The server did not start, answer or stop; the text ends with the end of its log."""


def load_protos():
    """The modules that grpcio-tools makes from the .proto files: (generation, its services, control, its services)."""
    sys.path.insert(0, str(ROOT))  # where it looks for them
    return (*grpc.protos_and_services("proto/moe/v1/generation.proto"),
            *grpc.protos_and_services("proto/moe/v1/control.proto"))


class RecordedServer:
    """Started on entering the context, stopped on leaving it; the process must end with 0."""

    def __init__(self, binary, case, directory):
        self.port_file, self.log = directory / "port", directory / "server.log"
        config = directory / "server.textproto"
        config.write_text(case.config(ROOT, self.port_file), encoding="utf-8")
        launcher = [ROOT / "third_party/build_defs/mpirun.sh", str(case.ranks)] if case.ranks else []
        self.command = [*launcher, binary, f"--config={config}"]
        # mpirun passes this signal on to the ranks, and ends when they do.
        self.stop_signal = signal.SIGUSR1 if case.ranks else signal.SIGTERM
        self.process = None

    def error(self, what):
        tail = self.log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
        return ServerError(f"{what}; the end of its log:\n{tail}")

    def __enter__(self):
        self.port_file.unlink(missing_ok=True)
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.channel = grpc.insecure_channel(f"127.0.0.1:{self.wait_for_port()}")
        except BaseException:
            self.end()
            raise
        return self

    def wait_for_port(self):
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.port_file.exists() and (port := self.port_file.read_text(encoding="utf-8").strip()):
                return port
            if self.process.poll() is not None:
                raise self.error(f"the server ended with {self.process.returncode} before it served")
            time.sleep(0.02)
        raise self.error(f"the server did not serve within {START_TIMEOUT} s")

    def end(self):
        """Ends the process, and with it all ranks, without asking."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __exit__(self, kind, *_):
        self.channel.close()
        if kind is not None:
            self.end()
            return
        self.process.send_signal(self.stop_signal)
        try:
            status = self.process.wait(timeout=STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.end()
            raise self.error(f"the server did not stop within {STOP_TIMEOUT} s") from None
        if status != 0:
            raise self.error(f"the server ended with {status}")


def layout_text(layout):
    """GetServerInfo's layout on one line."""
    layers = ", ".join(f"layer {m.layer}: e{m.expert_degree} s{m.slice_degree} copies {m.expert_data_degree}"
                       for m in layout.moe_layers)
    return f"tensor {layout.tensor_degree}, data {layout.data_degree}; {layers}"


def model_text(model):
    """What GetModel tells, on one line."""
    return " ".join(str(model).split())


def ask(stub, messages, model, preempted):
    """All requests at once, then two of them alone."""
    everything = workload.requests(model, preempted)

    def generate(fields):
        return workload.answer_record(stub.Generate(messages.GenerateRequest(**fields), timeout=CALL_TIMEOUT))

    with concurrent.futures.ThreadPoolExecutor(len(everything)) as clients:
        answers = list(clients.map(generate, (fields for _, fields in everything)))
    record = {name: answer for (name, _), answer in zip(everything, answers)}
    for name, fields in everything[1:3]:
        record[f"{name}, alone"] = generate(fields)
    return record


def record_case(binary, case, directory, protos):
    """(instruction set, record) of a case. ServerError if the server fails."""
    generation, generation_services, control, control_services = protos
    with RecordedServer(binary, case, directory) as server:
        inference = generation_services.InferenceStub(server.channel)
        controls = control_services.ControlStub(server.channel)
        try:
            model = inference.GetModel(generation.GetModelRequest(), timeout=CALL_TIMEOUT)
            answers = ask(inference, generation, model, case.preempted)
            info = controls.GetServerInfo(control.GetServerInfoRequest(), timeout=CALL_TIMEOUT)
            experts = controls.GetExpertLoad(control.GetExpertLoadRequest(), timeout=CALL_TIMEOUT)
            load = controls.GetLoad(control.GetLoadRequest(), timeout=CALL_TIMEOUT)
        except grpc.RpcError as e:
            raise server.error(f"a call failed with {e.code().name}: {e.details()}") from None
        if case.preempted and load.preemptions == 0:
            raise server.error("the case is there to preempt requests, but none was")
    record = {"model": model_text(model), "layout": layout_text(info.layout), "requests": answers}
    if "exchange:" in case.parallel:
        for layer in experts.layers:
            kinds = " ".join(sorted(x.kind for x in layer.exchanges if x.steps))
            record[f"layer {layer.layer} exchanges"] = kinds
    return info.isa, record
