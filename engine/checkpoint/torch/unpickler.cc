#include "engine/checkpoint/torch/unpickler.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/checkpoint/torch/byte_reader.h"
#include "engine/checkpoint/torch/pickle_calls.h"
#include "engine/checkpoint/torch/pickle_opcodes.h"
#include "engine/checkpoint/torch/pickle_stack.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxProtocol = 5;

class Unpickler {
 public:
  Unpickler(absl::string_view bytes, const std::string& source,
            PickleArena& arena, const UnpicklerLimits& limits)
      : reader_(bytes), source_(source), arena_(arena), limits_(limits) {}

  absl::StatusOr<Unpickled> Run() {
    while (true) {
      at_ = reader_.offset();
      if (!reader_.Read(&opcode_)) {
        opcode_ = 0;
        return Error("it ends before its STOP");
      }
      if (opcode_ == pickle::kStop) break;
      RETURN_IF_ERROR(Step());
      if (values_ > limits_.max_values || stack_.size() > limits_.max_values ||
          items_ > limits_.max_items) {
        return absl::ResourceExhaustedError(absl::StrFormat(
            "%s: pickle byte %d: more than %d values or %d items", source_, at_,
            limits_.max_values, limits_.max_items));
      }
    }
    PickleValue* top;
    RETURN_IF_ERROR(Pop(&top));
    return Unpickled{top, reader_.offset()};
  }

 private:
  absl::Status Error(absl::string_view what) const {
    return absl::DataLossError(
        absl::StrFormat("%s: damaged pickle, byte %d (opcode 0x%02x): %s",
                        source_, at_, opcode_, what));
  }

  PickleValue* New(Kind kind) {
    ++values_;
    PickleValue& value = arena_.values.emplace_back();
    value.kind = kind;
    return &value;
  }

  absl::Status Push(PickleValue* value) {
    stack_.Push(value);
    return absl::OkStatus();
  }

  absl::Status Pop(PickleValue** value) {
    return stack_.Pop(value) ? absl::OkStatus() : Error("the stack is empty");
  }

  absl::Status Top(PickleValue** value) {
    return stack_.Top(value) ? absl::OkStatus() : Error("the stack is empty");
  }

  absl::Status PushInt(int64_t integer, Kind kind = Kind::kInt) {
    PickleValue* value = New(kind);
    value->integer = integer;
    return Push(value);
  }

  template <typename Integer>
  absl::Status ReadInt() {
    Integer integer;
    if (!reader_.Read(&integer)) return Error("cut short");
    return PushInt(integer);
  }

  // A string or bytes, after its length of type Length.
  template <typename Length>
  absl::Status ReadText(Kind kind) {
    Length length;
    absl::string_view text;
    if (!reader_.Read(&length) || !reader_.ReadBytes(length, &text)) {
      return Error("a string is longer than the file");
    }
    PickleValue* value = New(kind);
    value->text = text;
    return Push(value);
  }

  template <typename Length>
  absl::Status ReadLong() {
    Length length;
    absl::string_view digits;
    if (!reader_.Read(&length) || !reader_.ReadBytes(length, &digits)) {
      return Error("an integer is longer than the file");
    }
    PickleValue* value = New(Kind::kNone);
    *value = PickleValue::FromLong(digits);
    return Push(value);
  }

  absl::Status ReadFloat() {
    absl::string_view bytes;
    if (!reader_.ReadBytes(sizeof(double), &bytes)) return Error("cut short");
    PickleValue* value = New(Kind::kNone);
    *value = PickleValue::FromBigEndianDouble(bytes);
    return Push(value);
  }

  template <typename Index>
  absl::Status Get() {
    Index index;
    PickleValue* value;
    if (!reader_.Read(&index)) return Error("cut short");
    if (!stack_.Recall(index, &value)) {
      return Error(absl::StrCat("nothing is memorized as ", index));
    }
    return Push(value);
  }

  absl::Status Put(uint32_t index) {
    return stack_.Memorize(index) ? absl::OkStatus()
                                  : Error("the stack is empty");
  }

  template <typename Index>
  absl::Status ReadPut() {
    Index index;
    if (!reader_.Read(&index)) return Error("cut short");
    return Put(index);
  }

