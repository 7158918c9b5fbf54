"""Durations are measured by the steady clock: setting the system's clock must not
end a wait or a drain. The system's time is read only where a time is shown, or
comes from outside and is converted."""
import re

SYSTEM_CLOCK = re.compile(r"absl::Now\b|system_clock::now|\bgettimeofday\b|CLOCK_REALTIME|\btime\((nullptr|NULL|0)\)")
READERS = {
    "kernels/core/steady_clock.cc",  # the origin of its times
    "server/generation/server_identity.cc",  # when the server started, for people
    "server/grpc/generation_call.cc",  # a call's deadline comes as a time
    "server/grpc/tls_certificates.cc",  # certificates are valid from one time to another
    "tools/client/connection.cc",  # gRPC takes deadlines as times
    "tools/loadgen/load_run.cc",  # the same
}


def check_clocks(sources):
    for source in sources:
        if not source.is_product or source.path in READERS:
            continue
        for number, line in enumerate(source.lines, 1):
            if SYSTEM_CLOCK.search(line.split("//")[0]):
                yield f"{source.path}:{number}: reads the system's clock: use SteadyNow (kernels/core/steady_clock.h)"
