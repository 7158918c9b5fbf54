#include "engine/batch/step_plan_codec.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// A plan: the header, then for each rank batch number of sequences, and for
// each: zigzag(id - previous id), start_position, num_tokens * 2 +
// trace_routing, number of blocks, for each block zigzag(block id - previous
// block id)
//   token ids
// number of logit rows, for each row - previous row - 1 Numbers are varints:
// 7-bit groups, lowest first.
constexpr uint32_t kMagic = 0x3153504d;  // "MPS1": version 1
// Magic, checksum of the rest, kind, step id.
constexpr size_t kHeaderBytes = 4 + 4 + 1 + 8;
constexpr size_t kMaxGroups = 10;  // of a 64-bit number

uint32_t Checksum(absl::Span<const uint8_t> bytes) {  // FNV-1a
  uint32_t sum = 2166136261u;
  for (uint8_t byte : bytes) sum = (sum ^ byte) * 16777619u;
  return sum;
}

void PutFixed(uint64_t value, int num_bytes, uint8_t* out) {
  for (int i = 0; i < num_bytes; ++i) {
    out[i] = static_cast<uint8_t>(value >> (8 * i));
  }
}

uint64_t GetFixed(const uint8_t* in, int num_bytes) {
  uint64_t value = 0;
  for (int i = 0; i < num_bytes; ++i) value |= uint64_t{in[i]} << (8 * i);
  return value;
}

uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^
         static_cast<uint64_t>(value >> 63);
}

int64_t UnZigZag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

