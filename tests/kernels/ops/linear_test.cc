#include "kernels/ops/linear.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_features.h"
#include "tests/kernels/ops/on_device.h"
#include "tests/support/device_variant.h"

namespace moe {
namespace {

// Of the sum of the absolute terms. Weights are rounded once, at packing; the
// reference multiplies the rounded ones, so for every dtype what is left is
// float32's error of a sum.
constexpr double kTolerance = 6e-7;

float Rounded(float value, DType dtype) {
  if (dtype == DType::kBf16) return Bf16ToFloat(FloatToBf16(value));
  if (dtype == DType::kF16) return HalfToFloat(FloatToHalf(value));
  return value;
}

std::vector<float> RandomFloats(int64_t n, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(n);
  for (float& value : values) value = uniform(random);
  return values;
}

TensorView Matrix(std::vector<float>& values, int64_t rows, int64_t columns) {
  return MakeView(values.data(), DType::kF32, {rows, columns});
}

TensorView Matrix(std::vector<float>& values, int64_t rows, int64_t columns,
                  int64_t stride) {
  TensorView view = MakeView(values.data(), DType::kF32, {rows, columns});
  view.strides[0] = stride;
  return view;
}

WeightMatrix Pack(std::vector<float>& values, int64_t out, int64_t in,
                  DType dtype, Stream& stream) {
  auto weight = PackWeight(Matrix(values, out, in), dtype, stream);
  EXPECT_TRUE(weight.ok()) << weight.status().ToString();
  return *std::move(weight);
}

std::vector<uint8_t> PackedBytes(const WeightMatrix& weight, Stream& stream) {
  std::vector<uint8_t> bytes(weight.num_bytes());
  const TensorView host =
      MakeView(bytes.data(), DType::kU8, {weight.num_bytes()});
  EXPECT_TRUE(stream.Copy(weight.storage(), host).ok());
  EXPECT_TRUE(stream.Synchronize().ok());
  return bytes;
}

double Activate(double v, Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return v;
    case Epilogue::kGeluTanh:
      // Without the cancellation of 1 + tanh(u) far below zero.
      return v / (1 + std::exp(-2 * std::sqrt(2 / M_PI) *
                               (v + 0.044715 * v * v * v)));
    case Epilogue::kGeluErf:
      return 0.5 * v * std::erfc(-v * M_SQRT1_2);
    case Epilogue::kSquaredRelu:
      return v > 0 ? v * v : 0;
  }
  return 0;
}

class LinearTest
    : public testing::TestWithParam<std::tuple<DeviceVariant, DType>> {
 protected:
  const DeviceVariant& variant() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
};

INSTANTIATE_TEST_SUITE_P(
    VariantsAndTypes, LinearTest,
    testing::Combine(testing::ValuesIn(AllVariants()),
                     testing::Values(DType::kF32, DType::kF16, DType::kBf16)),
    [](const auto& info) {
      return absl::StrCat(std::get<0>(info.param).Name(), "_",
                          std::string(DTypeName(std::get<1>(info.param))));
    });

TEST_P(LinearTest, EqualsTheDoubleReferenceForAnySizes) {
  ScopedVariant scope(variant(), 2);
  struct Size {
    int64_t rows, out, in;
  };
  const Size sizes[] = {
      {1, 1, 1},    {1, 501, 7},   {1, 3, 600},   {2, 2, 257},    {3, 33, 255},
      {4, 64, 256}, {5, 31, 513},  {6, 129, 64},  {7, 70, 300},   {13, 17, 100},
      {14, 96, 32}, {15, 65, 258}, {29, 40, 77},  {42, 34, 90},   {43, 33, 300},
      {97, 501, 7}, {97, 48, 520}, {169, 35, 64}, {193, 70, 300}, {386, 2, 31}};
  for (const Size& s : sizes) {
    SCOPED_TRACE(absl::StrCat(s.rows, " x ", s.out, " x ", s.in));
    std::vector<float> w = RandomFloats(s.out * s.in, 1);
    std::vector<float> x = RandomFloats(s.rows * s.in, 2);
    std::vector<float> bias = RandomFloats(s.out, 3);
    std::vector<float> y(s.rows * s.out, NAN);
    const WeightMatrix weight = Pack(w, s.out, s.in, dtype(), scope.stream());
    LinearGroup group;
    group.weight = &weight;
    group.x = Matrix(x, s.rows, s.in);
    group.bias = MakeView(bias.data(), DType::kF32, {s.out});
    group.y = Matrix(y, s.rows, s.out);
    ASSERT_TRUE(OnDevice(Linear, group, scope.stream()).ok());
    for (float& value : w) value = Rounded(value, dtype());
    int bad = 0;
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t c = 0; c < s.out; ++c) {
        double sum = bias[c], size = std::abs(bias[c]);
        for (int64_t k = 0; k < s.in; ++k) {
          const double term = double{x[r * s.in + k]} * w[c * s.in + k];
          sum += term;
          size += std::abs(term);
        }
        const double error = std::abs(y[r * s.out + c] - sum);
        if (!(error <= kTolerance * size)) ++bad;
      }
    }
    EXPECT_EQ(bad, 0);
  }
}

