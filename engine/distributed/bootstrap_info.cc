#include "engine/distributed/bootstrap_info.h"

#include <functional>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace moe {
namespace {

std::string Describe(absl::Span<const BootstrapRecord> ranks, int rank) {
  return absl::StrCat("rank ", rank, " (host ", ranks[rank].host, ")");
}

// The ranks whose `get` differs from rank 0's, as "ranks 1, 3 (hosts b, c)";
// "" if there are none.
std::string DifferentRanks(
    absl::Span<const BootstrapRecord> ranks,
    const std::function<std::string(const BootstrapInfo&)>& get) {
  std::vector<std::string> found;
  const std::string expected = get(*ranks[0].info);
  for (size_t r = 1; r < ranks.size(); ++r) {
    const std::string value = get(*ranks[r].info);
    if (value != expected) {
      found.push_back(
          absl::StrCat(Describe(ranks, static_cast<int>(r)), ": ", value));
    }
  }
  constexpr size_t kShown = 8;
  const size_t more = found.size() > kShown ? found.size() - kShown : 0;
  found.resize(found.size() - more);
  if (more > 0) found.push_back(absl::StrCat(more, " more"));
  return absl::StrJoin(found, ", ");
}

absl::Status CheckEqual(
    absl::Span<const BootstrapRecord> ranks, absl::string_view what,
    absl::string_view advice,
    const std::function<std::string(const BootstrapInfo&)>& get) {
  const std::string different = DifferentRanks(ranks, get);
  if (different.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the ranks have different ", what, ": ", Describe(ranks, 0), ": ",
      get(*ranks[0].info), ", but ", different, "; ", advice));
}

// The error of the ranks: as it is if all have the same one, else the first
// rank's, with its name.
absl::Status CheckProblems(absl::Span<const BootstrapRecord> ranks) {
  int first = -1;
  bool same = true;
  for (size_t r = 0; r < ranks.size(); ++r) {
    const absl::Status& problem = ranks[r].info.status();
    same = same && problem == ranks[0].info.status();
    if (!problem.ok() && first < 0) first = static_cast<int>(r);
  }
  if (first < 0) return absl::OkStatus();
  const absl::Status& problem = ranks[first].info.status();
  return same ? problem
              : absl::Status(problem.code(),
                             absl::StrCat(Describe(ranks, first), ": ",
                                          problem.message()));
}

// Ranks of a machine copy out of each other's memory, and find each other by
// process ids.
absl::Status CheckPidNamespaces(absl::Span<const BootstrapRecord> ranks,
                                const Topology& topology) {
  for (int node = 0; node < topology.num_nodes(); ++node) {
    const int first = topology.ranks_on(node)[0];
    for (const int rank : topology.ranks_on(node)) {
      if (ranks[rank].pid_namespace == ranks[first].pid_namespace) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          Describe(ranks, first), " and ", Describe(ranks, rank),
          " share a machine but have process ids of their own (pid namespaces ",
          ranks[first].pid_namespace, " and ", ranks[rank].pid_namespace,
          "): run all ranks of a machine in one container, with mpirun inside, "
          "or let their containers share the process ids (docker run --pid, in "
          "Kubernetes shareProcessNamespace)"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string BootstrapRecord::Serialize() const {
  // Hexadecimal, since texts may contain commas.
  std::vector<std::string> fields = {host, pid_namespace};
  if (info.ok()) {
    const std::optional<NodeShape>& shape = info->node_shape;
    fields.insert(
        fields.end(),
        {info->version, info->build_id, info->config_digest,
         absl::StrCat(info->expected_world_size),
         absl::StrCat(info->expected_nodes),
         shape ? absl::StrCat(shape->num_nodes, "x", shape->ranks_per_node)
               : "",
         absl::StrCat(absl::ToInt64Nanoseconds(info->watchdog))});
  } else {
    fields.push_back(absl::StrCat(static_cast<int>(info.status().code())));
    fields.push_back(std::string(info.status().message()));
  }
  return absl::StrJoin(fields, ",", [](std::string* out, const std::string& f) {
    absl::StrAppend(out, absl::BytesToHexString(f));
  });
}

absl::StatusOr<BootstrapRecord> BootstrapRecord::Parse(
    absl::string_view bytes) {
  std::vector<std::string> fields;
  for (absl::string_view field : absl::StrSplit(bytes, ',')) {
    fields.push_back(absl::HexStringToBytes(field));
  }
  const absl::Status damaged = absl::InternalError(
      "a rank's start record cannot be read: do all run the same program?");
  int code = 0;
  if (fields.size() == 4 && absl::SimpleAtoi(fields[2], &code) && code != 0) {
    return BootstrapRecord{
        fields[0], fields[1],
        absl::Status(static_cast<absl::StatusCode>(code), fields[3])};
  }
  BootstrapInfo info;
  int64_t watchdog = 0;
  if (fields.size() != 9 ||
      !absl::SimpleAtoi(fields[5], &info.expected_world_size) ||
      !absl::SimpleAtoi(fields[6], &info.expected_nodes) ||
      !absl::SimpleAtoi(fields[8], &watchdog)) {
    return damaged;
  }
  info.version = fields[2];
  info.build_id = fields[3];
  info.config_digest = fields[4];
  info.watchdog = absl::Nanoseconds(watchdog);
  if (!fields[7].empty()) {
    const auto shape = ParseNodeShape(fields[7]);
    if (!shape.ok()) return damaged;
    info.node_shape = *shape;
  }
  return BootstrapRecord{fields[0], fields[1], std::move(info)};
}

absl::Status ValidateBootstrap(absl::Span<const BootstrapRecord> ranks,
                               const Topology& topology) {
  if (const absl::Status status = CheckProblems(ranks); !status.ok()) {
    return status;
  }
  // The program first: if it differs, the other differences follow from it.
  for (const absl::Status& status :
       {CheckEqual(ranks, "versions of the program",
                   "install the same on all hosts",
                   [](const BootstrapInfo& f) { return f.version; }),
        CheckEqual(ranks, "builds of the program",
                   "install the same on all hosts",
                   [](const BootstrapInfo& f) { return f.build_id; }),
        CheckEqual(ranks, "configurations (digest of the file)",
                   "give all ranks the same file",
                   [](const BootstrapInfo& f) { return f.config_digest; })}) {
    if (!status.ok()) return status;
  }
  if (const absl::Status status = CheckPidNamespaces(ranks, topology);
      !status.ok()) {
    return status;
  }
  const BootstrapInfo& info = *ranks[0].info;
  const int size = static_cast<int>(ranks.size());
  if (info.expected_world_size != 0 && info.expected_world_size != size) {
    return absl::FailedPreconditionError(
        absl::StrCat("parallel.world_size is ", info.expected_world_size,
                     ", but this job has ", size, " rank", size == 1 ? "" : "s",
                     ": start it with mpirun -np ", info.expected_world_size));
  }
  if (info.expected_nodes != 0 && info.expected_nodes != topology.num_nodes()) {
    std::vector<std::string> hosts;
    for (int node = 0; node < topology.num_nodes(); ++node) {
      hosts.push_back(ranks[topology.ranks_on(node)[0]].host);
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "parallel.nodes is ", info.expected_nodes, ", but the ranks run on ",
        topology.ToString(), " (host ", absl::StrJoin(hosts, ", "),
        "): give mpirun the hosts with --host or --hostfile"));
  }
  return absl::OkStatus();
}

}  // namespace moe
