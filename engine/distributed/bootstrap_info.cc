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

std::string Describe(absl::Span<const StartRecord> ranks, int rank) {
  return absl::StrCat("rank ", rank, " (host ", ranks[rank].host, ")");
}

// The ranks whose `get` differs from rank 0's, as "ranks 1, 3 (hosts b, c)";
// "" if there are none.
std::string DifferentRanks(
    absl::Span<const StartRecord> ranks,
    const std::function<std::string(const BootstrapInfo&)>& get) {
  std::vector<std::string> found;
  const std::string expected = get(*ranks[0].facts);
  for (size_t r = 1; r < ranks.size(); ++r) {
    const std::string value = get(*ranks[r].facts);
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
    absl::Span<const StartRecord> ranks, absl::string_view what,
    absl::string_view advice,
    const std::function<std::string(const BootstrapInfo&)>& get) {
  const std::string different = DifferentRanks(ranks, get);
  if (different.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the ranks have different ", what, ": ", Describe(ranks, 0), ": ",
      get(*ranks[0].facts), ", but ", different, "; ", advice));
}

// Of those that have one: all ranks' if it is the same, else the first.
absl::Status CheckProblems(absl::Span<const StartRecord> ranks) {
  int first = -1;
  bool same = true;
  for (size_t r = 0; r < ranks.size(); ++r) {
    const absl::Status& problem = ranks[r].facts.status();
    same = same && problem == ranks[0].facts.status();
    if (!problem.ok() && first < 0) first = static_cast<int>(r);
  }
  if (first < 0) return absl::OkStatus();
  const absl::Status& problem = ranks[first].facts.status();
  return same ? problem
              : absl::Status(problem.code(),
                             absl::StrCat(Describe(ranks, first), ": ",
                                          problem.message()));
}

}  // namespace

std::string StartRecord::Serialize() const {
  // Lengths first: texts may hold anything.
  std::vector<std::string> fields = {host};
  if (facts.ok()) {
    const std::optional<NodeShape>& shape = facts->node_shape;
    fields.insert(
        fields.end(),
        {facts->version, facts->build_id, facts->config_digest,
         absl::StrCat(facts->expected_world_size),
         absl::StrCat(facts->expected_nodes),
         shape ? absl::StrCat(shape->num_nodes, "x", shape->ranks_per_node)
               : "",
         absl::StrCat(absl::ToInt64Nanoseconds(facts->watchdog))});
  } else {
    fields.push_back(absl::StrCat(static_cast<int>(facts.status().code())));
    fields.push_back(std::string(facts.status().message()));
  }
  return absl::StrJoin(fields, ",", [](std::string* out, const std::string& f) {
    absl::StrAppend(out, absl::BytesToHexString(f));
  });
}

absl::StatusOr<StartRecord> StartRecord::Parse(absl::string_view bytes) {
  std::vector<std::string> fields;
  for (absl::string_view field : absl::StrSplit(bytes, ',')) {
    fields.push_back(absl::HexStringToBytes(field));
  }
  const absl::Status damaged = absl::InternalError(
      "a rank's start record cannot be read: do all run the same program?");
  int code = 0;
  if (fields.size() == 3 && absl::SimpleAtoi(fields[1], &code) && code != 0) {
    return StartRecord{
        fields[0],
        absl::Status(static_cast<absl::StatusCode>(code), fields[2])};
  }
  BootstrapInfo facts;
  int64_t watchdog = 0;
  if (fields.size() != 8 ||
      !absl::SimpleAtoi(fields[4], &facts.expected_world_size) ||
      !absl::SimpleAtoi(fields[5], &facts.expected_nodes) ||
      !absl::SimpleAtoi(fields[7], &watchdog)) {
    return damaged;
  }
  facts.version = fields[1];
  facts.build_id = fields[2];
  facts.config_digest = fields[3];
  facts.watchdog = absl::Nanoseconds(watchdog);
  if (!fields[6].empty()) {
    const auto shape = ParseNodeShape(fields[6]);
    if (!shape.ok()) return damaged;
    facts.node_shape = *shape;
  }
  return StartRecord{fields[0], std::move(facts)};
}

absl::Status ValidateBootstrap(absl::Span<const StartRecord> ranks,
                        const Topology& topology) {
  if (const absl::Status status = CheckProblems(ranks); !status.ok()) {
    return status;
  }
  // The program comes first: of another one, the rest means little.
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
  const BootstrapInfo& facts = *ranks[0].facts;
  const int size = static_cast<int>(ranks.size());
  if (facts.expected_world_size != 0 && facts.expected_world_size != size) {
    return absl::FailedPreconditionError(
        absl::StrCat("parallel.world_size is ", facts.expected_world_size,
                     ", but this job has ", size, " rank", size == 1 ? "" : "s",
                     ": start it with mpirun -np ", facts.expected_world_size));
  }
  if (facts.expected_nodes != 0 &&
      facts.expected_nodes != topology.num_nodes()) {
    std::vector<std::string> hosts;
    for (int node = 0; node < topology.num_nodes(); ++node) {
      hosts.push_back(ranks[topology.ranks_on(node)[0]].host);
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "parallel.nodes is ", facts.expected_nodes, ", but the ranks run on ",
        topology.ToString(), " (host ", absl::StrJoin(hosts, ", "),
        "): give mpirun the hosts with --host or --hostfile"));
  }
  return absl::OkStatus();
}

}  // namespace moe
