#include "engine/distributed/rank_agreement.h"

#include <bit>
#include <cstring>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "comm/collectives/all_gather_bytes.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Marks the statuses that IsAgreed; without a value.
constexpr char kAgreedMark[] = "moe.ranks.agreed";

void PutNumber(int64_t value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutText(absl::string_view text, std::string* bytes) {
  PutNumber(static_cast<int64_t>(text.size()), bytes);
  bytes->append(text.data(), text.size());
}

class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}

  int64_t Number() {
    int64_t value = 0;
    if (bytes_.size() < sizeof(value)) return Bad();
    std::memcpy(&value, bytes_.data(), sizeof(value));
    bytes_.remove_prefix(sizeof(value));
    return value;
  }

  std::string Text() {
    const int64_t size = Number();
    if (size < 0 || static_cast<size_t>(size) > bytes_.size()) {
      Bad();
      return "";
    }
    std::string text(bytes_.substr(0, size));
    bytes_.remove_prefix(size);
    return text;
  }

  bool fully_parsed() const { return good_ && bytes_.empty(); }

 private:
  int64_t Bad() {
    good_ = false;
    bytes_ = {};
    return 0;
  }

  absl::string_view bytes_;
  bool good_ = true;
};

}  // namespace

std::string RankReport::Serialize() const {
  std::string bytes;
  PutNumber(static_cast<int64_t>(status.code()), &bytes);
  PutText(status.message(), &bytes);
  PutText(host, &bytes);
  PutText(model, &bytes);
  PutText(absl::string_view(reinterpret_cast<const char*>(cpus.data()),
                            cpus.size() * sizeof(int32_t)),
          &bytes);
  PutText(cpu_quota_file, &bytes);
  for (int64_t number :
       {available_bytes, read_bytes, weight_bytes, step_bytes, num_blocks,
        num_threads, std::bit_cast<int64_t>(load_seconds)}) {
    PutNumber(number, &bytes);
  }
  return bytes;
}

absl::StatusOr<RankReport> RankReport::Parse(absl::string_view bytes) {
  Reader reader(bytes);
  RankReport report;
  const int64_t code = reader.Number();
  const std::string message = reader.Text();
  report.status = absl::Status(static_cast<absl::StatusCode>(code), message);
  report.host = reader.Text();
  report.model = reader.Text();
  const std::string cpus = reader.Text();
  report.cpus.resize(cpus.size() / sizeof(int32_t));
  if (!report.cpus.empty()) {
    std::memcpy(report.cpus.data(), cpus.data(),
                report.cpus.size() * sizeof(int32_t));
  }
  report.cpu_quota_file = reader.Text();
  for (int64_t* number :
       {&report.available_bytes, &report.read_bytes, &report.weight_bytes,
        &report.step_bytes, &report.num_blocks, &report.num_threads}) {
    *number = reader.Number();
  }
  report.load_seconds = std::bit_cast<double>(reader.Number());
  if (!reader.fully_parsed()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a rank's report of ", bytes.size(), " bytes makes no sense"));
  }
  return report;
}

absl::StatusOr<std::vector<RankReport>> ExchangeReports(HostCommunicator& all,
                                                        const RankReport& own) {
  ASSIGN_OR_RETURN(const std::vector<std::string> gathered,
                   AllGatherBytes(all, own.Serialize()));
  std::vector<RankReport> reports;
  int failed = -1;
  for (const std::string& bytes : gathered) {
    ASSIGN_OR_RETURN(RankReport report, RankReport::Parse(bytes));
    // kAborted is the consequence of another rank's failure.
    if (!report.status.ok() &&
        (failed < 0 || (absl::IsAborted(reports[failed].status) &&
                        !absl::IsAborted(report.status)))) {
      failed = static_cast<int>(reports.size());
    }
    reports.push_back(std::move(report));
  }
  if (failed < 0) return reports;
  const RankReport& report = reports[failed];
  absl::Status agreed(report.status.code(),
                      absl::StrCat("rank ", failed, " on host '", report.host,
                                   "': ", report.status.message()));
  agreed.SetPayload(kAgreedMark, absl::Cord());
  return agreed;
}

bool IsAgreed(const absl::Status& status) {
  return status.GetPayload(kAgreedMark).has_value();
}

}  // namespace moe
