#include "server/text/stop_strings.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/text/utf8.h"

namespace moe {

absl::StatusOr<StopStrings> StopStrings::Create(
    absl::Span<const std::string> stops, bool include_stop) {
  StopStrings result;
  result.include_stop_ = include_stop;
  for (size_t i = 0; i < stops.size(); ++i) {
    if (stops[i].empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("stop[", i, "] is empty; leave it out"));
    }
    const size_t invalid = FindInvalidUtf8(stops[i]);
    if (invalid != absl::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("stop[", i, "] is not valid UTF-8 at byte ", invalid));
    }
    result.Add(stops[i], static_cast<int64_t>(i));
  }
  result.LinkFailures();
  return result;
}

void StopStrings::Add(const std::string& stop, int64_t index) {
  int32_t node = 0;
  for (const char byte : stop) {
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(nodes_.size());
      nodes_[node].children.emplace_back(byte, child);
      nodes_.emplace_back();
      nodes_.back().depth = nodes_[node].depth + 1;
    }
    node = child;
  }
  if (nodes_[node].stop < 0) {  // of equal strings, keep the first
    nodes_[node].stop = index;
    nodes_[node].stop_length = nodes_[node].depth;
  }
}

void StopStrings::LinkFailures() {
  std::vector<int32_t> queue = {0};  // breadth first: shorter prefixes first
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t parent = queue[i];
    for (const auto& [byte, child] : nodes_[parent].children) {
      Node& node = nodes_[child];
      node.fail = parent == 0 ? 0 : Step(nodes_[parent].fail, byte);
      if (node.stop < 0) {
        node.stop = nodes_[node.fail].stop;
        node.stop_length = nodes_[node.fail].stop_length;
      }
      queue.push_back(child);
    }
  }
}

int32_t StopStrings::Child(int32_t node, char byte) const {
  for (const auto& [label, child] : nodes_[node].children) {
    if (label == byte) return child;
  }
  return -1;
}

int32_t StopStrings::Step(int32_t node, char byte) const {
  while (true) {
    const int32_t child = Child(node, byte);
    if (child >= 0) return child;
    if (node == 0) return 0;
    node = nodes_[node].fail;
  }
}

std::string StopStrings::Append(absl::string_view piece) {
  if (matched_ >= 0) return "";
  for (const char byte : piece) {
    held_.push_back(byte);
    state_ = Step(state_, byte);
    const Node& node = nodes_[state_];
    if (node.stop < 0) continue;
    matched_ = node.stop;
    if (!include_stop_) held_.resize(held_.size() - node.stop_length);
    return std::exchange(held_, "");
  }
  // The state is the longest suffix of the text that starts a stop string.
  const size_t num_shown = held_.size() - nodes_[state_].depth;
  std::string shown = held_.substr(0, num_shown);
  held_.erase(0, num_shown);
  return shown;
}

std::string StopStrings::Finish() { return std::exchange(held_, ""); }

}  // namespace moe
