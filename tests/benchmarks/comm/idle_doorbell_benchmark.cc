// Measures the CPU time of ranks that wait for work, and how fast they wake:
// mpirun -np 4 idle_doorbell_benchmark. Ranks sleep for 3 s, then answer 200
// rings.
#include <mpi.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "absl/time/clock.h"
#include "comm/deadline.h"
#include "comm/mpi/mpi_idle_doorbell.h"
#include "comm/mpi/mpi_runtime.h"
#include "comm/mpi/mpi_topology.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr absl::Duration kIdle = absl::Seconds(3);
constexpr int kRings = 200;

float CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
         1e-6f * (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

absl::Status Run(MpiRuntime& mpi) {
  ASSIGN_OR_RETURN(std::unique_ptr<HostCommunicator> world, mpi.MakeWorld());
  ASSIGN_OR_RETURN(const Topology topology,
                   DetectMpiTopology(MPI_COMM_WORLD, *world));
  ASSIGN_OR_RETURN(std::unique_ptr<IdleDoorbell> doorbell,
                   MakeMpiDoorbell(MPI_COMM_WORLD, *world, topology));
  const bool rings = world->rank() == 0;
  const float before = CpuSeconds();
  if (rings) {
    absl::SleepFor(kIdle);
  } else if (const absl::Status status = doorbell->Wait(kIdle);
             !absl::IsDeadlineExceeded(status)) {
    return absl::InternalError("woke without a ring: " + status.ToString());
  }
  std::vector<float> idle = {CpuSeconds() - before};
  RETURN_IF_ERROR(world->AllReduce(absl::MakeSpan(idle)));

  std::vector<double> micros;
  for (int i = 0; i < kRings; ++i) {
    if (rings) {
      absl::SleepFor(absl::Milliseconds(5));  // until all sleep
      const Deadline clock(absl::InfiniteDuration());
      RETURN_IF_ERROR(doorbell->Ring());
      RETURN_IF_ERROR(world->Barrier());
      micros.push_back(absl::ToDoubleMicroseconds(clock.Elapsed()));
    } else {
      RETURN_IF_ERROR(doorbell->Wait(absl::Seconds(60)));
      RETURN_IF_ERROR(world->Barrier());
    }
  }
  if (rings) {
    std::sort(micros.begin(), micros.end());
    std::printf(
        "%d ranks: idle CPU of all ranks %.3f %% of a core; ring to the "
        "answer of all: p50 %.0f us, p90 %.0f us\n",
        world->size(), 100 * idle[0] / absl::ToDoubleSeconds(kIdle),
        micros[kRings / 2], micros[kRings * 9 / 10]);
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  auto mpi = MpiRuntime::Init(&argc, &argv);
  const absl::Status status = mpi.ok() ? Run(**mpi) : mpi.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  if (mpi.ok()) MpiRuntime::AbortJob(1);
  return 1;
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) { return moe::Main(argc, argv); }
