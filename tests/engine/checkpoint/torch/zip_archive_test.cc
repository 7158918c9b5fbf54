#include "engine/checkpoint/torch/zip_archive.h"

#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "engine/checkpoint/torch/crc32.h"
#include "engine/checkpoint/torch/zip_writer.h"
#include "gtest/gtest.h"
#include "tests/support/temp_checkpoint.h"

namespace moe {
namespace {

// Two entries: "r/a" = "hello", "r/b" = 1000 x 'z'.
std::string MakeArchive() {
  const std::string path = testing::TempDir() + "/archive.zip";
  auto writer = ZipWriter::Create(path);
  EXPECT_TRUE(writer.ok()) << writer.status();
  EXPECT_TRUE((*writer)->AddEntry("r/a", "hello").ok());
  EXPECT_TRUE((*writer)->AddEntry("r/b", std::string(1000, 'z')).ok());
  EXPECT_TRUE((*writer)->Close().ok());
  return ReadFileOrDie(path);
}

// Where the n-th central directory line begins.
size_t Central(const std::string& bytes, int n) {
  size_t at = bytes.find("PK\x01\x02");
  while (n-- > 0) at = bytes.find("PK\x01\x02", at + 1);
  return at;
}

template <typename T>
void Put(std::string& bytes, size_t at, T value) {
  std::memcpy(bytes.data() + at, &value, sizeof(value));
}

absl::Status ParseStatus(const std::string& bytes) {
  return ZipArchive::Parse(bytes, "x.pt").status();
}

void ExpectDamaged(const std::string& bytes, const char* message) {
  const absl::Status status = ParseStatus(bytes);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), "x.pt: damaged zip"))
      << status;
  EXPECT_TRUE(absl::StrContains(status.message(), message)) << status;
}

TEST(ZipArchiveTest, FindsAlignedPayloads) {
  const std::string bytes = MakeArchive();
  EXPECT_TRUE(ZipArchive::LooksLikeZip(bytes));
  const auto archive = ZipArchive::Parse(bytes, "x.pt");
  ASSERT_TRUE(archive.ok()) << archive.status();
  ASSERT_EQ(archive->entries().size(), 2u);
  const ZipEntry* a = archive->Find("r/a");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->payload, "hello");
  EXPECT_EQ(a->crc, Crc32("hello"));
  EXPECT_EQ((a->payload.data() - bytes.data()) % 64, 0);
  EXPECT_EQ(archive->Find("r/b")->payload.size(), 1000u);
  EXPECT_EQ(archive->Find("r/c"), nullptr);
}

TEST(ZipArchiveTest, AcceptsSizesInTheZip64Field) {
  // The local form: "see ZIP64" in the line, the sizes in an extra field.
  std::string bytes = MakeArchive();
  const size_t line = Central(bytes, 0);
  Put<uint32_t>(bytes, line + 20, 0xffffffff);
  Put<uint32_t>(bytes, line + 24, 0xffffffff);
  std::string extra("\x01\x00\x10\x00", 4);
  for (int i = 0; i < 2; ++i) extra += std::string("\x05\0\0\0\0\0\0\0", 8);
  Put<uint16_t>(bytes, line + 30, static_cast<uint16_t>(extra.size()));
  bytes.insert(line + 46 + 3, extra);
  // Both end records count the longer directory.
  const size_t end64 = bytes.find("PK\x06\x06");
  uint64_t size;
  std::memcpy(&size, bytes.data() + end64 + 40, sizeof(size));
  Put<uint64_t>(bytes, end64 + 40, size + extra.size());
  Put<uint64_t>(bytes, bytes.find("PK\x06\x07") + 8, end64);
  const auto archive = ZipArchive::Parse(bytes, "x.pt");
  ASSERT_TRUE(archive.ok()) << archive.status();
  EXPECT_EQ(archive->Find("r/a")->payload, "hello");

  Put<uint64_t>(bytes, line + 46 + 3 + 4, uint64_t{1} << 62);
  Put<uint64_t>(bytes, line + 46 + 3 + 12, uint64_t{1} << 62);
  ExpectDamaged(bytes, "r/a has 4611686018427387904 bytes, but the file ends");
}

