#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "kernels/cpu/attention_tile.h"
#include "kernels/ops/op_checks.h"
#include "kernels/ops/paged_attention.h"

namespace moe::cpu {
namespace {

constexpr char kOp[] = "PagedAttention";

// Below this many multiply-adds the pool's wake-up costs more than it saves.
constexpr int64_t kInlineCost = 128 * 1024;

// One sequence's query rows and the blocks of its context.
struct Sequence {
  int64_t first_row;
  int64_t num_tokens;
  int64_t start_position;    // of its first query row
  const int32_t* block_ids;  // [at least blocks of its context]
};

struct Task {
  Sequence sequence;
  int64_t kv_head;
  int64_t first;  // of the sequence's (token, head of the group) pairs
};

// Sequence `s` of checked arguments, whose values are checked here.
absl::StatusOr<Sequence> GetSequence(const PagedAttentionArgs& args,
                                     int64_t s) {
  const int64_t rows = args.q.dims[0];
  const int64_t blocks = args.key_cache.dims[0];
  const int64_t block_size = args.key_cache.dims[3];
  const int32_t* const offsets = args.sequence_offsets.ptr<int32_t>() + s;
  const int64_t context = args.context_lengths.ptr<int32_t>()[s];
  Sequence sequence;
  sequence.first_row = offsets[0];
  sequence.num_tokens = int64_t{offsets[1]} - offsets[0];
  sequence.start_position = context - sequence.num_tokens;
  sequence.block_ids =
      args.block_table.ptr<int32_t>() + s * RowStride(args.block_table);
  if (sequence.num_tokens < 0 || sequence.start_position < 0 ||
      sequence.first_row < 0 || offsets[1] > rows) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": sequence ", s, " has rows ", sequence.first_row,
                     " + ", sequence.num_tokens, " of ", rows,
                     " and starts at position ", sequence.start_position));
  }
  const int64_t needed = (context + block_size - 1) / block_size;
  if (args.block_table.dims[1] < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": sequence ", s, " of ", context, " tokens has ",
                     args.block_table.dims[1], " blocks of ", block_size,
                     ", needs ", needed));
  }
  for (int64_t b = 0; b < needed; ++b) {
    if (sequence.block_ids[b] < 0 || sequence.block_ids[b] >= blocks) {
      return absl::InvalidArgumentError(
          absl::StrCat(kOp, ": block ", sequence.block_ids[b], " of sequence ",
                       s, " is outside [0, ", blocks, ")"));
    }
  }
  return sequence;
}

void RunTask(const PagedAttentionArgs& args, const Task& task) {
  const int64_t head_dim = args.q.dims[2];
  const int64_t kv_heads = args.key_cache.dims[1];
  const int64_t group = args.q.dims[1] / kv_heads;
  const Sequence& sequence = task.sequence;
  const int64_t pairs = sequence.num_tokens * group;

  AttentionTile tile;
  tile.num_rows =
      static_cast<int>(std::min<int64_t>(kTileRows, pairs - task.first));
  for (int i = 0; i < tile.num_rows; ++i) {
    const int64_t token = (task.first + i) / group;
    const int64_t head = task.kv_head * group + (task.first + i) % group;
    const int64_t row = sequence.first_row + token;
    tile.q[i] = args.q.ptr<float>() + row * RowStride(args.q) + head * head_dim;
    tile.out[i] =
        args.out.ptr<float>() + row * RowStride(args.out) + head * head_dim;
    tile.context[i] = static_cast<int32_t>(sequence.start_position + token + 1);
  }
  tile.block_size = args.key_cache.dims[3];
  tile.block_stride = kv_heads * head_dim * tile.block_size;
  tile.keys =
      args.key_cache.ptr<float>() + task.kv_head * head_dim * tile.block_size;
  tile.values =
      args.value_cache.ptr<float>() + task.kv_head * head_dim * tile.block_size;
  tile.block_ids = sequence.block_ids;
  tile.head_dim = head_dim;
  tile.scale = args.scale;
  AttendTile(tile);
}

}  // namespace

absl::Status PagedAttention(const PagedAttentionArgs& args, CpuStream& stream) {
  const int64_t kv_heads = args.key_cache.dims[1];
  const int64_t group = args.q.dims[1] / kv_heads;
  std::vector<Task> tasks;
  int64_t cost = 0;
  for (int64_t s = 0; s < args.context_lengths.dims[0]; ++s) {
    ASSIGN_OR_RETURN(const Sequence sequence, GetSequence(args, s));
    const int64_t pairs = sequence.num_tokens * group;
    cost += pairs * (sequence.start_position + sequence.num_tokens);
    // The longest contexts first, so that the threads end together.
    const int64_t last = (pairs - 1) / kTileRows * kTileRows;
    for (int64_t first = last; pairs > 0 && first >= 0; first -= kTileRows) {
      for (int64_t h = 0; h < kv_heads; ++h) {
        tasks.push_back({sequence, h, first});
      }
    }
  }
  cost *= 2 * kv_heads * args.q.dims[2];
  if (cost < kInlineCost) {
    for (const Task& task : tasks) RunTask(args, task);
  } else {
    stream.threads().ParallelFor(
        static_cast<int64_t>(tasks.size()),
        [&](int64_t task, int) { RunTask(args, tasks[task]); });
  }
  return absl::OkStatus();
}

}  // namespace moe::cpu
