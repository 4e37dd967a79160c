// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <filesystem>

#include "btf.h"

namespace ktrail {
namespace {

// Deeper than any type of a kernel; a broken BTF could point in a circle.
constexpr int kDepth = 32;
constexpr char kNoName[] = "(anonymous)";

// gcc writes `long unsigned int` where clang writes `unsigned long`: one spelling for both.
std::string IntegerText(const std::string& name) {
  static constexpr const char* kSpellings[][2] = {
      {"long unsigned int", "unsigned long"}, {"long int", "long"},
      {"long long unsigned int", "unsigned long long"}, {"long long int", "long long"},
      {"short unsigned int", "unsigned short"}, {"short int", "short"},
      {"_Bool", "bool"}, {"__int128 unsigned", "unsigned __int128"},
  };
  for (const auto& [from, to] : kSpellings)
    if (name == from) return to;
  return name;
}

std::string TextOf(const btf* types, uint32_t id, bool resolve, int depth) {
  if (id == 0) return "void";
  const btf_type* type = btf__type_by_id(types, id);
  if (!type || depth > kDepth) return "?";
  auto inner = [&] { return TextOf(types, type->type, resolve, depth + 1); };
  switch (btf_kind(type)) {
    case BTF_KIND_INT:
      return IntegerText(NameOf(types, type));
    case BTF_KIND_FLOAT:
      return NameOf(types, type);
    case BTF_KIND_STRUCT:
      return "struct " + NameOf(types, type);
    case BTF_KIND_UNION:
      return "union " + NameOf(types, type);
    case BTF_KIND_FWD:
      return (btf_kflag(type) ? "union " : "struct ") + NameOf(types, type);
    case BTF_KIND_ENUM:
    case BTF_KIND_ENUM64:
      return "enum " + NameOf(types, type);
    case BTF_KIND_TYPEDEF:
      return resolve ? inner() : NameOf(types, type);
    case BTF_KIND_TYPE_TAG:
    case BTF_KIND_RESTRICT:
      return inner();
    case BTF_KIND_CONST:
    case BTF_KIND_VOLATILE: {
      std::string text = inner(), word = btf_is_const(type) ? "const" : "volatile";
      return text.ends_with('*') ? text + word : word + " " + text;
    }
    case BTF_KIND_PTR: {
      std::string text = inner();
      bool function = text.ends_with(')') && !text.ends_with(kNoName) && text.find(" (") != std::string::npos;
      if (function) return text.insert(text.find(" (") + 2, "*");
      return text + (text.ends_with('*') ? "*" : " *");
    }
    case BTF_KIND_FUNC_PROTO: {
      std::string text = inner() + " ()(";
      const btf_param* param = btf_params(type);
      for (int i = 0; i < btf_vlen(type); i++)
        text += (i ? ", " : "") + TextOf(types, param[i].type, resolve, depth + 1);
      return text + ")";
    }
    case BTF_KIND_ARRAY: {
      const struct btf_array* array = btf_array(type);
      return TextOf(types, array->type, resolve, depth + 1) + " [" + std::to_string(array->nelems) + "]";
    }
    default:
      return "?";
  }
}

}  // namespace

Result<btf*> Vmlinux(const char* op) {
  static thread_local BtfPtr vmlinux;
  LogCapture quiet;
  if (!vmlinux) vmlinux.reset(btf__load_vmlinux_btf());
  if (vmlinux) return vmlinux.get();
  int err = errno;
  return Failure{"NO_BTF", op, "vmlinux", "this kernel has no BTF (" + std::string(kBtfFile) + "): " + ErrnoText(err) +
      "; it needs CONFIG_DEBUG_INFO_BTF", err};
}

void EachModule(btf* vmlinux, const std::function<bool(const btf* types, const std::string& module)>& each) {
  std::error_code error;
  LogCapture quiet;
  for (const auto& entry : std::filesystem::directory_iterator(kBtfFolder, error)) {
    std::string module = entry.path().filename();
    if (module == "vmlinux") continue;
    BtfPtr types(btf__load_module_btf(module.c_str(), vmlinux));
    if (types && !each(types.get(), module)) return;
  }
}

std::string NameOf(const btf* types, const btf_type* type) {
  const char* name = btf__name_by_offset(types, type->name_off);
  return name && *name ? name : kNoName;
}

std::string TypeText(const btf* types, uint32_t id, bool resolve) { return TextOf(types, id, resolve, 0); }

double SizeOf(const btf* types, uint32_t id) {
  int64_t size = id == 0 ? 0 : btf__resolve_size(types, id);
  return size < 0 ? 0 : static_cast<double>(size);
}

Type TypeOf(const btf* types, uint32_t id) {
  return {TypeText(types, id, false), TypeText(types, id, true), SizeOf(types, id)};
}

}  // namespace ktrail