void Put(uint64_t value, std::vector<uint8_t>* bytes) {
  while (value >= 0x80) {
    bytes->push_back(static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  bytes->push_back(static_cast<uint8_t>(value));
}

void EncodeBatch(const Batch& rank_batch, std::vector<uint8_t>* bytes) {
  Put(rank_batch.sequences.size(), bytes);
  int64_t last_id = 0;
  for (const SequenceSlice& slice : rank_batch.sequences) {
    Put(ZigZag(slice.sequence_id - last_id), bytes);
    last_id = slice.sequence_id;
    Put(static_cast<uint64_t>(slice.start_position), bytes);
    Put(static_cast<uint64_t>(slice.num_tokens) * 2 + slice.trace_routing,
        bytes);
    Put(slice.block_ids.size(), bytes);
    int64_t last_block = 0;
    for (int32_t block : slice.block_ids) {
      Put(ZigZag(block - last_block), bytes);
      last_block = block;
    }
  }
  for (int32_t token : rank_batch.token_ids) {
    Put(static_cast<uint64_t>(token), bytes);
  }
  Put(rank_batch.logit_rows.size(), bytes);
  int64_t last_row = -1;
  for (int32_t row : rank_batch.logit_rows) {
    Put(static_cast<uint64_t>(row - last_row - 1), bytes);
    last_row = row;
  }
}

// Reads numbers. After the first bad one every read fails.
class Reader {
 public:
  explicit Reader(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}

  // A number in [least, most].
  absl::StatusOr<int64_t> Next(const char* what, int64_t least, int64_t most) {
    ASSIGN_OR_RETURN(const uint64_t raw, Raw(what));
    return Check(what,
                 raw > uint64_t{std::numeric_limits<int64_t>::max()}
                     ? std::numeric_limits<int64_t>::max()
                     : static_cast<int64_t>(raw),
                 least, most);
  }

  // A number in [least, most], given as its difference from `base`.
  absl::StatusOr<int64_t> NextFrom(int64_t base, const char* what,
                                   int64_t least, int64_t most) {
    ASSIGN_OR_RETURN(const uint64_t raw, Raw(what));
    // Modulo 2^64, so that damaged input cannot overflow.
    const int64_t value = static_cast<int64_t>(
        static_cast<uint64_t>(base) + static_cast<uint64_t>(UnZigZag(raw)));
    return Check(what, value, least, most);
  }

  bool at_end() const { return bytes_.empty(); }
  size_t left() const { return bytes_.size(); }

 private:
  static absl::StatusOr<int64_t> Check(const char* what, int64_t value,
                                       int64_t least, int64_t most) {
    if (value >= least && value <= most) return value;
    return absl::InvalidArgumentError(absl::StrCat(
        what, " is ", value, ", not in [", least, ", ", most, "]"));
  }

  absl::StatusOr<uint64_t> Raw(const char* what) {
    uint64_t value = 0;
    const size_t most = std::min(bytes_.size(), kMaxGroups);
    for (size_t i = 0; i < most; ++i) {
      value |= uint64_t{bytes_[i] & 0x7fu} << (7 * i);
      if ((bytes_[i] & 0x80) == 0) {
        // The encoding is unique: no empty last group, no bit beyond the 64th.
        if ((i > 0 && bytes_[i] == 0) || (i == 9 && bytes_[i] > 1)) break;
        bytes_.remove_prefix(i + 1);
        return value;
      }
    }
    return absl::InvalidArgumentError(absl::StrCat(
        "no number for ", what, ", ", bytes_.size(), " bytes before the end"));
  }

  absl::Span<const uint8_t> bytes_;
};

absl::Status DecodeSlice(Reader* reader, const StepPlanLimits& limits,
                         int64_t rows_left, int64_t last_id,
                         SequenceSlice* slice) {
  constexpr int64_t kMaxId = std::numeric_limits<int64_t>::max();
  ASSIGN_OR_RETURN(slice->sequence_id,
                   reader->NextFrom(last_id, "sequence_id", 0, kMaxId));
  ASSIGN_OR_RETURN(const int64_t start,
                   reader->Next("start_position", 0, limits.max_positions - 1));
  ASSIGN_OR_RETURN(
      const int64_t tokens_and_trace,
      reader->Next("num_tokens", 2,
                   2 * std::min(rows_left, limits.max_positions - start) + 1));
  const int64_t num_tokens = tokens_and_trace / 2;
  slice->start_position = static_cast<int32_t>(start);
  slice->num_tokens = static_cast<int32_t>(num_tokens);
  slice->trace_routing = tokens_and_trace % 2 != 0;
  const int64_t needed =
      (start + num_tokens + limits.block_size - 1) / limits.block_size;
  const int64_t most = std::min(
      limits.num_blocks,
      (limits.max_positions + limits.block_size - 1) / limits.block_size);
  ASSIGN_OR_RETURN(const int64_t num_blocks,
                   reader->Next("number of blocks", needed, most));
  slice->block_ids.reserve(
      std::min(static_cast<size_t>(num_blocks), reader->left()));
  int64_t block = 0;
  for (int64_t i = 0; i < num_blocks; ++i) {
    ASSIGN_OR_RETURN(
        block, reader->NextFrom(block, "block id", 0, limits.num_blocks - 1));
    slice->block_ids.push_back(static_cast<int32_t>(block));
  }
  return absl::OkStatus();
}

absl::Status DecodeBatch(Reader* reader, const StepPlanLimits& limits,
                         Batch* rank_batch) {
  ASSIGN_OR_RETURN(const int64_t num_sequences,
                   reader->Next("number of sequences", 0, limits.max_rows));
  int64_t num_rows = 0;
  for (int64_t i = 0; i < num_sequences; ++i) {
    SequenceSlice slice;
    slice.first_row = static_cast<int32_t>(num_rows);
    const int64_t last_id =
        i == 0 ? 0 : rank_batch->sequences.back().sequence_id;
    const absl::Status status = DecodeSlice(
        reader, limits, limits.max_rows - num_rows, last_id, &slice);
    if (!status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("sequence ", i, ": ", status.message()));
    }
    num_rows += slice.num_tokens;
    rank_batch->sequences.push_back(std::move(slice));
  }
  for (const SequenceSlice& slice : rank_batch->sequences) {
    for (int32_t i = 0; i < slice.num_tokens; ++i) {
      ASSIGN_OR_RETURN(const int64_t token,
                       reader->Next("token id", 0, limits.vocab_size - 1));
      rank_batch->token_ids.push_back(static_cast<int32_t>(token));
      rank_batch->positions.push_back(slice.start_position + i);
    }
  }
  ASSIGN_OR_RETURN(const int64_t num_logit_rows,
                   reader->Next("number of logit rows", 0, num_rows));
  int64_t row = -1;
  for (int64_t i = 0; i < num_logit_rows; ++i) {
    ASSIGN_OR_RETURN(
        const int64_t skipped,
        reader->Next("distance of logit rows", 0, num_rows - 2 - row));
    row += skipped + 1;
    rank_batch->logit_rows.push_back(static_cast<int32_t>(row));
  }
  return absl::OkStatus();
}

}  // namespace

