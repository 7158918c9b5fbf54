#include "engine/moe/moe_layer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/config/uniform_model_config.h"
#include "engine/moe/local_dispatcher.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/cpu_stream.h"
#include "tests/kernels/ops/op_test.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 16, kFfn = 24, kExperts = 5, kMaxRows = 40;

// Stands in for a dispatcher that sends rows away: copies every slot's row to
// memory of its own, and the results, in reverse order, to other memory. Polls
// find it busy until Finish.
class CopyingDispatch : public DispatchHandle {
 public:
  CopyingDispatch(const TensorView& hidden, const GatingResult& gating)
      : hidden_(hidden), gating_(gating) {}

  absl::StatusOr<bool> Poll() override { return false; }

  absl::StatusOr<DispatchedTokens> FinishDispatch() override {
    const int64_t slots = gating_.row_of_slot.dims[0];
    sent_ = MakeTensor({slots, kHidden});
    for (int64_t s = 0; s < slots; ++s) {
      std::copy_n(hidden_.ptr<float>() +
                      gating_.row_of_slot.ptr<int32_t>()[s] * kHidden,
                  kHidden, sent_.ptr<float>() + s * kHidden);
      identity_.push_back(static_cast<int32_t>(s));
    }
    return DispatchedTokens{sent_.view(),
                            MakeView(identity_.data(), DType::kI32, {slots}),
                            gating_.expert_offsets};
  }

  absl::Status BeginCombine(const TensorView& expert_out) override {
    const int64_t slots = expert_out.dims[0];
    returned_ = MakeTensor({slots, kHidden});
    slot_of_ =
        MakeTensor({hidden_.dims[0], gating_.slot_of.dims[1]}, DType::kI32);
    for (int64_t s = 0; s < slots; ++s) {
      std::copy_n(expert_out.ptr<float>() + s * kHidden, kHidden,
                  returned_.ptr<float>() + (slots - 1 - s) * kHidden);
      slot_of_.ptr<int32_t>()[s] =
          static_cast<int32_t>(slots) - 1 - gating_.slot_of.ptr<int32_t>()[s];
    }
    return absl::OkStatus();
  }

  absl::StatusOr<CombinedTokens> FinishCombine() override {
    return CombinedTokens{returned_.view(), slot_of_.view()};
  }

 private:
  const TensorView hidden_;
  const GatingResult gating_;
  Tensor sent_, returned_, slot_of_;
  std::vector<int32_t> identity_;
};

class CopyingDispatcher : public TokenDispatcher {
 public:
  // Of a handle that says where it is and does not combine.
  int failing_alive() const { return failing_alive_; }
  void set_failing() { fails_ = true; }

  bool is_local() const override { return false; }
  absl::StatusOr<std::unique_ptr<DispatchHandle>> Dispatch(
      const TensorView& hidden, const GatingResult& gating, const MoeStep&,
      Stream&) override {
    if (fails_) {
      return std::make_unique<FailingDispatch>(hidden, gating, failing_alive_);
    }
    return std::make_unique<CopyingDispatch>(hidden, gating);
  }

 private:
  class FailingDispatch : public CopyingDispatch {
   public:
    FailingDispatch(const TensorView& hidden, const GatingResult& gating,
                    int& alive)
        : CopyingDispatch(hidden, gating), alive_(alive) {
      ++alive_;
    }
    ~FailingDispatch() override { --alive_; }
    absl::Status BeginCombine(const TensorView&) override {
      return absl::InternalError("cannot combine");
    }

   private:
    int& alive_;
  };

  bool fails_ = false;
  int failing_alive_ = 0;
};

struct Variant {
  std::string name;
  ResidualMoeKind residual;
  int64_t top_k;
};

class MoeLayerTest : public testing::TestWithParam<Variant> {
 protected:
  MoeLayerTest() {
    config_.hidden_size = kHidden;
    config_.ffn_hidden_size = kFfn;
    config_.num_layers = 1;
    config_.experts_per_layer = {kExperts};
    config_.activation = ActivationKind::kSquaredRelu;
    config_.top_k = GetParam().top_k;
    config_.residual_moe = GetParam().residual;
    scratch_ = *MoeScratch::Create(HostBackend(), config_, kMaxRows);
  }

