#include "server/grpc/message_codec.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/support/slice.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/generation/request_errors.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

// The path of the first string that is not UTF-8 in `bytes`, a message of type
// `descriptor`; "" if there is none. The nesting of the types bounds the
// recursion.
std::string FindInvalidString(const std::string& bytes,
                              const Descriptor& descriptor) {
  UnknownFieldSet fields;
  if (!fields.ParseFromString(bytes)) return "";
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    const FieldDescriptor* known = descriptor.FindFieldByNumber(field.number());
    if (known == nullptr || field.type() != UnknownField::TYPE_LENGTH_DELIMITED)
      continue;
    const std::string& value = field.length_delimited();
    if (known->type() == FieldDescriptor::TYPE_STRING &&
        FindInvalidUtf8(value) != absl::string_view::npos) {
      return known->name();
    }
    if (known->type() == FieldDescriptor::TYPE_MESSAGE) {
      const std::string path = FindInvalidString(value, *known->message_type());
      if (!path.empty()) return absl::StrCat(known->name(), ".", path);
    }
  }
  return "";
}

}  // namespace

absl::Status ParseMessage(const grpc::ByteBuffer& bytes,
                          google::protobuf::Message* message) {
  std::vector<grpc::Slice> slices;
  if (!bytes.Dump(&slices).ok()) {
    return absl::CancelledError(
        "the call ended before its request came: the client cancelled it, or "
        "the request was longer than server.max_message_bytes");
  }
  std::string flat;
  flat.reserve(bytes.Length());
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  if (message->ParseFromString(flat)) return absl::OkStatus();
  const Descriptor& descriptor = *message->GetDescriptor();
  const std::string field = FindInvalidString(flat, descriptor);
  if (!field.empty()) return FieldViolation(field, "is not valid UTF-8");
  return absl::InvalidArgumentError(
      absl::StrCat("the request is not a ", descriptor.full_name()));
}

grpc::ByteBuffer SerializeMessage(const google::protobuf::Message& message) {
  const grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace moe