  absl::Status PopItems(std::vector<const PickleValue*>* items) {
    if (!stack_.PopToMark(items)) return Error("no mark");
    items_ += items->size();
    return absl::OkStatus();
  }

  absl::Status MakeFromItems(Kind kind) {
    PickleValue* value = New(kind);
    RETURN_IF_ERROR(PopItems(&value->items));
    if (kind == Kind::kDict && value->items.size() % 2 != 0) {
      return Error("a dict has a key without a value");
    }
    return Push(value);
  }

  absl::Status MakeTuple(size_t count) {
    PickleValue* tuple = New(Kind::kTuple);
    if (!stack_.PopLast(count, &tuple->items)) {
      return Error("the stack is empty");
    }
    items_ += count;
    return Push(tuple);
  }

  // Adds `items` to the collection at the top, which is of that kind or an
  // opaque object.
  absl::Status AddToTop(Kind kind,
                        const std::vector<const PickleValue*>& items) {
    PickleValue* top;
    RETURN_IF_ERROR(Top(&top));
    if (top->is(Kind::kObject)) return absl::OkStatus();
    if (!top->is(kind)) {
      return Error(absl::StrCat("cannot add items to a ", top->ToString()));
    }
    if (kind == Kind::kDict && items.size() % 2 != 0) {
      return Error("a dict has a key without a value");
    }
    top->items.insert(top->items.end(), items.begin(), items.end());
    return absl::OkStatus();
  }

  absl::Status AddMarked(Kind kind) {
    std::vector<const PickleValue*> items;
    RETURN_IF_ERROR(PopItems(&items));
    return AddToTop(kind, items);
  }

  absl::Status AddPopped(Kind kind, size_t count) {
    std::vector<const PickleValue*> items;
    if (!stack_.PopLast(count, &items)) return Error("the stack is empty");
    items_ += count;
    return AddToTop(kind, items);
  }

  absl::Status PushGlobal(absl::string_view module, absl::string_view name) {
    PickleValue* global = New(Kind::kGlobal);
    global->text = module;
    global->name = name;
    return Push(global);
  }

  absl::Status ReadGlobal() {
    absl::string_view module, name;
    if (!reader_.ReadLine(&module) || !reader_.ReadLine(&name)) {
      return Error("a global has no end of line");
    }
    return PushGlobal(module, name);
  }

  absl::Status StackGlobal() {
    PickleValue *name, *module;
    RETURN_IF_ERROR(Pop(&name));
    RETURN_IF_ERROR(Pop(&module));
    if (!name->is(Kind::kString) || !module->is(Kind::kString)) {
      return Error("a global's name is not a string");
    }
    return PushGlobal(module->text, name->text);
  }

  absl::Status PersistentId() {
    PickleValue* id;
    RETURN_IF_ERROR(Pop(&id));
    absl::StatusOr<PickleValue> storage = DescribeStorage(*id);
    if (!storage.ok()) return Error(storage.status().message());
    PickleValue* value = New(Kind::kStorage);
    *value = *std::move(storage);
    return Push(value);
  }

  // callable(*arguments), or class.__new__(class, *arguments).
  absl::Status Call() {
    PickleValue *arguments, *callable;
    RETURN_IF_ERROR(Pop(&arguments));
    RETURN_IF_ERROR(Pop(&callable));
    // A call copies at most its arguments (a dict's pairs have two items).
    items_ += 3;
    if (!arguments->items.empty()) {
      items_ += 2 * arguments->items[0]->items.size();
      if (items_ > limits_.max_items) return absl::OkStatus();  // Run() refuses
    }
    absl::StatusOr<PickleValue> result =
        DescribeCall(*callable, *arguments, limits_.max_rank);
    if (!result.ok()) return Error(result.status().message());
    PickleValue* value = New(Kind::kNone);
    *value = *std::move(result);
    return Push(value);
  }

  absl::Status Build() {
    PickleValue *state, *object;
    RETURN_IF_ERROR(Pop(&state));
    RETURN_IF_ERROR(Top(&object));
    // The state of dicts (OrderedDict's _metadata) and tensors is not needed.
    if (object->is(Kind::kObject)) object->items[2] = state;
    return absl::OkStatus();
  }

  absl::Status Step();

