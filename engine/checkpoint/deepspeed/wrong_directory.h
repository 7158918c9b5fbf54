#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace moe {

// Messages for what is no checkpoint of DeepSpeed: what was found, and what to
// give instead. They begin with the path.

// Of a directory whose entries are `names`, sorted, without the model states of
// a tensor rank: Megatron-LM's, Hugging Face's or universal checkpoints,
// optimizer states only, a directory above a checkpoint, ... Looks into at most
// 64 of its directories.
std::string DescribeWrongDirectory(const std::string& path,
                                   const std::vector<std::string>& names);

// Of a path that is a file, or a link to nothing.
std::string DescribeNoDirectory(const std::string& path);

}  // namespace moe
