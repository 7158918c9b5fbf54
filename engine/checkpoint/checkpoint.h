#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "engine/checkpoint/host_weight.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/config/model_config.h"
#include "engine/config/weight_slice.h"

namespace moe {

// An open checkpoint of any format, with canonical weight names:
//
//   embedding.weight                        [padded_vocab, hidden]
//   position_embedding.weight               [max_positions, hidden]
//   layers.{l}.attention_norm.{weight,bias} [hidden]
//   layers.{l}.attention.qkv.{weight,bias}  [(heads + 2 kv_heads) * head_dim,
//        hidden]: all query heads, then all key heads, then all value heads
//   layers.{l}.attention.out.{weight,bias}  [hidden, heads * head_dim]
//   layers.{l}.mlp_norm.{weight,bias}       [hidden]
//   layers.{l}.mlp.{up,down}.{weight,bias}  dense MLP, or the residual MLP of a
//        residual MoE layer: up [ffn, hidden] (SwiGLU: [2 * ffn, hidden], all
//        gate rows, then all up rows), down [hidden, ffn]
//   layers.{l}.moe.gate.weight              [experts, hidden]
//   layers.{l}.moe.coefficient.{weight,bias} [2, hidden], [2]
//   layers.{l}.experts.{e}.{up,down}.{weight,bias}  as mlp
//   final_norm.{weight,bias}                [hidden]
//   output.weight                           [padded_vocab, hidden] if untied
//
// Files of any tensor and expert degree are merged while reading. Thread-safe
// after opening.
class Checkpoint {
 public:
  virtual ~Checkpoint() = default;

  virtual const ModelConfig& config() const = 0;

  // kNotFound that names tensor and file if the files lack the weight (for
  // example a bias of a model without biases); kDataLoss for a wrong shape,
  // dtype or range.
  virtual absl::StatusOr<HostWeight> Get(absl::string_view name) const = 0;
  virtual bool Has(absl::string_view name) const = 0;
  // The files that contain a weight, for messages; "" if there are none.
  virtual std::string FilesOf(absl::string_view /*name*/) const { return ""; }

  // The part `slice` of the weight, row-major and contiguous. Reads no other
  // bytes of the files, however they partition the weight. kInvalidArgument if
  // the slice exceeds the weight. Does not verify checksums of weights that are
  // read in part: see TakePartialChecksums.
  virtual absl::StatusOr<HostWeight> GetShard(
      absl::string_view name, const WeightSlice& slice) const = 0;

  // Bytes of the files read so far: tensors, checksummed storages, compared
  // copies, metadata.
  virtual int64_t bytes_read() const { return 0; }

  // Checksums of what GetShard has read in part since the last call. The ranks
  // that share weights exchange them; each passes the merged checksums of all
  // ranks to CheckPartialChecksums, which compares them with the files'. Rank
  // (storage modulo num_ranks) alone reads and verifies storages that the ranks
  // did not cover exactly. kDataLoss names file and tensor. For formats with
  // checksums.
  virtual std::vector<PartialChecksum> TakePartialChecksums() const {
    return {};
  }
  virtual absl::Status CheckPartialChecksums(
      absl::Span<const PartialChecksum> /*merged*/, int /*rank*/,
      int /*num_ranks*/) const {
    return absl::OkStatus();
  }

  // Warnings for users: ignored keys, differing replicas, ...
  virtual const std::vector<std::string>& warnings() const = 0;
  // "DeepSpeed, tag global_step12, tensor degree 1, 14 expert files".
  virtual std::string Description() const = 0;
};

}  // namespace moe
