// SPDX-License-Identifier: Apache-2.0
#include <napi.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "../border/arguments.h"
#include "../border/promise.h"
#include "btf.h"

namespace ktrail {
namespace {

// Structs without a name in each other; a broken BTF could point in a circle.
constexpr int kDepth = 32;

// KernelMember of types.ts.
struct Member {
  std::vector<uint32_t> offsets;
  Type type;
  bool is_signed = false;
  uint32_t bit = 0, bits = 0;
  std::string problem;
  bool found = true;  // false: BTF has no such struct
};

// Place of a name in a struct, also within its unnamed members. Adds to `bit`, which counts from the struct's start.
bool FindField(const btf* types, const btf_type* in, const std::string& name, uint32_t& id, uint32_t& bit, uint32_t& bits,
    int depth = 0) {
  const btf_member* field = btf_members(in);
  for (int i = 0; i < btf_vlen(in) && depth < kDepth; i++) {
    const char* field_name = btf__name_by_offset(types, field[i].name_off);
    uint32_t at = bit + btf_member_bit_offset(in, i);
    if (field_name && name == field_name) {
      id = field[i].type;
      bit = at;
      bits = btf_member_bitfield_size(in, i);
      return true;
    }
    if (field_name && *field_name) continue;
    const btf_type* inner = btf__type_by_id(types, static_cast<uint32_t>(btf__resolve_type(types, field[i].type)));
    if (!inner || !btf_is_composite(inner)) continue;
    if (FindField(types, inner, name, id, at, bits, depth + 1)) {
      bit = at;
      return true;
    }
  }
  return false;
}

bool IsSigned(const btf* types, const btf_type* type) {
  if (btf_is_int(type)) return btf_int_encoding(type) & BTF_INT_SIGNED;
  return btf_is_any_enum(type) && btf_kflag(type);
}

// `asked`: the name of a struct or union, a space, and a path such as `a.b[2].c`; pointers on the way are followed.
Member MemberOf(const btf* types, const std::string& asked) {
  Member member;
  size_t space = asked.find(' ');
  std::string name = asked.substr(0, space), path = space == std::string::npos ? "" : asked.substr(space + 1);
  int found = btf__find_by_name_kind(types, name.c_str(), BTF_KIND_STRUCT);
  if (found < 0) found = btf__find_by_name_kind(types, name.c_str(), BTF_KIND_UNION);
  if (found < 0) {
    member.found = false;
    member.problem = "this kernel has no struct " + name;
    return member;
  }
  uint32_t id = static_cast<uint32_t>(found), offset = 0;
  auto resolved = [&]() -> const btf_type* {
    int to = btf__resolve_type(types, id);
    return to <= 0 ? nullptr : btf__type_by_id(types, static_cast<uint32_t>(to));
  };
  auto text = [&] { return TypeText(types, id, true); };
  for (size_t at = 0; at < path.size();) {
    const btf_type* type = resolved();
    member.bit = member.bits = 0;
    bool followed = type && btf_is_ptr(type);
    if (followed) {
      member.offsets.push_back(offset);
      offset = 0;
      id = type->type;
      type = resolved();
    }
    if (path[at] == '.') at++;
    if (path[at] == '[') {
      size_t end = path.find(']', at);
      uint64_t index = strtoull(path.c_str() + at + 1, nullptr, 10);
      bool array = type && !followed && btf_is_array(type);
      if (!array && !followed) member.problem = text() + " is not an array";
      else if (array && btf_array(type)->nelems && index >= btf_array(type)->nelems) member.problem = text() + " has no element " + std::to_string(index);
      if (!member.problem.empty()) return member;
      if (array) id = btf_array(type)->type;
      uint64_t to = offset + index * static_cast<uint64_t>(SizeOf(types, id));
      if (to > INT32_MAX) {
        member.problem = "element " + std::to_string(index) + " is beyond 2 GiB";
        return member;
      }
      offset = static_cast<uint32_t>(to);
      at = end == std::string::npos ? path.size() : end + 1;
      continue;
    }
    size_t end = path.find_first_of(".[", at);
    std::string field = path.substr(at, end == std::string::npos ? end : end - at);
    uint32_t bit = 0;
    if (!type || !btf_is_composite(type) || !FindField(types, type, field, id, bit, member.bits)) {
      member.problem = text() + " has no member " + field;
      return member;
    }
    offset += bit / 8;
    member.bit = bit % 8;
    at = end == std::string::npos ? path.size() : end;
  }
  member.offsets.push_back(offset);
  member.type = TypeOf(types, id);
  if (const btf_type* type = resolved()) member.is_signed = IsSigned(types, type);
  return member;
}

Napi::Value KernelMembers(const Napi::CallbackInfo& info) {
  auto asked = StringsOf(info[0], "kernelMembers", "paths");
  if (!asked) return {};
  auto find = [asked = std::move(*asked)]() -> Result<std::vector<Member>> {
    auto types = Vmlinux("kernelMembers");
    if (Failure* failure = std::get_if<Failure>(&types)) return std::move(*failure);
    std::vector<Member> members;
    for (const std::string& each : asked) members.push_back(MemberOf(std::get<0>(types), each));
    auto missing = [&] { return std::any_of(members.begin(), members.end(), [](const Member& each) { return !each.found; }); };
    if (!missing()) return members;
    EachModule(std::get<0>(types), [&](const btf* module, const std::string&) {
      for (size_t i = 0; i < members.size(); i++)
        if (!members[i].found) members[i] = MemberOf(module, asked[i]);
      return missing();
    });
    return members;
  };
  return Promised(info.Env(), std::move(find), [](Napi::Env env, const std::vector<Member>& members) -> Napi::Value {
    Napi::Array list = Napi::Array::New(env);
    for (const Member& member : members) {
      Napi::Object object = Napi::Object::New(env);
      Napi::Array offsets = Napi::Array::New(env);
      for (uint32_t offset : member.offsets) offsets.Set(offsets.Length(), offset);
      object.Set("offsets", offsets);
      object.Set("base", member.type.base);
      object.Set("sizeBytes", Napi::Number::New(env, member.type.size_bytes));
      object.Set("signed", member.is_signed);
      object.Set("bit", member.bit);
      object.Set("bits", member.bits);
      object.Set("problem", member.problem);
      list.Set(list.Length(), object);
    }
    return list;
  });
}

}  // namespace

void InitMembers(Napi::Env, Napi::Object exports) { Export<Promising<KernelMembers>>(exports, "kernelMembers"); }

}  // namespace ktrail
