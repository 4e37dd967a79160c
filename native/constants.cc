// SPDX-License-Identifier: Apache-2.0
#include "constants.h"

#include <bpf/btf.h>

#include <cstring>
#include <string_view>

namespace ktrail {

// The object's BTF lists every global of a section with its offset and size (BTF_KIND_DATASEC); the section's bytes
// are the initial value of the map that libbpf makes of it.
std::optional<Failure> SetConstant(bpf_object* object, const ConstantPlan& constant, const std::string& path) {
  const std::string where = "constant " + Quoted(constant.name) + " of " + path;
  const btf* types = bpf_object__btf(object);
  uint32_t count = types ? btf__type_cnt(types) : 0;
  for (uint32_t id = 1; id < count; id++) {
    const btf_type* section = btf__type_by_id(types, id);
    if (!btf_is_datasec(section)) continue;
    const char* section_name = btf__name_by_offset(types, section->name_off);
    if (!section_name || !std::string_view(section_name).starts_with(".rodata")) continue;
    const btf_var_secinfo* variable = btf_var_secinfos(section);
    for (uint32_t i = 0; i < btf_vlen(section); i++, variable++) {
      const char* name = btf__name_by_offset(types, btf__type_by_id(types, variable->type)->name_off);
      if (!name || constant.name != name) continue;
      if (variable->size != constant.bytes.size()) {
        return Failure{"BAD_ARGUMENT", "openObject", constant.name,
                       where + ": expected " + std::to_string(variable->size) + " bytes, got " +
                           std::to_string(constant.bytes.size())};
      }
      bpf_map* map = bpf_object__find_map_by_name(object, section_name);
      size_t size = 0;
      void* bytes = map ? const_cast<void*>(bpf_map__initial_value(map, &size)) : nullptr;
      if (!bytes || size_t{variable->offset} + variable->size > size) {
        return Failure{"NO_CONSTANT", "openObject", constant.name, where + ": its section has no initial value"};
      }
      memcpy(static_cast<uint8_t*>(bytes) + variable->offset, constant.bytes.data(), variable->size);
      return std::nullopt;
    }
  }
  return Failure{"NO_CONSTANT", "openObject", constant.name,
                 where + ": no such variable; expected a `const volatile` global"};
}

}  // namespace ktrail
