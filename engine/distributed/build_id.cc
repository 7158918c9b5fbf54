#include "engine/distributed/build_id.h"

#include <elf.h>
#include <link.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_format.h"
#include "comm/control/sip_hash.h"

namespace moe {
namespace {

// The build id among the notes of one segment, or "".
std::string FindBuildId(absl::string_view notes) {
  while (notes.size() >= sizeof(ElfW(Nhdr))) {
    ElfW(Nhdr) header;
    std::memcpy(&header, notes.data(), sizeof(header));
    const size_t name_bytes = (header.n_namesz + 3) & ~size_t{3};
    const size_t value_bytes = (header.n_descsz + 3) & ~size_t{3};
    if (notes.size() < sizeof(header) + name_bytes + value_bytes) break;
    if (header.n_type == NT_GNU_BUILD_ID) {
      return absl::BytesToHexString(
          notes.substr(sizeof(header) + name_bytes, header.n_descsz));
    }
    notes.remove_prefix(sizeof(header) + name_bytes + value_bytes);
  }
  return "";
}

// The first object is the program itself.
int FindInProgram(dl_phdr_info* info, size_t, void* result) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const std::string id = FindBuildId(absl::string_view(
        reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr),
        segment.p_memsz));
    if (!id.empty()) *static_cast<std::string*>(result) = id;
  }
  return 1;
}

}  // namespace

std::string BuildId() {
  std::string id;
  dl_iterate_phdr(&FindInProgram, &id);
  if (!id.empty()) return id;
  std::ifstream stream("/proc/self/exe", std::ios::binary);
  std::ostringstream program;
  program << stream.rdbuf();
  return DigestOf(program.str());
}

std::string DigestOf(absl::string_view text) {
  return absl::StrFormat("%016x", SipHash({}, text));
}

}  // namespace moe