// Unit vectors as activations give the packed weights back: each is the source,
// rounded to nearest even.
TEST_P(LinearTest, PackingRoundsToNearestEven) {
  ScopedVariant scope(variant(), 2);
  const int64_t out = 37, in = 66;
  for (DType source_dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    std::vector<float> w = RandomFloats(out * in, 4);
    w[0] = 60000;
    w[1] = 1e-7f;           // a subnormal half
    w[2] = 1 + 1.0f / 256;  // half way between two bf16
    w[3] = 1 + 3.0f / 256;
    w[4] = 1 + 1.0f / 2048;  // half way between two halves
    w[5] = 0;
    std::vector<uint16_t> bits(out * in);
    for (int64_t i = 0; i < out * in; ++i) {
      w[i] = Rounded(w[i], source_dtype);
      bits[i] =
          source_dtype == DType::kF16 ? FloatToHalf(w[i]) : FloatToBf16(w[i]);
    }
    void* data = source_dtype == DType::kF32 ? static_cast<void*>(w.data())
                                             : bits.data();
    auto weight = PackWeight(MakeView(data, source_dtype, {out, in}), dtype(),
                             scope.stream());
    ASSERT_TRUE(weight.ok());
    std::vector<float> x(in * in, 0), y(in * out);
    for (int64_t k = 0; k < in; ++k) x[k * in + k] = 1;
    LinearGroup group;
    group.weight = &*weight;
    group.x = Matrix(x, in, in);
    group.y = Matrix(y, in, out);
    ASSERT_TRUE(OnDevice(Linear, group, scope.stream()).ok());
    for (int64_t c = 0; c < out; ++c) {
      for (int64_t k = 0; k < in; ++k) {
        EXPECT_EQ(y[k * out + c], Rounded(w[c * in + k], dtype()))
            << DTypeName(source_dtype) << " " << c << ", " << k;
      }
    }
  }
}

TEST_P(LinearTest, PackingReadsATransposedSource) {
  ScopedVariant scope(variant(), 2);
  const int64_t out = 19, in = 83;
  std::vector<float> w = RandomFloats(out * in, 5), transposed(out * in);
  for (int64_t c = 0; c < out; ++c) {
    for (int64_t k = 0; k < in; ++k) transposed[k * out + c] = w[c * in + k];
  }
  TensorView view = MakeView(transposed.data(), DType::kF32, {out, in});
  view.strides = {1, out};
  auto other = PackWeight(view, dtype(), scope.stream());
  ASSERT_TRUE(other.ok());
  const WeightMatrix weight = Pack(w, out, in, dtype(), scope.stream());
  EXPECT_EQ(PackedBytes(weight, scope.stream()),
            PackedBytes(*other, scope.stream()));
}

