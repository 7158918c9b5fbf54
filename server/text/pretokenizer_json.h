#pragma once

#include "absl/status/statusor.h"
#include "server/text/json_fields.h"
#include "server/text/pretokenizer.h"

namespace moe {

// Reads tokenizer.json's pre_tokenizer: ByteLevel, alone or in a
// Sequence after any of Split, Digits and Punctuation. Others are
// kUnimplemented.
absl::StatusOr<PretokenizerSpec> ParsePretokenizer(const Json& json);

}  // namespace moe
