#include "engine/moe/packed_tokens.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace moe {

TensorView TableView(absl::Span<const int32_t> table) {
  static int32_t none = 0;
  int32_t* const data =
      table.empty() ? &none : const_cast<int32_t*>(table.data());
  return MakeView(data, DType::kI32, {static_cast<int64_t>(table.size())});
}

void PackRow(const RowFormat& format, const TensorView& x, int64_t row,
             const int32_t* ids, float* out) {
  std::memcpy(out, x.ptr<float>() + row * x.strides[0],
              format.hidden * sizeof(float));
  std::memcpy(out + format.hidden, ids, format.num_ids * sizeof(int32_t));
}

TensorView PackedHidden(const RowFormat& format, float* packed, int64_t rows) {
  TensorView view = MakeView(packed, DType::kF32, {rows, format.hidden});
  view.strides[0] = format.stride();
  return view;
}

const int32_t* PackedIds(const RowFormat& format, const float* packed) {
  return reinterpret_cast<const int32_t*>(packed + format.hidden);
}

absl::Status SortByExpert(const int32_t* ids, int64_t stride, int64_t rows,
                          int64_t num_ids, int64_t first, int64_t count,
                          int64_t all_experts, SlotTable& table) {
  const auto id_of = [&](int64_t row, int64_t j) {
    int32_t id;  // the rows' memory is of floats
    std::memcpy(&id, ids + row * stride + j, sizeof(id));
    return id;
  };
  const auto is_here = [&](int64_t id) {
    return id >= first && id < first + count;
  };
  table.expert_offsets.assign(count + 1, 0);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < num_ids; ++j) {
      const int32_t id = id_of(r, j);
      if (id < 0 || id >= all_experts) {
        return absl::InternalError(
            absl::StrCat("row ", r, " of an exchange is for expert ", id,
                         ", the layer has ", all_experts));
      }
      if (is_here(id)) ++table.expert_offsets[id - first + 1];
    }
  }
  for (int64_t e = 0; e < count; ++e) {
    table.expert_offsets[e + 1] += table.expert_offsets[e];
  }
  std::vector<int32_t> next(table.expert_offsets);
  table.row_of_slot.resize(table.expert_offsets[count]);
  table.slot_of.assign(rows * num_ids, -1);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < num_ids; ++j) {
      const int32_t id = id_of(r, j);
      if (!is_here(id)) continue;
      const int32_t slot = next[id - first]++;
      table.row_of_slot[slot] = static_cast<int32_t>(r);
      table.slot_of[r * num_ids + j] = slot;
    }
  }
  return absl::OkStatus();
}

void ScatterRows(const float* in, absl::Span<const int32_t> index,
                 int64_t hidden, float* out) {
  for (size_t s = 0; s < index.size(); ++s) {
    std::memcpy(out + index[s] * hidden, in + s * hidden,
                hidden * sizeof(float));
  }
}

}  // namespace moe