  ByteReader reader_;
  const std::string& source_;
  PickleArena& arena_;
  const UnpicklerLimits& limits_;
  PickleStack stack_;
  size_t values_ = 0;
  size_t items_ = 0;
  size_t at_ = 0;  // where the current opcode begins
  uint8_t opcode_ = 0;
};

absl::Status Unpickler::Step() {
  using namespace pickle;  // the opcodes
  PickleValue* value;
  switch (opcode_) {
    case kProto: {
      uint8_t protocol;
      if (!reader_.Read(&protocol) || protocol > kMaxProtocol) {
        return Error("not a known protocol");
      }
      return absl::OkStatus();
    }
    case kFrame: {
      uint64_t length;
      if (!reader_.Read(&length) || length > reader_.remaining()) {
        return Error("a frame is longer than the file");
      }
      return absl::OkStatus();
    }
    case kMark:
      stack_.Mark();
      return absl::OkStatus();
    case kPop:
      return stack_.PopBareMark() ? absl::OkStatus() : Pop(&value);
    case kDup:
      RETURN_IF_ERROR(Top(&value));
      return Push(value);
    case kNoneOp:
      return Push(New(Kind::kNone));
    case kNewTrue:
    case kNewFalse:
      return PushInt(opcode_ == kNewTrue ? 1 : 0, Kind::kBool);
    case kBinInt:
      return ReadInt<int32_t>();
    case kBinInt1:
      return ReadInt<uint8_t>();
    case kBinInt2:
      return ReadInt<uint16_t>();
    case kLong1:
      return ReadLong<uint8_t>();
    case kLong4:
      return ReadLong<uint32_t>();
    case kBinFloat:
      return ReadFloat();
    case kShortBinString:  // Python 2's str
    case kShortBinUnicode:
      return ReadText<uint8_t>(Kind::kString);
    case kBinString:
    case kBinUnicode:
      return ReadText<uint32_t>(Kind::kString);
    case kBinUnicode8:
      return ReadText<uint64_t>(Kind::kString);
    case kShortBinBytes:
      return ReadText<uint8_t>(Kind::kBytes);
    case kBinBytes:
      return ReadText<uint32_t>(Kind::kBytes);
    case kBinBytes8:
      return ReadText<uint64_t>(Kind::kBytes);
    case kEmptyDict:
      return Push(New(Kind::kDict));
    case kEmptyList:
      return Push(New(Kind::kList));
    case kEmptyTuple:
      return Push(New(Kind::kTuple));
    case kEmptySet:
      return Push(New(Kind::kSet));
    case kTuple1:
    case kTuple2:
    case kTuple3:
      return MakeTuple(opcode_ - kTuple1 + size_t{1});
    case kTupleOp:
      return MakeFromItems(Kind::kTuple);
    case kListOp:
      return MakeFromItems(Kind::kList);
    case kDictOp:
      return MakeFromItems(Kind::kDict);
    case kAppend:
      return AddPopped(Kind::kList, 1);
    case kSetItem:
      return AddPopped(Kind::kDict, 2);
    case kAppends:
      return AddMarked(Kind::kList);
    case kSetItems:
      return AddMarked(Kind::kDict);
    case kAddItems:
      return AddMarked(Kind::kSet);
    case kBinGet:
      return Get<uint8_t>();
    case kLongBinGet:
      return Get<uint32_t>();
    case kBinPut:
      return ReadPut<uint8_t>();
    case kLongBinPut:
      return ReadPut<uint32_t>();
    case kMemoize:
      return Put(static_cast<uint32_t>(stack_.num_memorized()));
    case kGlobalOp:
      return ReadGlobal();
    case kStackGlobal:
      return StackGlobal();
    case kBinPersId:
      return PersistentId();
    case kReduce:
    case kNewObj:
      return Call();
    case kBuild:
      return Build();
    default:
      return Error("an opcode that PyTorch does not write");
  }
}

}  // namespace

absl::StatusOr<Unpickled> Unpickle(absl::string_view bytes,
                                   const std::string& source,
                                   PickleArena& arena,
                                   const UnpicklerLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat(source, ": a pickle of ", bytes.size(), " bytes; at most ",
                     limits.max_bytes, " are read"));
  }
  return Unpickler(bytes, source, arena, limits).Run();
}

}  // namespace moe
