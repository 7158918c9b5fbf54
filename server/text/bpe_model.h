#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe {

class StopSignal;

// The parts of a byte-level BPE model, as its file has them.
struct BpeModelSpec {
  // Written in the byte alphabet (byte_alphabet.h).
  std::vector<std::pair<std::string, int32_t>> vocab;
  // In the order of rank; the first has priority. Both in the byte alphabet.
  std::vector<std::pair<std::string, std::string>> merges;
  // For bytes that the vocabulary lacks; without it they are dropped.
  std::optional<std::string> unk_token;
  bool fuse_unk = false;       // one unk_token for a run of such bytes
  bool ignore_merges = false;  // a piece that is a token is not merged
};

struct BpeSymbol {
  int32_t id;
  int32_t num_bytes;
};

// Byte-pair encoding of pieces of bytes: starts with single bytes and applies
// the merge of the lowest rank, the leftmost first, until none applies.
// Immutable and thread-safe.
class BpeModel {
 public:
  // kInvalidArgument, naming the entry, for ids outside [0, 2^24) or used
  // twice, and for merges whose parts or result are not in the vocabulary.
  static absl::StatusOr<BpeModel> Create(const BpeModelSpec& spec);

  // Appends the symbols of `piece` to `symbols`; their num_bytes add up to
  // its size, unless there are none. O(n log n) in the bytes of the piece.
  // Without an unk_token, bytes that are not in the vocabulary are dropped
  // before anything is merged, as in Hugging Face's tokenizers, and added to
  // `num_dropped_bytes` unless that is null; they count among the num_bytes of
  // the symbol before them, the first ones of the symbol after them. kCancelled
  // after `stop`.
  absl::Status Encode(absl::string_view piece, std::vector<BpeSymbol>* symbols,
                      StopSignal* stop = nullptr,
                      int64_t* num_dropped_bytes = nullptr) const;

  // From now on ignore_merges does not make a piece this token. Not
  // thread-safe.
  void TakeFromWholePieces(int32_t id);

  // The bytes of each id; empty if the id is unused.
  const std::vector<std::string>& token_bytes() const { return token_bytes_; }

  // The id of a vocabulary entry as written, e.g. "<|endoftext|>"; -1: none.
  int32_t FindEntry(absl::string_view entry) const;

 private:
  struct Merge {
    int32_t rank;
    int32_t merged_id;
  };

  BpeModel() = default;
  absl::Status AddVocab(const BpeModelSpec& spec);
  absl::Status AddMerges(const BpeModelSpec& spec);
  const Merge* FindMerge(int32_t left, int32_t right) const;

  absl::flat_hash_map<std::string, int32_t> entries_;  // as written
  absl::flat_hash_map<std::string, int32_t> id_of_bytes_;
  absl::flat_hash_map<uint64_t, Merge> merges_;  // left id, right id
  std::vector<std::string> token_bytes_;
  std::vector<int32_t> byte_ids_;  // [256], -1: none
  int32_t unk_id_ = -1;
  bool fuse_unk_ = false;
  bool ignore_merges_ = false;
};

}  // namespace moe
