#include "server/logging/log_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

constexpr int kPipeBytes = 4096;  // the smallest capacity of a pipe

std::string Dropped(int64_t num_lines) {
  return absl::StrCat("dropped ", num_lines, "\n");
}

class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() {
    EXPECT_EQ(pipe(ends_), 0);
    EXPECT_GE(fcntl(ends_[1], F_SETPIPE_SZ, kPipeBytes), 0);
  }
  ~LogWriterTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  void Fill() {
    const std::string filling(kPipeBytes, '.');
    EXPECT_EQ(write(ends_[1], filling.data(), filling.size()), kPipeBytes);
  }
  // The next `size` bytes.
  std::string Read(size_t size) {
    std::string text(size, '\0');
    size_t done = 0;
    while (done < size) {
      const ssize_t n = read(ends_[0], text.data() + done, size - done);
      if (n <= 0) break;
      done += n;
    }
    return text.substr(0, done);
  }

  int ends_[2];
};

TEST_F(LogWriterTest, LinesComeInOrder) {
  LogWriter writer(ends_[1], 1000, Dropped);
  writer.Write("a\n");
  writer.Write("b\n");
  EXPECT_TRUE(writer.Flush(absl::Seconds(30)));
  EXPECT_EQ(Read(4), "a\nb\n");
}

TEST_F(LogWriterTest, NobodyWaitsForAReaderThatDoesNotRead) {
  Fill();
  LogWriter writer(ends_[1], 10, Dropped);
  writer.Write("first\n");
  EXPECT_FALSE(writer.Flush(absl::Milliseconds(50)));  // the write blocks
  for (int i = 0; i < 1000; ++i) writer.Write("1234\n");
  Read(kPipeBytes);
  const std::string expected = "first\ndropped 998\n1234\n1234\n";
  EXPECT_EQ(Read(expected.size()), expected);
  EXPECT_TRUE(writer.Flush(absl::Seconds(30)));
}

TEST_F(LogWriterTest, AReaderThatIsGoneHoldsUpNobody) {
  close(ends_[0]);
  LogWriter writer(ends_[1], 1000, Dropped);
  for (int i = 0; i < 100; ++i) writer.Write("1234\n");
  EXPECT_TRUE(writer.Flush(absl::Seconds(30)));
}

TEST_F(LogWriterTest, ANonBlockingPipeLosesNothing) {
  Fill();
  ASSERT_EQ(fcntl(ends_[1], F_SETFL, O_NONBLOCK), 0);
  LogWriter writer(ends_[1], 1000, Dropped);
  writer.Write("line\n");
  EXPECT_FALSE(writer.Flush(absl::Milliseconds(20)));
  Read(kPipeBytes);
  EXPECT_EQ(Read(5), "line\n");
}

}  // namespace
}  // namespace moe
