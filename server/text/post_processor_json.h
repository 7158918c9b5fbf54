#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "server/text/json_fields.h"

namespace moe {

// The ids that are added before and after those of a text.
struct PostProcessor {
  std::vector<int32_t> prefix_ids;
  std::vector<int32_t> suffix_ids;
};

// Reads tokenizer.json's post_processor: ByteLevel (which adds no ids; its
// trim_offsets is ignored, see Encoding::offsets), the template for a single
// text of TemplateProcessing, BertProcessing, RobertaProcessing, or a Sequence
// of them. Others are kUnimplemented.
absl::StatusOr<PostProcessor> ParsePostProcessor(const Json& json);

}  // namespace moe
