// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <span>

#include "plan.h"

namespace ktrail {
namespace {

constexpr char kOp[] = "openObject";

// Only the listed programs are loaded: the others may need what this kernel lacks.
std::optional<Failure> SelectPrograms(bpf_object* object, const ObjectPlan& plan, const std::string& path,
                                      const LogCapture& log) {
  bpf_program* each = nullptr;
  bpf_object__for_each_program(each, object) bpf_program__set_autoload(each, false);
  for (const ProgramPlan& wanted : plan.programs) {
    const std::string kind(wanted.kind->name);
    bpf_program* program = bpf_object__find_program_by_name(object, wanted.name.c_str());
    if (!program) return Failure{"NO_PROGRAM", kOp, wanted.name, "no program " + Quoted(wanted.name) + " in " + path};
    bpf_program__set_autoload(program, true);
    bpf_program__set_type(program, wanted.kind->type);
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(wanted.kind->expected));
    if (wanted.target.empty()) {
      // SEC("fexit/NAME") names its target itself.
      if (!wanted.kind->by_target || strchr(bpf_program__section_name(program), '/')) continue;
      return Failure{"BAD_ARGUMENT", kOp, wanted.name,
                     "program " + Quoted(wanted.name) + ": expected a target for kind " + kind + ", got none"};
    }
    int err = -bpf_program__set_attach_target(program, 0, wanted.target.c_str());
    if (err == 0) continue;
    std::string what = "cannot bind program " + Quoted(wanted.name) + " to " + kind + " " + Quoted(wanted.target);
    Failure failure = Refused(err, "ATTACH_FAILED", kOp, wanted.target, what, log.text());
    if (log.text().find("vmlinux BTF") != std::string::npos) {
      failure.code = "NO_BTF";
      failure.message = what + ": this kernel has no BTF (/sys/kernel/btf/vmlinux)";
    } else if (err == ESRCH || err == ENOENT) {
      failure.code = "NO_SYMBOL";
      failure.message = what + ": no such function in the kernel's BTF";
    }
    return failure;
  }
  return std::nullopt;
}

// Sets the initial value of a `const volatile` variable. The object's BTF lists every global of a section with its offset
// and size (BTF_KIND_DATASEC). The section's bytes are the initial value of the map that libbpf makes for it.
std::optional<Failure> SetConstant(bpf_object* object, const std::string& constant, std::span<const uint8_t> value,
                                   const std::string& path) {
  const std::string where = "constant " + Quoted(constant) + " of " + path;
  const btf* types = bpf_object__btf(object);
  uint32_t count = types ? btf__type_cnt(types) : 0;
  for (uint32_t id = 1; id < count; id++) {
    const btf_type* section = btf__type_by_id(types, id);
    if (!btf_is_datasec(section)) continue;
    const char* section_name = btf__name_by_offset(types, section->name_off);
    if (!section_name || !std::string_view(section_name).starts_with(".rodata")) continue;
    for (const btf_var_secinfo& variable : std::span(btf_var_secinfos(section), btf_vlen(section))) {
      const char* name = btf__name_by_offset(types, btf__type_by_id(types, variable.type)->name_off);
      if (!name || constant != name) continue;
      bpf_map* map = bpf_object__find_map_by_name(object, section_name);
      size_t section_size = 0;
      void* start = map ? const_cast<void*>(bpf_map__initial_value(map, &section_size)) : nullptr;
      if (!start || variable.offset + size_t{variable.size} > section_size)
        return Failure{"NO_CONSTANT", kOp, constant, where + ": its section has no initial value"};
      if (variable.size != value.size()) {
        return Failure{"BAD_ARGUMENT", kOp, constant, where + ": expected " + std::to_string(variable.size) +
            " bytes, got " + std::to_string(value.size())};
      }
      memcpy(static_cast<uint8_t*>(start) + variable.offset, value.data(), value.size());
      return std::nullopt;
    }
  }
  return Failure{"NO_CONSTANT", kOp, constant, where + ": no such variable; expected a `const volatile` global"};
}

std::optional<Failure> SetConstants(bpf_object* object, const ObjectPlan& plan, const std::string& path) {
  for (const auto& [name, value] : plan.constants)
    if (auto failure = SetConstant(object, name, value, path)) return failure;
  return std::nullopt;
}

// Programs have numbers of the kernel's structs as constants: libbpf would set those of its own types.
std::optional<Failure> SetNumbers(bpf_object* object, const NeededTypes& types, const std::string& path) {
  constexpr std::string_view kPrefix = "number_of_";
  const btf* own = bpf_object__btf(object);
  for (uint32_t id = 1; own && id < btf__type_cnt(own); id++) {
    const btf_type* variable = btf__type_by_id(own, id);
    if (!btf_is_var(variable)) continue;
    const std::string name = btf__name_by_offset(own, variable->name_off);
    if (!name.starts_with(kPrefix)) continue;
    auto number = std::bit_cast<std::array<uint8_t, 4>>(types.Number(std::string_view(name).substr(kPrefix.size())));
    if (auto failure = SetConstant(object, name, number, path)) return failure;
  }
  return std::nullopt;
}

// `set` returns 0 or a negative errno.
template <typename Value, typename Set>
std::optional<Failure> SetMaps(bpf_object* object, const ByName<Value>& wanted, const std::string& path,
                               const char* verb, Set set) {
  for (const auto& [name, value] : wanted) {
    bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
    if (!map) return Failure{"NO_MAP", kOp, name, "no map " + Quoted(name) + " in " + path};
    int err = set(map, value);
    if (err) return Refused(-err, "MAP_FAILED", kOp, name, std::string("cannot ") + verb + " map " + Quoted(name));
  }
  return std::nullopt;
}

std::string Shape(uint32_t type, uint32_t key, uint32_t value) {
  const char* name = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(type));
  return std::string(name ? name : "unknown") + " of " + std::to_string(key) + "/" + std::to_string(value) + " bytes";
}

