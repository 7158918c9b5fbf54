#include "engine/distributed/rank_agreement.h"

#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

RankReport ReportOf(int rank) {
  RankReport report;
  report.host = absl::StrCat("node", rank);
  report.model = "gpt of 3 layers";
  report.cpus = {rank, rank + 1};
  report.cpu_quota_file = absl::StrCat("/quota", rank);
  report.available_bytes = int64_t{1} << (40 + rank);
  report.read_bytes = 1000 + rank;
  report.weight_bytes = 2000 + rank;
  report.step_bytes = 4000 + rank;
  report.num_blocks = 30 + rank;
  report.num_threads = 2;
  report.load_seconds = 0.25 * rank;
  return report;
}

TEST(RankAgreementTest, ReportsComeToAllRanks) {
  RunThreadRanks(3, [](HostCommunicator& all) {
    const auto reports = ExchangeReports(all, ReportOf(all.rank()));
    ASSERT_TRUE(reports.ok()) << reports.status();
    ASSERT_EQ(reports->size(), 3u);
    for (int r = 0; r < 3; ++r) {
      EXPECT_EQ((*reports)[r].Serialize(), ReportOf(r).Serialize());
      EXPECT_EQ((*reports)[r].host, absl::StrCat("node", r));
      EXPECT_EQ((*reports)[r].cpus, (std::vector<int32_t>{r, r + 1}));
      EXPECT_EQ((*reports)[r].cpu_quota_file, absl::StrCat("/quota", r));
      EXPECT_EQ((*reports)[r].load_seconds, 0.25 * r);
      EXPECT_EQ((*reports)[r].step_bytes, 4000 + r);
    }
  });
}

TEST(RankAgreementTest, AllGetTheErrorOfTheFirstThatFailedByItself) {
  RunThreadRanks(4, [](HostCommunicator& all) {
    RankReport report = ReportOf(all.rank());
    if (all.rank() == 1) report.status = absl::AbortedError("rank 2 gave up");
    if (all.rank() >= 2) {
      report.status = absl::DataLossError(absl::StrCat("hole ", all.rank()));
    }
    const absl::Status status = ExchangeReports(all, report).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_EQ(status.message(), "rank 2 on host 'node2': hole 2");
    EXPECT_TRUE(IsAgreed(status));
    EXPECT_FALSE(IsAgreed(report.status));
  });
}

TEST(RankAgreementTest, AnAbortAloneIsAnErrorToo) {
  RunThreadRanks(2, [](HostCommunicator& all) {
    RankReport report = ReportOf(all.rank());
    if (all.rank() == 1) report.status = absl::AbortedError("by hand");
    EXPECT_EQ(ExchangeReports(all, report).status().code(),
              absl::StatusCode::kAborted);
  });
}

TEST(RankAgreementTest, NoDamagedReportIsTaken) {
  const std::string bytes = ReportOf(1).Serialize();
  ASSERT_TRUE(RankReport::Parse(bytes).ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(RankReport::Parse(bytes.substr(0, size)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
  EXPECT_FALSE(RankReport::Parse(bytes + "x").ok());
  std::string negative = bytes;
  negative[8 + 7] = '\xff';  // of the length of the message
  EXPECT_FALSE(RankReport::Parse(negative).ok());
}

}  // namespace
}  // namespace moe
