#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/cpu/gemm_plan.h"

namespace moe::cpu {

enum class GemmEpilogue { kNone, kGeluTanh, kGeluErf, kSquaredRelu };

// One product y = epilogue(x W^T + bias) + residual of a packed weight
// (packed_matrix.h). Strides are in floats, from row to row.
struct PanelGemm {
  const uint8_t* weight = nullptr;
  DType weight_dtype = DType::kBf16;
  int64_t in_features = 0;
  int64_t out_features = 0;
  const float* x = nullptr;  // row r of the product is row x_rows[r] of x,
  const int32_t* x_rows = nullptr;  // [rows], or row r if this is null
  int64_t x_stride = 0;
  const float* bias = nullptr;      // [out], or null
  const float* residual = nullptr;  // [rows, out], or null; may be y
  int64_t residual_stride = 0;
  float* y = nullptr;  // [rows, out]
  int64_t y_stride = 0;
  GemmEpilogue epilogue = GemmEpilogue::kNone;
};

// How many panels of so many rows' sums fit a worker's scratch memory well; for
// PlanGemm.
int64_t MaxBlockedPanels(int64_t panel_columns);

// Computes one piece. `job` is a number that no other set of products of this
// process has: a thread that runs several pieces of the same rows lays their
// activations out once. Scratch memory belongs to the thread and is kept.
void RunGemmPiece(const PanelGemm& gemm, const GemmPiece& piece, uint64_t job);

}  // namespace moe::cpu
