#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace moe::cpu {

// A buffer that grows and is kept: its contents are lost when it grows.
// Aligned to a cache line, so that it suits any vector.
class ScratchBuffer {
 public:
  float* Reserve(size_t num_floats) {
    if (num_floats > capacity_) {
      data_.reset();
      data_.reset(static_cast<float*>(
          ::operator new(num_floats * sizeof(float), kAlignment)));
      capacity_ = num_floats;
    }
    return data_.get();
  }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(float* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<float, Free> data_;
  size_t capacity_ = 0;
};

// One thread's scratch memory of matrix products. A reference stays valid until
// the same buffer is asked for again.
class GemmScratch {
 public:
  // Which rows of which product a layout of activations holds.
  struct Key {
    uint64_t job = 0;  // 0: none
    int64_t gemm_idx = 0;
    int64_t row_begin = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };

  // Activations. *kept: the buffer still holds what was last written for `key`.
  float* x(size_t num_floats, const Key& key, bool* kept) {
    *kept = key == x_key_;
    x_key_ = key;
    return x_.Reserve(num_floats);
  }
  float* x(size_t num_floats) {
    x_key_ = Key();
    return x_.Reserve(num_floats);
  }
  // Sums of output elements.
  float* sums(size_t num_floats) { return sums_.Reserve(num_floats); }
  // A block of a panel as float32.
  float* expanded(size_t num_floats) { return expanded_.Reserve(num_floats); }

 private:
  Key x_key_;
  ScratchBuffer x_;
  ScratchBuffer sums_;
  ScratchBuffer expanded_;
};

}  // namespace moe::cpu