  // The matrix is kept for the reference.
  LinearWeights Linear(const std::string& name, int64_t out, int64_t in,
                       bool bias) {
    LinearWeights weights;
    Tensor matrix = RandomTensor({out, in}, ++seed_, 0.5f);
    weights.weight = *PackWeight(matrix.view(), DType::kF32, stream_);
    matrices_[name] = std::move(matrix);
    if (bias) {
      weights.bias = RandomTensor({out}, ++seed_, 0.5f);
      biases_[name] = std::vector<float>(weights.bias.ptr<float>(),
                                         weights.bias.ptr<float>() + out);
    }
    return weights;
  }
  MlpWeights Mlp(const std::string& name) {
    MlpWeights weights;
    weights.up = Linear(name + ".up", kFfn, kHidden, true);
    weights.down = Linear(name + ".down", kHidden, kFfn, true);
    return weights;
  }
  MoeLayer Layer(TokenDispatcher& dispatcher) {
    seed_ = 0;
    const MoeConfig moe = ModelConfig(config_).layers[0].moe();
    Gate gate(moe, Linear("gate", kExperts, kHidden, false).weight);
    std::vector<MlpWeights> experts;
    for (int64_t e = 0; e < kExperts; ++e) {
      experts.push_back(Mlp("expert" + std::to_string(e)));
    }
    std::optional<ResidualMlp> residual;
    if (config_.residual_moe != ResidualMoeKind::kNone) {
      residual.emplace();
      residual->kind = config_.residual_moe;
      residual->mlp = Mlp("mlp");
      residual->coefficient =
          Linear("c", 2, kHidden, config_.residual_moe == ResidualMoeKind::kB2);
    }
    return MoeLayer(moe, std::move(gate), Experts(std::move(experts)),
                    std::move(residual), &dispatcher);
  }

  std::vector<double> Affine(const std::string& name,
                             const std::vector<double>& x) {
    const Tensor& m = matrices_[name];
    std::vector<double> y(m.dim(0));
    for (int64_t o = 0; o < m.dim(0); ++o) {
      if (biases_.count(name) > 0) y[o] = biases_[name][o];
      for (size_t i = 0; i < x.size(); ++i) {
        y[o] += x[i] * m.ptr<float>()[o * m.dim(1) + i];
      }
    }
    return y;
  }
  std::vector<double> MlpReference(const std::string& name,
                                   const std::vector<double>& x) {
    std::vector<double> z = Affine(name + ".up", x);
    for (double& v : z) v = v > 0 ? v * v : 0;
    return Affine(name + ".down", z);
  }
  std::vector<double> Reference(const std::vector<double>& x) {
    std::vector<double> p = Affine("gate", x);
    double sum = 0;
    for (double& v : p) sum += v = std::exp(v);
    double chosen = 0;
    std::vector<std::pair<int64_t, double>> experts;
    for (int64_t j = 0; j < config_.top_k; ++j) {
      const int64_t e = std::max_element(p.begin(), p.end()) - p.begin();
      experts.push_back({e, p[e] / sum});
      chosen += p[e] / sum;
      p[e] = -1;
    }
    if (config_.top_k == 1) chosen = 1;
    std::vector<double> y(kHidden);
    for (const auto& [e, weight] : experts) {
      const auto out = MlpReference("expert" + std::to_string(e), x);
      for (int64_t i = 0; i < kHidden; ++i) y[i] += weight / chosen * out[i];
    }
    if (config_.residual_moe == ResidualMoeKind::kNone) return y;
    const auto mlp = MlpReference("mlp", x);
    double moe_share = 1, mlp_share = 1;
    if (config_.residual_moe != ResidualMoeKind::kB1) {
      const auto c = Affine("c", x);
      const double c0 = 1 / (1 + std::exp(c[1] - c[0]));
      const bool is_a = config_.residual_moe == ResidualMoeKind::kA;
      moe_share = is_a ? 1 - c0 : c0;
      mlp_share = is_a ? c0 : 1 - c0;
    }
    for (int64_t i = 0; i < kHidden; ++i) {
      y[i] = moe_share * y[i] + mlp_share * mlp[i];
    }
    return y;
  }

  ThreadPool pool_{2};
  CpuStream stream_{pool_};
  UniformModelConfig config_;
  MoeScratch scratch_;
  uint32_t seed_ = 0;
  std::map<std::string, Tensor> matrices_;
  std::map<std::string, std::vector<float>> biases_;
};

