// SPDX-License-Identifier: Apache-2.0
#include <bpf/btf.h>
#include <napi.h>

#include <cerrno>
#include <string>

#include "../border/addon.h"
#include "../border/arguments.h"
#include "../border/failure.h"

namespace ktrail {
namespace {

// Deeper than any type of a kernel; a broken BTF could point in a circle.
constexpr int kDepth = 32;

const btf* LoadVmlinux(Napi::Env env) {
  Addon& addon = Addon::Of(env);
  LogCapture quiet;
  if (!addon.vmlinux) addon.vmlinux.reset(btf__load_vmlinux_btf());
  return addon.vmlinux.get();
}

const btf* NeedVmlinux(Napi::Env env, const char* op) {
  const btf* types = LoadVmlinux(env);
  if (!types) {
    int err = errno;
    Throw(env, {"NO_BTF", op, "vmlinux", "this kernel has no BTF (/sys/kernel/btf/vmlinux): " + ErrnoText(err) +
        "; it needs CONFIG_DEBUG_INFO_BTF", err});
  }
  return types;
}

std::string NameOf(const btf* types, const btf_type* type) {
  const char* name = btf__name_by_offset(types, type->name_off);
  return name && *name ? name : "(anonymous)";
}

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

// C text of a type; with `resolve`, typedefs are replaced by what they stand for.
std::string TypeText(const btf* types, uint32_t id, bool resolve, int depth = 0) {
  if (id == 0) return "void";
  const btf_type* type = btf__type_by_id(types, id);
  if (!type || depth > kDepth) return "?";
  auto inner = [&] { return TypeText(types, type->type, resolve, depth + 1); };
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
      if (text.ends_with(')') && text.find(" (") != std::string::npos) return text.insert(text.find(" (") + 2, "*");
      return text + (text.ends_with('*') ? "*" : " *");
    }
    case BTF_KIND_FUNC_PROTO: {
      std::string text = inner() + " ()(";
      const btf_param* param = btf_params(type);
      for (int i = 0; i < btf_vlen(type); i++)
        text += (i ? ", " : "") + TypeText(types, param[i].type, resolve, depth + 1);
      return text + ")";
    }
    case BTF_KIND_ARRAY: {
      const struct btf_array* array = btf_array(type);
      return TypeText(types, array->type, resolve, depth + 1) + " [" + std::to_string(array->nelems) + "]";
    }
    default:
      return "?";
  }
}

double SizeOf(const btf* types, uint32_t id) {
  int64_t size = id == 0 ? 0 : btf__resolve_size(types, id);
  return size < 0 ? 0 : static_cast<double>(size);
}

Napi::Object TypeObject(Napi::Env env, const btf* types, uint32_t id) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("type", TypeText(types, id, false));
  object.Set("base", TypeText(types, id, true));
  object.Set("sizeBytes", Napi::Number::New(env, SizeOf(types, id)));
  return object;
}

Napi::Value KernelFunction(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto name = StringOf(info[0], "kernelFunction", "name");
  if (!name) return {};
  const btf* types = NeedVmlinux(env, "kernelFunction");
  if (!types) return {};
  int id = btf__find_by_name_kind(types, name->c_str(), BTF_KIND_FUNC);
  if (id < 0) return env.Undefined();
  const btf_type* proto = btf__type_by_id(types, btf__type_by_id(types, static_cast<uint32_t>(id))->type);
  if (!proto || !btf_is_func_proto(proto)) return env.Undefined();
  Napi::Array params = Napi::Array::New(env);
  const btf_param* param = btf_params(proto);
  for (int i = 0; i < btf_vlen(proto); i++) {
    // A nameless void at the end stands for `...`.
    bool variadic = param[i].type == 0 && param[i].name_off == 0;
    Napi::Object object = TypeObject(env, types, param[i].type);
    const char* param_name = btf__name_by_offset(types, param[i].name_off);
    object.Set("name", std::string(param_name ? param_name : ""));
    if (variadic) object.Set("type", "...");
    params.Set(static_cast<uint32_t>(i), object);
  }
  Napi::Object function = Napi::Object::New(env);
  Napi::Object returns = TypeObject(env, types, proto->type);
  function.Set("returns", returns.Get("type"));
  function.Set("returnsBase", returns.Get("base"));
  function.Set("params", params);
  return function;
}

Napi::Value KernelFunctionNames(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const btf* types = NeedVmlinux(env, "kernelFunctionNames");
  if (!types) return {};
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = btf__type_cnt(types), length = 0;
  for (uint32_t id = 1; id < count; id++) {
    const btf_type* type = btf__type_by_id(types, id);
    if (!btf_is_func(type)) continue;
    Napi::HandleScope scope(env);
    names.Set(length++, Napi::String::New(env, btf__name_by_offset(types, type->name_off)));
  }
  return names;
}

Napi::Value HasBtf(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), LoadVmlinux(info.Env()) != nullptr);
}

}  // namespace

void InitBtf(Napi::Env, Napi::Object exports) {
  Export<KernelFunction>(exports, "kernelFunction");
  Export<KernelFunctionNames>(exports, "kernelFunctionNames");
  Export<HasBtf>(exports, "hasBtf");
}

}  // namespace ktrail