// libbpf would take any descriptor: the program would then read another map's bytes as its own.
std::optional<Failure> CheckShared(bpf_object* object, const ObjectPlan& plan, const std::string& path) {
  for (const auto& [name, shared] : plan.shared_maps) {
    bpf_map* map = bpf_object__find_map_by_name(object, name.c_str());
    if (!map) continue;
    std::string want = Shape(bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map));
    std::string have = Shape(shared.info.type, shared.info.key_size, shared.info.value_size);
    if (want == have) continue;
    return Failure{"BAD_ARGUMENT", kOp, name, "shared map " + Quoted(name) + " of " + path + ": expected " + want +
        ", got " + have};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Failure> Prepare(bpf_object* object, const ObjectPlan& plan, NeededTypes& types, const std::string& path,
                               const LogCapture& log) {
  auto failure = SelectPrograms(object, plan, path, log);
  if (!failure) failure = types.Write(bpf_object__btf(object), kOp);
  if (!failure) failure = SetNumbers(object, types, path);
  if (!failure) failure = SetConstants(object, plan, path);
  if (!failure) failure = CheckShared(object, plan, path);
  if (!failure) failure = SetMaps(object, plan.map_sizes, path, "size", bpf_map__set_max_entries);
  if (!failure) failure = SetMaps(object, plan.value_sizes, path, "set the value size of", bpf_map__set_value_size);
  if (!failure) failure = SetMaps(object, plan.map_flags, path, "set flags of", bpf_map__set_map_flags);
  if (!failure) {
    failure = SetMaps(object, plan.shared_maps, path, "share", [](bpf_map* map, const SharedMap& shared) {
      return bpf_map__reuse_fd(map, shared.fd.get());
    });
  }
  // Only code that the verifier removes uses a map without entries.
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) bpf_map__set_autocreate(map, bpf_map__max_entries(map) > 0);
  return failure;
}

}  // namespace ktrail
