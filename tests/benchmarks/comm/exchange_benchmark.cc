// Times the exchanges of a MoE layer (row counts, there, back) over MPI, with
// the cost model's prediction beside each:
//   mpirun -np 8 exchange_benchmark --shape=2x4 --replication=1
// The model's costs are measured first, on the groups that the shape makes.
// Exchanges follow each other without a barrier, as in a model's layers: the
// time of one is that of a row of them, divided, and the most over the ranks.
// Ranks on one machine share its memory whatever the shape: then "across" is no
// slower than "in the node".
#include <mpi.h>

#include <algorithm>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/numbers.h"
#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/coordinated_all_to_all_v.h"
#include "comm/collectives/hierarchical_all_to_all_v.h"
#include "comm/collectives/row_blocks.h"
#include "comm/collectives/scratch_rows.h"
#include "comm/deadline.h"
#include "comm/mpi/mpi_runtime.h"
#include "comm/mpi/mpi_topology.h"
#include "engine/parallel/exchange_cost_measurement.h"
#include "engine/parallel/exchange_planner.h"
#include "engine/parallel/process_groups.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/thread_pool.h"

ABSL_FLAG(std::string, shape, "", "nodes x ranks to pretend; empty: real ones");
ABSL_FLAG(int, replication, 1, "ranks that hold the same tokens");
ABSL_FLAG(int, hidden, 1024, "float32 numbers in a row");
ABSL_FLAG(int, repetitions, 8, "of each row; the median is reported");
// Even, or one rank's rows have half a round trip more than another's.
ABSL_FLAG(int, row, 6, "exchanges that follow each other");
ABSL_FLAG(std::vector<std::string>, kinds, {},
          "exchanges to time; empty: all that are possible");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(60), "of one wait");
ABSL_FLAG(std::vector<std::string>, tokens,
          std::vector<std::string>({"1", "8", "64", "512"}),
          "tokens on each rank");

namespace moe {
namespace {

// Rows on the host, and what exchanges keep between them.
struct Buffers {
  explicit Buffers(int64_t hidden) : hidden(hidden) {}

  absl::StatusOr<TensorView> Rows(Tensor& memory, int64_t rows) {
    return ScratchRows(memory, rows,
                       MakeView(nullptr, DType::kF32, {0, hidden}), stream);
  }