TEST_P(MoeLayerTest, EqualsTheReferenceAndAddsTheResidual) {
  LocalDispatcher dispatcher;
  const MoeLayer layer = Layer(dispatcher);
  for (int64_t rows : {1, 7, 40}) {
    const Tensor x = RandomTensor({rows, kHidden}, 100);
    const Tensor residual = RandomTensor({rows, kHidden}, 101);
    Tensor y = MakeTensor({rows, kHidden});
    const auto gating = layer.Forward(x.view(), residual.view(), y.view(), {},
                                      scratch_, stream_);
    ASSERT_TRUE(gating.ok()) << gating.status();
    EXPECT_EQ(gating->expert_ids.dims[0], rows);
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = x.ptr<float>() + r * kHidden;
      const auto want = Reference({row, row + kHidden});
      for (int64_t i = 0; i < kHidden; ++i) {
        const int64_t at = r * kHidden + i;
        EXPECT_NEAR(y.ptr<float>()[at], residual.ptr<float>()[at] + want[i],
                    2e-5);
      }
    }
  }
}

TEST_P(MoeLayerTest, ARowsBitsDoNotDependOnTheBatchOrTheDispatcher) {
  LocalDispatcher local;
  CopyingDispatcher copying;
  const MoeLayer layer = Layer(local);
  const MoeLayer other = Layer(copying);
  const Tensor x = RandomTensor({kMaxRows, kHidden}, 7);
  Tensor y = MakeTensor({kMaxRows, kHidden});
  Tensor z = MakeTensor({kMaxRows, kHidden});
  ASSERT_TRUE(
      layer.Forward(x.view(), x.view(), y.view(), {}, scratch_, stream_).ok());
  ASSERT_TRUE(
      other.Forward(x.view(), x.view(), z.view(), {}, scratch_, stream_).ok());
  EXPECT_TRUE(SameBits(y.ptr<float>(), z.ptr<float>(), kMaxRows * kHidden));
  for (int64_t r = 0; r < kMaxRows; ++r) {
    const TensorView row = x.view().Rows(r, r + 1);
    ASSERT_TRUE(
        layer.Forward(row, row, z.view().Rows(0, 1), {}, scratch_, stream_)
            .ok());
    EXPECT_TRUE(SameBits(y.ptr<float>() + r * kHidden, z.ptr<float>(), kHidden))
        << "row " << r;
  }
}

// Its end could wait for ranks that wait for this one.
TEST_P(MoeLayerTest, TheDispatchOfAFailedLayerStaysInTheScratch) {
  CopyingDispatcher dispatcher;
  dispatcher.set_failing();
  const MoeLayer layer = Layer(dispatcher);
  const Tensor x = RandomTensor({3, kHidden}, 7);
  Tensor y = MakeTensor({3, kHidden});
  const auto gating =
      layer.Forward(x.view(), x.view(), y.view(), {}, scratch_, stream_);
  EXPECT_EQ(gating.status().message(), "cannot combine");
  EXPECT_EQ(dispatcher.failing_alive(), 1);
  scratch_ = MoeScratch();
  EXPECT_EQ(dispatcher.failing_alive(), 0);
}

INSTANTIATE_TEST_SUITE_P(
    Variants, MoeLayerTest,
    testing::Values(Variant{"top1", ResidualMoeKind::kNone, 1},
                    Variant{"top2", ResidualMoeKind::kNone, 2},
                    Variant{"all", ResidualMoeKind::kNone, kExperts},
                    Variant{"a", ResidualMoeKind::kA, 1},
                    Variant{"b1", ResidualMoeKind::kB1, 1},
                    Variant{"b2", ResidualMoeKind::kB2, 1},
                    Variant{"b2_top2", ResidualMoeKind::kB2, 2}),
    [](const testing::TestParamInfo<Variant>& info) {
      return info.param.name;
    });

TEST(LocalDispatcherTest, CombineNamesAWrongNumberOfResults) {
  LocalDispatcher dispatcher;
  ThreadPool pool(1);
  CpuStream stream(pool);
  std::vector<int32_t> rows = {0, 1};
  GatingResult gating;
  gating.row_of_slot = MakeView(rows.data(), DType::kI32, {2});
  const Tensor x = MakeTensor({2, kHidden});
  const auto dispatch = dispatcher.Dispatch(x.view(), gating, {}, stream);
  ASSERT_TRUE(dispatch.ok()) << dispatch.status();
  const Tensor out = MakeTensor({3, kHidden});
  EXPECT_EQ((*dispatch)->BeginCombine(out.view()).message(),
            "BeginCombine: expert_out is f32 [3, 16], but 2 rows were "
            "dispatched");
}

}  // namespace
}  // namespace moe
