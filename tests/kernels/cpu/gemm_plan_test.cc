#include "kernels/cpu/gemm_plan.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace moe::cpu {
namespace {

// Every (row, panel) of every product lies in exactly one piece.
void ExpectCover(const std::vector<GemmShape>& shapes,
                 const std::vector<GemmPiece>& pieces) {
  std::vector<std::vector<int>> covered(shapes.size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    covered[i].resize(shapes[i].rows * shapes[i].num_panels);
  }
  for (const GemmPiece& piece : pieces) {
    ASSERT_LT(piece.row_begin, piece.row_end);
    ASSERT_LT(piece.panel_begin, piece.panel_end);
    const GemmShape& shape = shapes.at(piece.gemm_idx);
    for (int64_t r = piece.row_begin; r < piece.row_end; ++r) {
      for (int64_t p = piece.panel_begin; p < piece.panel_end; ++p) {
        ++covered.at(piece.gemm_idx).at(r * shape.num_panels + p);
      }
    }
  }
  for (const auto& product : covered) {
    for (int count : product) ASSERT_EQ(count, 1);
  }
}

TEST(GemmPlanTest, CoversEachElementOnce) {
  const std::vector<std::vector<GemmShape>> jobs = {
      {{1, 1, 64}},
      {{1, 128, 262144}},
      {{1000, 7, 4096}},
      {{0, 5, 64}, {3, 5, 64}, {0, 5, 64}, {97, 31, 16384}, {1, 1, 1}},
      {{kMaxStreamedRows, 129, 8192}, {kMaxStreamedRows + 1, 129, 8192}},
      {{kMaxPieceRows, 9, 1024}, {kMaxPieceRows + 1, 9, 1024}}};
  for (const auto& shapes : jobs) {
    for (int workers : {1, 2, 3, 64}) {
      for (int64_t most_panels : {1, 16}) {
        ExpectCover(shapes, PlanGemm(shapes, workers, most_panels));
      }
    }
  }
}

TEST(GemmPlanTest, NoRowsNoPieces) {
  EXPECT_TRUE(PlanGemm({}, 2, 16).empty());
  EXPECT_TRUE(PlanGemm({{0, 10, 64}}, 2, 16).empty());
}

TEST(GemmPlanTest, OneWorkerStreamsEachProductInOneRun) {
  const auto pieces = PlanGemm({{1, 128, 65536}, {2, 64, 65536}}, 1, 16);
  ASSERT_EQ(pieces.size(), 2);
  EXPECT_EQ(pieces[0].panel_end, 128);
  EXPECT_EQ(pieces[1].panel_end, 64);
}

// Two workers that take pieces as they become free end close together: no piece
// is larger than half of a worker's share of what is left, and the last are
// small.
TEST(GemmPlanTest, PiecesShrinkTowardsTheEnd) {
  const int64_t panel_bytes = 65536, panels = 256;
  const auto pieces = PlanGemm({{1, panels, panel_bytes}}, 2, 16);
  ASSERT_GT(pieces.size(), 4);
  int64_t left = panels;
  for (const GemmPiece& piece : pieces) {
    const int64_t size = piece.panel_end - piece.panel_begin;
    EXPECT_LE(size, std::max<int64_t>(1, left / 4));
    left -= size;
  }
  EXPECT_EQ(pieces.back().panel_end - pieces.back().panel_begin, 1);
}

TEST(GemmPlanTest, ManyRowsAreCutIntoEvenBlocksOfFewPanels) {
  for (const GemmPiece& piece : PlanGemm({{500, 100, 65536}}, 1, 16)) {
    EXPECT_LE(piece.panel_end - piece.panel_begin, 16);
    EXPECT_LE(piece.row_end - piece.row_begin, kMaxPieceRows);
    EXPECT_GE(piece.row_end - piece.row_begin, 160);
  }
}

}  // namespace
}  // namespace moe::cpu
