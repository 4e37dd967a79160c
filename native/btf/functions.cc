// SPDX-License-Identifier: Apache-2.0
#include <napi.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "../border/arguments.h"
#include "../border/promise.h"
#include "btf.h"

namespace ktrail {
namespace {

constexpr char kTracepoint[] = "btf_trace_";

struct Param {
  std::string name;
  Type type;
};

// KernelFunction of types.ts.
struct Function {
  Type returns;
  std::vector<Param> params;
  std::string module;
};

// Whether the type is a function or, for a raw tracepoint, the typedef of a pointer to one: btf_trace_NAME (include/linux/tracepoint.h).
bool IsFunction(const btf* types, const btf_type* type) {
  return btf_is_func(type) || (btf_is_typedef(type) && NameOf(types, type).starts_with(kTracepoint));
}

std::optional<Function> FunctionOf(const btf* types, const btf_type* type, std::string module) {
  const btf_type* proto = btf__type_by_id(types, type->type);
  if (proto && btf_is_typedef(type) && btf_is_ptr(proto)) proto = btf__type_by_id(types, proto->type);
  if (!proto || !btf_is_func_proto(proto)) return std::nullopt;
  Function function{TypeOf(types, proto->type), {}, std::move(module)};
  const btf_param* param = btf_params(proto);
  for (int i = 0; i < btf_vlen(proto); i++) {
    const char* param_name = btf__name_by_offset(types, param[i].name_off);
    Param made{param_name ? param_name : "", TypeOf(types, param[i].type)};
    // A nameless void at the end stands for `...`.
    if (param[i].type == 0 && param[i].name_off == 0) made.type.text = "...";
    function.params.push_back(std::move(made));
  }
  return function;
}

Napi::Object FunctionObject(Napi::Env env, const Function& function) {
  Napi::Array params = Napi::Array::New(env);
  for (const Param& param : function.params) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("name", param.name);
    object.Set("type", param.type.text);
    object.Set("base", param.type.base);
    object.Set("sizeBytes", Napi::Number::New(env, param.type.size_bytes));
    params.Set(params.Length(), object);
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("returns", function.returns.text);
  object.Set("returnsBase", function.returns.base);
  object.Set("params", params);
  if (!function.module.empty()) object.Set("module", function.module);
  return object;
}

using Functions = std::vector<std::pair<std::string, Function>>;

// Moves the functions that loaded modules have from `missing` to `found`.
void FindInModules(btf* vmlinux, std::unordered_set<std::string>& missing, Functions& found) {
  if (missing.empty()) return;
  uint32_t first = btf__type_cnt(vmlinux);
  EachModule(vmlinux, [&](const btf* types, const std::string& module) {
    uint32_t count = btf__type_cnt(types);
    for (uint32_t id = first; id < count; id++) {
      const btf_type* type = btf__type_by_id(types, id);
      if (!IsFunction(types, type)) continue;
      auto name = missing.find(NameOf(types, type));
      if (name == missing.end()) continue;
      if (auto function = FunctionOf(types, type, module)) found.emplace_back(*name, std::move(*function));
      missing.erase(name);
    }
    return !missing.empty();
  });
}

Napi::Value KernelFunctions(const Napi::CallbackInfo& info) {
  auto names = StringsOf(info[0], "kernelFunctions", "names");
  if (!names) return {};
  auto find = [names = std::move(*names)]() -> Result<Functions> {
    auto types = Vmlinux("kernelFunctions");
    if (Failure* failure = std::get_if<Failure>(&types)) return std::move(*failure);
    btf* vmlinux = std::get<0>(types);
    Functions found;
    std::unordered_set<std::string> missing;
    for (const std::string& name : names) {
      const bool traced = name.starts_with(kTracepoint);
      int id = btf__find_by_name_kind(vmlinux, name.c_str(), traced ? BTF_KIND_TYPEDEF : BTF_KIND_FUNC);
      const btf_type* type = id < 0 ? nullptr : btf__type_by_id(vmlinux, static_cast<uint32_t>(id));
      auto function = type ? FunctionOf(vmlinux, type, "") : std::nullopt;
      if (function) found.emplace_back(name, std::move(*function));
      else missing.insert(name);
    }
    FindInModules(vmlinux, missing, found);
    return found;
  };
  return Promised(info.Env(), std::move(find), [](Napi::Env env, const Functions& found) {
    return Pairs(env, found, FunctionObject);
  });
}

// One name a line: 60,000 strings made one by one would hold up the event loop.
Napi::Value KernelFunctionNames(const Napi::CallbackInfo& info) {
  auto list = []() -> Result<std::string> {
    auto types = Vmlinux("kernelFunctionNames");
    if (Failure* failure = std::get_if<Failure>(&types)) return std::move(*failure);
    const btf* vmlinux = std::get<0>(types);
    std::string names;
    uint32_t count = btf__type_cnt(vmlinux);
    for (uint32_t id = 1; id < count; id++) {
      const btf_type* type = btf__type_by_id(vmlinux, id);
      if (!btf_is_func(type)) continue;
      if (!names.empty()) names += '\n';
      names += btf__name_by_offset(vmlinux, type->name_off);
    }
    return names;
  };
  return Promised(info.Env(), list, [](Napi::Env env, const std::string& names) {
    return Napi::String::New(env, names);
  });
}

Napi::Value HasBtf(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), access(kBtfFile, R_OK) == 0); }

}  // namespace

void InitBtf(Napi::Env, Napi::Object exports) {
  Export<Promising<KernelFunctions>>(exports, "kernelFunctions");
  Export<KernelFunctionNames>(exports, "kernelFunctionNames");
  Export<HasBtf>(exports, "hasBtf");
}

}  // namespace ktrail
