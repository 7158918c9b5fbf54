// Thousands of random damages with a fixed seed: a reader of any bytes must end
// soon, stay within its memory and name the file.

#include <sys/resource.h>

#include <random>
#include <string>

#include "absl/strings/match.h"
#include "engine/checkpoint/torch/unpickler.h"
#include "engine/checkpoint/torch/zip_archive.h"
#include "engine/config/weight_inventory.h"
#include "engine/config/weight_slice.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "tests/support/temp_checkpoint.h"

namespace moe {
namespace {

// More than the tests need, much less than a damaged size would ask for. The
// sanitizers reserve address space of their own.
void LimitMemory() {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  rlimit limit = {rlim_t{2} << 30, rlim_t{2} << 30};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
#endif
}

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : random_(seed) {}

  std::string Mutate(std::string bytes) {
    const size_t edits = 1 + Below(4);
    for (size_t i = 0; i < edits; ++i) Edit(bytes);
    return bytes;
  }

  size_t Below(size_t limit) {
    return std::uniform_int_distribution<size_t>(0, limit - 1)(random_);
  }

 private:
  void Edit(std::string& bytes) {
    if (bytes.empty()) return;
    const size_t at = Below(bytes.size());
    switch (Below(6)) {
      case 0:  // a bit
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << Below(8)));
        break;
      case 1:  // a byte
        bytes[at] = static_cast<char>(Below(256));
        break;
      case 2:  // a large number
        for (size_t i = at; i < std::min(at + 4, bytes.size()); ++i) {
          bytes[i] = static_cast<char>(Below(2) == 0 ? 0xff : 0x7f);
        }
        break;
      case 3:  // lost bytes
        bytes.erase(at, 1 + Below(16));
        break;
      case 4:  // bytes again
        bytes.insert(at, bytes.substr(Below(bytes.size()), 1 + Below(16)));
        break;
      default:  // an opcode of a pickle
        bytes[at] =
            "(.012GJKMNQRTUXabcdehjlqrstu})]\x81\x85\x86\x87"[Below(34)];
    }
  }

  std::mt19937 random_;
};

// Opens, and reads every weight if that succeeds, in part and whole.
absl::Status OpenAndRead(const std::string& path) {
  const auto checkpoint = OpenCheckpoint(path);
  if (!checkpoint.ok()) return checkpoint.status();
  absl::Status first;
  for (const WeightSpec& spec :
       WeightInventory((*checkpoint)->config()).All()) {
    WeightSlice slice;
    slice.rows = {PartitionRange(spec.dims[0], 1, 2)};
    if (spec.dims.size() == 2)
      slice.columns = PartitionRange(spec.dims[1], 0, 3);
    first.Update((*checkpoint)->GetShard(spec.name, slice).status());
    first.Update((*checkpoint)->Get(spec.name).status());
  }
  first.Update(
      (*checkpoint)
          ->CheckPartialChecksums((*checkpoint)->TakePartialChecksums(), 0, 1));
  return first;
}

bool IsVerdictOnTheFile(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kResourceExhausted:
      return true;
    default:
      return false;
  }
}

// Takes the checksums out of a zip archive (0: none), so that damage gets past
// them.
std::string WithoutChecksums(std::string bytes) {
  for (size_t at = bytes.find("PK\x01\x02"); at != std::string::npos;
       at = bytes.find("PK\x01\x02", at + 4)) {
    for (size_t i = 0; i < 4; ++i) bytes[at + 16 + i] = 0;
  }
  return bytes;
}

// The metadata is at the front of most files, so it gets half of the damage.
std::string MutateFront(Mutator& mutator, const std::string& bytes) {
  const size_t front = std::min<size_t>(bytes.size(), 6000);
  if (mutator.Below(2) == 0) return mutator.Mutate(bytes);
  return mutator.Mutate(bytes.substr(0, front)) + bytes.substr(front);
}

class CheckpointFuzzTest : public testing::TestWithParam<const char*> {};

TEST_P(CheckpointFuzzTest, DamagedFilesAreHandled) {
  LimitMemory();
  TempCheckpoint checkpoint(GetParam());
  ASSERT_TRUE(OpenAndRead(checkpoint.path()).ok());
  constexpr int kMutationsPerFile = 400;
  Mutator mutator(20220114);
  int refused = 0;
  for (const std::string& file : checkpoint.files()) {
    const std::string original = ReadFileOrDie(file);
    const std::string bare = WithoutChecksums(original);
    for (int i = 0; i < kMutationsPerFile; ++i) {
      WriteFileOrDie(file, MutateFront(mutator, i % 2 == 0 ? original : bare));
      const absl::Status status = OpenAndRead(checkpoint.path());
      ASSERT_TRUE(IsVerdictOnTheFile(status)) << status;
      if (status.ok()) continue;
      ++refused;
      ASSERT_TRUE(absl::StrContains(status.message(), checkpoint.path()))
          << status;
    }
    WriteFileOrDie(file, original);
  }
  EXPECT_GT(refused, kMutationsPerFile / 2);
  EXPECT_TRUE(OpenAndRead(checkpoint.path()).ok());
}

INSTANTIATE_TEST_SUITE_P(Forms, CheckpointFuzzTest,
                         testing::Values("variants/strays",
                                         "variants/swiglu_gqa_tp2",
                                         "variants/not_zip"),
                         [](const auto& info) {
                           std::string name = info.param;
                           return name.substr(name.find('/') + 1);
                         });

TEST(UnpicklerFuzzTest, DamagedPicklesAreHandled) {
  LimitMemory();
  TempCheckpoint checkpoint("prmoe_bf16_zero1_pre");
  const std::string file =
      ReadFileOrDie(checkpoint.tag_path() + "/mp_rank_00_model_states.pt");
  const auto archive = ZipArchive::Parse(file, "x.pt");
  ASSERT_TRUE(archive.ok()) << archive.status();
  const std::string pickle(
      archive->Find("mp_rank_00_model_states/data.pkl")->payload);
  Mutator mutator(1);
  int refused = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string damaged = mutator.Mutate(pickle);
    PickleArena arena;
    const auto value = Unpickle(damaged, "x.pt", arena);
    if (value.ok()) continue;
    ++refused;
    ASSERT_TRUE(absl::StartsWith(value.status().message(), "x.pt: "));
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace moe