  const int64_t hidden;
  ThreadPool threads{1};
  CpuStream stream{threads};
  Tensor send, middle, back, in_transit;
  HierarchicalScratch scratch;
};

// Random rows for every destination: the same on all replicas.
std::vector<int64_t> RandomRows(int tokens, int ranks, int group) {
  std::mt19937 random(group + 1);
  std::vector<int64_t> rows(ranks, 0);
  for (int t = 0; t < tokens; ++t) ++rows[random() % ranks];
  return rows;
}

absl::Status WaitFor(absl::StatusOr<std::unique_ptr<PendingOperation>> begun) {
  RETURN_IF_ERROR(begun.status());
  return (*begun)->Wait();
}

absl::Status RunOnce(ExchangeKind kind, const MoeLayerGroups& groups,
                     const std::vector<int64_t>& send_rows, Buffers& buffers) {
  Stream& stream = buffers.stream;
  const int64_t tokens = TotalRows(send_rows);
  ASSIGN_OR_RETURN(const TensorView send, buffers.Rows(buffers.send, tokens));
  ASSIGN_OR_RETURN(const TensorView back, buffers.Rows(buffers.back, tokens));
  switch (kind) {
    case ExchangeKind::kFlat: {
      // Of replicated rows each replica sends a part.
      std::vector<int64_t> part = send_rows;
      const int replicas = groups.expert_replicas->size();
      const int own = groups.expert_replicas->rank();
      for (int64_t& rows : part) {
        rows = rows * (own + 1) / replicas - rows * own / replicas;
      }
      const int64_t sent = TotalRows(part);
      ASSIGN_OR_RETURN(const AllToAllVPlan plan,
                       PlanAllToAllV(groups.expert->host(), part));
      ASSIGN_OR_RETURN(
          const TensorView middle,
          buffers.Rows(buffers.middle, TotalRows(plan.receive_rows)));
      RETURN_IF_ERROR(
          AllToAllV(*groups.expert, plan, send.Rows(0, sent), middle, stream));
      RETURN_IF_ERROR(AllToAllV(*groups.expert, plan.Reversed(), middle,
                                back.Rows(0, sent), stream));
      if (replicas == 1) return absl::OkStatus();
      std::vector<int64_t> parts(replicas);
      for (int l = 0; l < replicas; ++l) {
        for (int64_t rows : send_rows) {
          parts[l] += rows * (l + 1) / replicas - rows * l / replicas;
        }
      }
      ASSIGN_OR_RETURN(const TensorView all,
                       buffers.Rows(buffers.middle, TotalRows(parts)));
      return AllGatherV(*groups.expert_replicas, back.Rows(0, sent), parts, all,
                        stream);
    }
    case ExchangeKind::kHierarchical: {
      const HierarchicalGroups pair = {groups.expert_node, groups.expert_cross};
      ASSIGN_OR_RETURN(const HierarchicalAllToAllVPlan plan,
                       PlanHierarchicalAllToAllV(pair, send_rows));
      ASSIGN_OR_RETURN(
          const TensorView middle,
          buffers.Rows(buffers.middle, TotalRows(plan.rows.receive_rows)));
      RETURN_IF_ERROR(WaitFor(BeginHierarchicalAllToAllV(
          pair, plan, send, middle, buffers.scratch, stream)));
      return WaitFor(BeginHierarchicalReturn(pair, plan, middle, back,
                                             buffers.scratch, stream));
    }
    case ExchangeKind::kCoordinated: {
      const CoordinatedGroups pair = {groups.expert_replicas,
                                      groups.expert_peers};
      ASSIGN_OR_RETURN(const CoordinatedAllToAllVPlan plan,
                       PlanCoordinatedAllToAllV(pair, send_rows));
      ASSIGN_OR_RETURN(
          const TensorView middle,
          buffers.Rows(buffers.middle, TotalRows(plan.receive_rows)));
      RETURN_IF_ERROR(
          WaitFor(BeginCoordinatedAllToAllV(pair, plan, send, middle, stream)));
      return WaitFor(BeginCoordinatedReturn(pair, plan, middle, back,
                                            buffers.in_transit, stream));
    }
    case ExchangeKind::kReplicated: {
      const std::vector<int64_t> each(groups.expert_peers->size(), tokens);
      ASSIGN_OR_RETURN(const TensorView all,
                       buffers.Rows(buffers.middle, TotalRows(each)));
      RETURN_IF_ERROR(
          AllGatherV(*groups.expert_peers, send, each, all, stream));
      // Each rank returns what its experts computed; who routed how much is
      // known to all, for all have all tokens.
      AllToAllVPlan plan;
      for (int r = 0; r < groups.expert->size(); ++r) {
        const int tokens_of = r / groups.expert_replicas->size();
        plan.send_rows.push_back(RandomRows(static_cast<int>(tokens),
                                            groups.expert->size(),
                                            tokens_of)[groups.expert->rank()]);
      }
      plan.receive_rows = send_rows;
      return AllToAllV(*groups.expert, plan,
                       all.Rows(0, TotalRows(plan.send_rows)), back, stream);
    }
  }
  return absl::OkStatus();
}

struct Sent {
  int64_t messages = 0, bytes = 0;
};

Sent CountSent(const ProcessGroups& groups) {
  Sent sent;
  for (HostCommunicator* group : groups.All()) {
    sent.messages += group->counters().messages_sent;
    sent.bytes += group->counters().bytes_sent;
  }
  return sent;
}

absl::Status TimeKind(ExchangeKind kind, ProcessGroups& groups, int tokens,
                      const ExchangePrediction& prediction) {
  const MoeLayerGroups& layer = groups.moe_layer(0);
  const std::vector<int64_t> rows =
      RandomRows(tokens, layer.expert->size(), layer.expert_peers->rank());
  Buffers buffers(absl::GetFlag(FLAGS_hidden));
  const int in_a_row = absl::GetFlag(FLAGS_row);
  std::vector<double> seconds;
  Sent sent;
  RETURN_IF_ERROR(groups.world().Barrier());
  for (int i = 0; i <= absl::GetFlag(FLAGS_repetitions); ++i) {
    const Sent before = CountSent(groups);
    const Deadline clock(absl::InfiniteDuration());
    for (int j = 0; j < in_a_row; ++j) {
      RETURN_IF_ERROR(RunOnce(kind, layer, rows, buffers));
    }
    const double mine = absl::ToDoubleSeconds(clock.Elapsed()) / in_a_row;
    const Sent after = CountSent(groups);
    sent = {(after.messages - before.messages) / in_a_row,
            (after.bytes - before.bytes) / in_a_row};
    // The first row warms up.
    if (i > 0) seconds.push_back(mine);
  }
  std::sort(seconds.begin(), seconds.end());
  const double mine = seconds[seconds.size() / 2];
  std::vector<double> all(groups.world().size());
  RETURN_IF_ERROR(groups.world().AllGather(&mine, sizeof(mine), all.data()));
  if (groups.world().rank() == 0) {
    std::printf("%8d  %-13s %10.1f %10.1f %9lld %12lld\n", tokens,
                std::string(ExchangeKindName(kind)).c_str(),
                *std::max_element(all.begin(), all.end()) * 1e6,
                absl::ToDoubleMicroseconds(prediction.time),
                static_cast<long long>(sent.messages),
                static_cast<long long>(sent.bytes));
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

absl::Status Run(MpiRuntime& mpi) {
  ASSIGN_OR_RETURN(std::unique_ptr<HostCommunicator> world,
                   mpi.MakeWorld({absl::GetFlag(FLAGS_timeout)}));
  absl::StatusOr<Topology> topology = DetectMpiTopology(MPI_COMM_WORLD, *world);
  if (!absl::GetFlag(FLAGS_shape).empty()) {
    ASSIGN_OR_RETURN(const NodeShape shape,
                     ParseNodeShape(absl::GetFlag(FLAGS_shape)));
    topology = Topology::FromShape(shape);
  }
  RETURN_IF_ERROR(topology.status());
  const int p = world->size();
  ASSIGN_OR_RETURN(const ParallelLayout layout,
                   ParallelLayout::Create(p, absl::GetFlag(FLAGS_replication),
                                          {MoeLayerDegrees{0, p, p, 1, 0}}));
  ASSIGN_OR_RETURN(std::unique_ptr<ProcessGroups> groups,
                   ProcessGroups::Create(std::move(world), *topology, layout));
  const MoeLayerGroups& layer = groups->moe_layer(0);
  // Equal on all ranks: kinds are timed in the order of their predictions.
  const Deadline clock(absl::InfiniteDuration());
  ASSIGN_OR_RETURN(const ExchangeCosts costs,
                   MeasureExchangeCosts(groups->world(), *topology));
  const absl::Duration measuring = clock.Elapsed();
  ASSIGN_OR_RETURN(
      const ExchangePlanner planner,
      ExchangePlanner::Create(
          costs, {layer.expert_shape, layer.expert_replicas->size()}));
  if (mpi.world_rank() == 0) {
    std::printf(
        "%s\n%s\nin the node: base %.1f us, message %.2f us, %.2f GB/s; "
        "across: %.1f us, %.2f us, %.2f GB/s; measured in %.0f ms\n"
        "  tokens  exchange       median us  predicted  messages        "
        "bytes\n",
        mpi.versions().library.c_str(), topology->ToString().c_str(),
        absl::ToDoubleMicroseconds(costs.in_node.base),
        absl::ToDoubleMicroseconds(costs.in_node.per_message),
        costs.in_node.bytes_per_second * 1e-9,
        absl::ToDoubleMicroseconds(costs.across.base),
        absl::ToDoubleMicroseconds(costs.across.per_message),
        costs.across.bytes_per_second * 1e-9,
        absl::ToDoubleMilliseconds(measuring));
  }
  for (const std::string& text : absl::GetFlag(FLAGS_tokens)) {
    int tokens = 0;
    if (!absl::SimpleAtoi(text, &tokens) || tokens < 0) {
      return absl::InvalidArgumentError("--tokens: not a number: " + text);
    }
    const int64_t row_bytes = absl::GetFlag(FLAGS_hidden) * sizeof(float);
    for (const ExchangePrediction& prediction :
         planner.Choose({tokens, 1, row_bytes}).predictions) {
      const std::vector<std::string> kinds = absl::GetFlag(FLAGS_kinds);
      if (!kinds.empty() &&
          std::find(kinds.begin(), kinds.end(),
                    ExchangeKindName(prediction.kind)) == kinds.end()) {
        continue;
      }
      RETURN_IF_ERROR(TimeKind(prediction.kind, *groups, tokens, prediction));
    }
  }
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  auto mpi = MpiRuntime::Init(&argc, &argv);
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = mpi.ok() ? Run(**mpi) : mpi.status();
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.ToString().c_str());
  if (mpi.ok()) MpiRuntime::AbortJob(1);
  return 1;
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) { return moe::Main(argc, argv); }
