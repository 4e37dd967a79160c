// SPDX-License-Identifier: Apache-2.0
#include "needed.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <unordered_set>
#include <vector>

#include "btf.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

namespace ktrail {
namespace {

// A name as the kernel has it: an object may have several forms of a type, such as `inode___old`.
std::string_view KernelName(std::string_view name) { return name.substr(0, name.find("___")); }

// A part of the kernel's types, with numbers of its own.
class Part {
 public:
  explicit Part(const btf* kernel) : kernel_(kernel), numbers_(btf__type_cnt(kernel)), types_(btf__new_empty()) {}

  // The number of a type here; it is added if need be.
  uint32_t Number(uint32_t id) {
    if (id == 0 || btf_is_func_proto(btf__type_by_id(kernel_, id))) return 0;
    if (numbers_[id] == 0) {
      added_.push_back(id);
      numbers_[id] = added_.size();
    }
    return numbers_[id];
  }

  // The types with all that they consist of; nullptr without memory.
  const btf* Complete() {
    for (size_t i = 0; types_ && i < added_.size(); i++) {
      if (btf__add_type(types_.get(), kernel_, btf__type_by_id(kernel_, added_[i])) < 0) return nullptr;
      // libbpf gives out its types for reading, but has no other way to change the numbers in them.
      Renumber(const_cast<btf_type*>(btf__type_by_id(types_.get(), i + 1)));
    }
    return types_.get();
  }

 private:
  void Renumber(btf_type* type) {
    if (btf_is_ptr(type)) type->type = 0;
    if (btf_is_mod(type) || btf_is_typedef(type)) type->type = Number(type->type);
    if (btf_is_array(type)) {
      btf_array(type)->type = Number(btf_array(type)->type);
      btf_array(type)->index_type = Number(btf_array(type)->index_type);
    }
    if (!btf_is_composite(type)) return;
    for (int i = 0; i < btf_vlen(type); i++) btf_members(type)[i].type = Number(btf_members(type)[i].type);
  }

  const btf* kernel_;
  std::vector<uint32_t> numbers_;  // by number of the kernel; 0: not added
  std::vector<uint32_t> added_;    // numbers of the kernel, by number here less 1
  BtfPtr types_;
};

bool IsNamed(const btf_type* type) {
  return type->name_off != 0 &&
         (btf_is_int(type) || btf_is_composite(type) || btf_is_any_enum(type) || btf_is_typedef(type));
}

std::string_view TextOf(const btf* types, const btf_type* type) {
  const char* name = btf__name_by_offset(types, type->name_off);
  return name ? name : "";
}

bool WriteAll(int file, const btf* types) {
  uint32_t size = 0;
  auto bytes = static_cast<const char*>(btf__raw_data(types, &size));
  for (uint32_t at = 0; bytes && at < size;) {
    ssize_t written = write(file, bytes + at, size - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
  }
  return bytes;
}

}  // namespace

NeededTypes::NeededTypes(const char* op) {
  auto vmlinux = Vmlinux(op);
  if (auto kernel = std::get_if<btf*>(&vmlinux)) kernel_ = *kernel;
  if (!kernel_) return;
  // Linux before 6.3 does not know the flag, and later ones may require it (vm.memfd_noexec).
  file_ = Fd(memfd_create("ktrail-types", MFD_CLOEXEC | MFD_NOEXEC_SEAL));
  if (file_.get() < 0) file_ = Fd(memfd_create("ktrail-types", MFD_CLOEXEC));
  path_ = "/proc/self/fd/" + std::to_string(file_.get());
  if (access(path_.c_str(), R_OK) != 0) path_.clear();
}

std::optional<Failure> NeededTypes::Write(const btf* object, const char* op) {
  if (!object || !kernel_) return std::nullopt;
  std::unordered_set<std::string_view> names;
  for (uint32_t id = 1; id < btf__type_cnt(object); id++) {
    const btf_type* type = btf__type_by_id(object, id);
    if (IsNamed(type)) names.insert(KernelName(TextOf(object, type)));
  }
  Part part(kernel_);
  for (uint32_t id = 1; id < btf__type_cnt(kernel_); id++) {
    const btf_type* type = btf__type_by_id(kernel_, id);
    if (!IsNamed(type)) continue;
    auto name = names.find(KernelName(TextOf(kernel_, type)));
    if (name == names.end()) continue;
    part.Number(id);
    if (btf_is_struct(type)) structs_.try_emplace(*name, id);
  }
  const btf* types = part.Complete();
  if (types && (path_.empty() || WriteAll(file_.get(), types))) return std::nullopt;
  return Refused(errno, "OPEN_FAILED", op, "types", "cannot write the kernel's types that an object needs");
}

uint32_t NeededTypes::Number(std::string_view name) const {
  auto found = structs_.find(KernelName(name));
  return found == structs_.end() ? 0 : found->second;
}

}  // namespace ktrail