// The property on which batching rests: a row's bits do not depend on how many
// rows run with it, at which place, gathered or not, nor on the threads.
TEST_P(LinearTest, ARowHasTheSameBitsInAnyBatch) {
  const int64_t max_rows = 169, out = 75, in = 270;
  std::vector<float> w = RandomFloats(out * in, 6);
  std::vector<float> x = RandomFloats(max_rows * in, 7);
  std::vector<float> bias = RandomFloats(out, 8);
  std::vector<float> alone(max_rows * out);
  {
    ScopedVariant scope(variant(), 1);
    const WeightMatrix weight = Pack(w, out, in, dtype(), scope.stream());
    for (int64_t r = 0; r < max_rows; ++r) {
      LinearGroup group;
      group.weight = &weight;
      group.x = Matrix(x, max_rows, in).Rows(r, r + 1);
      group.bias = MakeView(bias.data(), DType::kF32, {out});
      group.y = Matrix(alone, max_rows, out).Rows(r, r + 1);
      group.epilogue = Epilogue::kGeluErf;
      ASSERT_TRUE(OnDevice(Linear, group, scope.stream()).ok());
    }
  }
  std::vector<int64_t> batches = {43, 56, 57, 84, 97, 168, 169};
  for (int64_t rows = 1; rows <= 42; ++rows) batches.push_back(rows);
  for (int threads : {1, 2, 3}) {
    ScopedVariant scope(variant(), threads);
    const WeightMatrix weight = Pack(w, out, in, dtype(), scope.stream());
    for (int64_t rows : batches) {
      std::vector<int32_t> x_rows(rows);
      for (int64_t r = 0; r < rows; ++r) {
        x_rows[r] = (r * 37 + rows) % max_rows;
      }
      std::vector<float> y(rows * out, NAN);
      LinearGroup group;
      group.weight = &weight;
      group.x = Matrix(x, max_rows, in);
      group.x_rows = ViewOf(x_rows);
      group.bias = MakeView(bias.data(), DType::kF32, {out});
      group.y = Matrix(y, rows, out);
      group.epilogue = Epilogue::kGeluErf;
      ASSERT_TRUE(OnDevice(Linear, group, scope.stream()).ok());
      for (int64_t r = 0; r < rows; ++r) {
        ASSERT_EQ(std::memcmp(&y[r * out], &alone[x_rows[r] * out],
                              out * sizeof(float)),
                  0)
            << "row " << r << " of " << rows << ", " << threads << " threads";
      }
    }
  }
}

// Experts as a MoE layer has them: uneven, some without rows, each gathering
// its rows, strided tensors, the residual added in place.
TEST_P(LinearTest, GroupsEqualSingleProducts) {
  ScopedVariant scope(variant(), 3);
  const std::vector<int64_t> rows = {0, 1, 7, 0, 60, 2, 0};
  const int64_t out = 50, in = 270, tokens = 90, x_stride = 280, y_stride = 53;
  std::vector<float> x = RandomFloats(tokens * x_stride, 9);
  std::vector<WeightMatrix> weights;
  std::vector<std::vector<int32_t>> x_rows;
  std::vector<std::vector<float>> ys, expected;
  std::vector<LinearGroup> groups(rows.size());
  for (size_t g = 0; g < rows.size(); ++g) {
    std::vector<float> w = RandomFloats(out * in, 10 + g);
    weights.push_back(Pack(w, out, in, dtype(), scope.stream()));
    x_rows.emplace_back();
    for (int64_t r = 0; r < rows[g]; ++r) {
      x_rows[g].push_back((r * 11 + g) % tokens);
    }
    ys.push_back(
        RandomFloats(std::max<int64_t>(1, rows[g]) * y_stride, 20 + g));
    expected.push_back(ys[g]);
  }
  std::vector<float> no_values(1);
  for (size_t g = 0; g < rows.size(); ++g) {
    groups[g].weight = &weights[g];
    groups[g].x = Matrix(x, tokens, in, x_stride);
    groups[g].x_rows = ViewOf(x_rows[g]);
    groups[g].residual = Matrix(ys[g], rows[g], out, y_stride);
    groups[g].y = groups[g].residual;
    groups[g].epilogue = Epilogue::kSquaredRelu;
    // The same, row by row, not in place.
    for (int64_t r = 0; r < rows[g]; ++r) {
      std::vector<float> residual(expected[g].begin() + r * y_stride,
                                  expected[g].begin() + r * y_stride + out);
      LinearGroup one = groups[g];
      one.x = groups[g].x.Rows(x_rows[g][r], x_rows[g][r] + 1);
      one.x_rows = {};
      one.residual = Matrix(residual, 1, out);
      one.y = Matrix(expected[g], rows[g], out, y_stride).Rows(r, r + 1);
      ASSERT_TRUE(OnDevice(Linear, one, scope.stream()).ok());
    }
  }
  ASSERT_TRUE(LinearOnDevice(groups, scope.stream()).ok());
  // Equal bits, and nothing written between the rows.
  for (size_t g = 0; g < rows.size(); ++g) EXPECT_EQ(ys[g], expected[g]) << g;
}

