#include "engine/checkpoint/torch/crc32_pieces.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "engine/checkpoint/torch/crc32.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

std::string RandomBytes(size_t size) {
  std::mt19937 random(7);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

TEST(Crc32PiecesTest, PiecesOfSeveralReadersInAnyOrderMakeTheChecksum) {
  std::mt19937 random(11);
  for (const size_t size : {1, 2, 63, 64, 1000, 70001}) {
    const std::string bytes = RandomBytes(size);
    std::vector<size_t> cuts = {0, size};
    for (int i = 0; i < 9; ++i) cuts.push_back(random() % size);
    std::sort(cuts.begin(), cuts.end());
    std::vector<size_t> order(cuts.size() - 1);
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::shuffle(order.begin(), order.end(), random);
    std::vector<Crc32Pieces> readers(3, Crc32Pieces(size));
    for (const size_t i : order) {
      readers[random() % readers.size()].Add(
          cuts[i],
          absl::string_view(bytes).substr(cuts[i], cuts[i + 1] - cuts[i]));
    }
    uint32_t sum = 0;
    uint64_t num_bytes = 0;
    for (const Crc32Pieces& reader : readers) {
      sum ^= reader.sum();
      num_bytes += reader.num_bytes();
    }
    EXPECT_EQ(num_bytes, size);
    EXPECT_EQ(Crc32OfPieces(sum, size), Crc32(bytes)) << size;
  }
}

// As two tensor ranks read the left and the right half of each row.
TEST(Crc32PiecesTest, ColumnsOfRowsMakeTheChecksum) {
  constexpr size_t kRows = 37, kWidth = 24, kLeft = 10;
  const std::string bytes = RandomBytes(kRows * kWidth);
  const absl::string_view all = bytes;
  Crc32Pieces left(bytes.size()), right(bytes.size());
  for (size_t r = 0; r < kRows; ++r) {
    left.Add(r * kWidth, all.substr(r * kWidth, kLeft));
    right.Add(r * kWidth + kLeft,
              all.substr(r * kWidth + kLeft, kWidth - kLeft));
  }
  EXPECT_EQ(Crc32OfPieces(left.sum() ^ right.sum(), bytes.size()),
            Crc32(bytes));
}

TEST(Crc32PiecesTest, AnyFlippedBitShows) {
  std::string bytes = RandomBytes(100);
  const uint32_t good = Crc32(bytes);
  for (size_t bit = 0; bit < 8 * bytes.size(); bit += 13) {
    bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
    Crc32Pieces first(bytes.size()), second(bytes.size());
    first.Add(0, absl::string_view(bytes).substr(0, 41));
    second.Add(41, absl::string_view(bytes).substr(41));
    EXPECT_NE(Crc32OfPieces(first.sum() ^ second.sum(), bytes.size()), good);
    bytes[bit / 8] ^= static_cast<char>(1 << bit % 8);
  }
}

}  // namespace
}  // namespace moe