size_t MaxPlanBytes(const StepPlanLimits& limits) {
  const int64_t blocks = std::min(
      limits.num_blocks,
      (limits.max_positions + limits.block_size - 1) / limits.block_size);
  // At most one sequence, one token and one logit row for each row.
  const int64_t row_bytes = 10 + 5 + 6 + 5 + 5 * blocks + 5 + 5;
  return kHeaderBytes +
         static_cast<size_t>(limits.data_degree) *
             (10 + 10 + static_cast<size_t>(limits.max_rows * row_bytes));
}

void EncodeStepPlan(const StepPlan& plan, std::vector<uint8_t>* bytes) {
  const size_t start = bytes->size();
  bytes->resize(start + kHeaderBytes);
  for (const Batch& rank_batch : plan.rank_batches)
    EncodeBatch(rank_batch, bytes);
  uint8_t* const header = bytes->data() + start;
  PutFixed(kMagic, 4, header);
  header[8] = static_cast<uint8_t>(plan.kind);
  PutFixed(static_cast<uint64_t>(plan.step_id), 8, header + 9);
  PutFixed(Checksum(absl::MakeSpan(*bytes).subspan(start + 8)), 4, header + 4);
}

absl::StatusOr<StepPlan> DecodeStepPlan(absl::Span<const uint8_t> bytes,
                                        const StepPlanLimits& limits) {
  const auto bad = [&](const auto&... what) {
    return absl::InvalidArgumentError(
        absl::StrCat("plan of ", bytes.size(), " bytes: ", what...));
  };
  if (bytes.size() < kHeaderBytes || bytes.size() > MaxPlanBytes(limits)) {
    return bad("it must have ", kHeaderBytes, " to ", MaxPlanBytes(limits));
  }
  if (GetFixed(bytes.data(), 4) != kMagic) {
    return bad("it begins with ", absl::Hex(GetFixed(bytes.data(), 4)),
               ", not with ", absl::Hex(kMagic),
               ": do all ranks run the same program?");
  }
  if (GetFixed(bytes.data() + 4, 4) != Checksum(bytes.subspan(8))) {
    return bad("its checksum is wrong");
  }
  StepPlan plan;
  if (bytes[8] > static_cast<uint8_t>(StepPlan::Kind::kShutdown)) {
    return bad("unknown kind ", bytes[8]);
  }
  plan.kind = static_cast<StepPlan::Kind>(bytes[8]);
  plan.step_id = static_cast<int64_t>(GetFixed(bytes.data() + 9, 8));
  Reader reader(bytes.subspan(kHeaderBytes));
  if (plan.kind == StepPlan::Kind::kStep) {
    plan.rank_batches.resize(limits.data_degree);
    std::vector<int32_t> rows;
    for (int32_t d = 0; d < limits.data_degree; ++d) {
      Batch& rank_batch = plan.rank_batches[d];
      rank_batch.step_id = plan.step_id;
      const absl::Status status = DecodeBatch(&reader, limits, &rank_batch);
      if (!status.ok()) {
        return bad("share of data rank ", d, ": ", status.message());
      }
      rows.push_back(static_cast<int32_t>(rank_batch.num_rows()));
    }
    for (Batch& rank_batch : plan.rank_batches)
      rank_batch.rows_on_data_ranks = rows;
  }
  if (!reader.at_end()) return bad(reader.left(), " bytes after its end");
  return plan;
}

}  // namespace moe