class LinearEpilogueTest : public VariantTest {};

INSTANTIATE_ON_ALL_VARIANTS(LinearEpilogueTest);

// One input of weight 1 and 71 outputs: every lane of whole and of partial
// vectors computes the epilogue of the same number.
TEST_P(LinearEpilogueTest, IsAccurateAndTheSameInEveryLane) {
  const int64_t out = 71;
  std::vector<float> values;
  for (float v = -14; v <= 14; v += 0.0137f) values.push_back(v);
  for (float v : {0.0f, 1e-20f, -1e-20f, 1e-3f, -1e-3f, 100.0f, 1e15f}) {
    values.push_back(v);
  }
  const int64_t rows = values.size();
  std::vector<float> w(out, 1), y(rows * out);
  const WeightMatrix weight = Pack(w, out, 1, DType::kF32, stream_);
  for (Epilogue epilogue : {Epilogue::kNone, Epilogue::kGeluTanh,
                            Epilogue::kGeluErf, Epilogue::kSquaredRelu}) {
    LinearGroup group;
    group.weight = &weight;
    group.x = Matrix(values, rows, 1);
    group.y = Matrix(y, rows, out);
    group.epilogue = epilogue;
    ASSERT_TRUE(OnDevice(Linear, group, stream_).ok());
    double worst = 0;
    for (int64_t r = 0; r < rows; ++r) {
      const double expected = Activate(values[r], epilogue);
      const float* row = &y[r * out];
      for (int64_t c = 1; c < out; ++c) ASSERT_EQ(row[c], row[0]) << values[r];
      EXPECT_NEAR(row[0], expected, 1e-6 * std::abs(expected) + 1e-12)
          << values[r];
      worst = std::max(
          worst, std::abs(row[0] - expected) / (std::abs(expected) + 1e-30));
    }
    // Far below zero the error of the exponent's argument grows with it.
    EXPECT_LT(worst, 1e-5) << static_cast<int>(epilogue);
  }
}

TEST_P(LinearEpilogueTest, KeepsNanAndInfinity) {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> x = {NAN, inf}, w = {1}, y(2);
  const WeightMatrix weight = Pack(w, 1, 1, DType::kF32, stream_);
  for (Epilogue epilogue : {Epilogue::kNone, Epilogue::kGeluTanh,
                            Epilogue::kGeluErf, Epilogue::kSquaredRelu}) {
    LinearGroup group;
    group.weight = &weight;
    group.x = Matrix(x, 2, 1);
    group.y = Matrix(y, 2, 1);
    group.epilogue = epilogue;
    ASSERT_TRUE(OnDevice(Linear, group, stream_).ok());
    EXPECT_TRUE(std::isnan(y[0])) << static_cast<int>(epilogue);
    EXPECT_EQ(y[1], inf) << static_cast<int>(epilogue);
  }
}

}  // namespace
}  // namespace moe