TEST(ZipArchiveTest, EveryTruncationIsRefused) {
  const std::string bytes = MakeArchive();
  for (size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    EXPECT_EQ(ParseStatus(cut).code(), absl::StatusCode::kDataLoss) << size;
  }
}

TEST(ZipArchiveTest, EveryFlippedByteIsHandled) {
  const std::string bytes = MakeArchive();
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const auto archive = ZipArchive::Parse(damaged, "x.pt");
      if (!archive.ok()) continue;
      for (const ZipEntry& entry : archive->entries()) {
        ASSERT_GE(entry.payload.data(), damaged.data());
        ASSERT_LE(entry.payload.data() + entry.payload.size(),
                  damaged.data() + damaged.size());
      }
    }
  }
}

TEST(ZipArchiveTest, RefusesWhatPyTorchDoesNotWrite) {
  const std::string good = MakeArchive();
  const size_t line = Central(good, 0);
  std::string bytes = good;
  Put<uint16_t>(bytes, line + 10, 8);
  const absl::Status compressed = ParseStatus(bytes);
  EXPECT_EQ(compressed.code(), absl::StatusCode::kDataLoss) << compressed;
  EXPECT_TRUE(absl::StrContains(compressed.message(),
                                "x.pt: a zip archive, but not as torch.save "
                                "makes it: r/a in it is compressed"))
      << compressed;
  bytes = good;
  Put<uint16_t>(bytes, line + 8, 1);
  ExpectDamaged(bytes, "r/a is encrypted");
  bytes = good;
  Put<uint32_t>(bytes, line + 20, 4);
  ExpectDamaged(bytes, "r/a is stored in 4 bytes but has 5");
  bytes = good;
  Put<uint32_t>(bytes, line + 20, 2000);
  Put<uint32_t>(bytes, line + 24, 2000);
  ExpectDamaged(bytes, "r/a has 2000 bytes, but the file ends after");
  bytes = good;
  Put<uint32_t>(bytes, line + 42, 1000000);
  ExpectDamaged(bytes, "r/a lies outside the file");
  bytes = good;
  Put<uint32_t>(bytes, line + 42, 3);
  ExpectDamaged(bytes, "r/a has no valid local header at byte 3");
  bytes = good;
  Put<uint32_t>(bytes, line + 20, 500);  // reaches into r/b
  Put<uint32_t>(bytes, line + 24, 500);
  ExpectDamaged(bytes, "entries overlap");
}

TEST(ZipArchiveTest, RefusesTwoEntriesOfOneName) {
  std::string bytes = MakeArchive();
  for (size_t at = bytes.find("r/b"); at != std::string::npos;
       at = bytes.find("r/b", at)) {
    bytes[at + 2] = 'a';
  }
  ExpectDamaged(bytes, "two entries are named r/a");
}

TEST(ZipArchiveTest, RefusesCountsThatCannotBe) {
  std::string bytes = MakeArchive();
  const size_t end64 = bytes.find("PK\x06\x06");
  Put<uint64_t>(bytes, end64 + 32, uint64_t{1} << 40);
  ExpectDamaged(bytes, "cannot hold 1099511627776 entries");
  bytes = MakeArchive();
  Put<uint64_t>(bytes, end64 + 48, ~uint64_t{0} - 5);
  ExpectDamaged(bytes, "the central directory lies outside the file");
}

TEST(ZipWriterTest, RefusesTheWrongNumberOfBytes) {
  auto writer = ZipWriter::Create(testing::TempDir() + "/short.zip");
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->BeginEntry("a", 3).ok());
  EXPECT_EQ((*writer)->Append("four").code(), absl::StatusCode::kInternal);
  EXPECT_EQ((*writer)->EndEntry().code(), absl::StatusCode::kInternal);
}

TEST(ZipWriterTest, NamesTheFileThatCannotBeMade) {
  const absl::Status status = ZipWriter::Create("/nonexistent/x.zip").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "/nonexistent/x.zip"));
}

TEST(Crc32Test, HasTheValuesOfTheStandard) {
  EXPECT_EQ(Crc32(""), 0u);
  EXPECT_EQ(Crc32("123456789"), 0xcbf43926u);
  const std::string text(1000, 'q');
  EXPECT_EQ(Crc32(text.substr(7), Crc32(text.substr(0, 7))), Crc32(text));
}

}  // namespace
}  // namespace moe
