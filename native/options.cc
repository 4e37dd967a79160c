// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <functional>

#include "value.h"

namespace ktrail {
namespace {

constexpr char kOp[] = "openObject";

bool ParseProgram(Napi::Value value, const std::string& what, ObjectPlan& plan) {
  if (!value.IsObject()) {
    BadArgument(value.Env(), kOp, what, "an object with name and kind", Describe(value));
    return false;
  }
  Napi::Object spec = value.As<Napi::Object>();
  auto name = StringOf(Property(spec, "name"), kOp, what + ".name");
  if (!name) return false;
  auto kind_name = StringOf(Property(spec, "kind"), kOp, what + ".kind");
  if (!kind_name) return false;
  const Kind* kind = FindKind(*kind_name);
  if (!kind) {
    std::string known;
    for (const Kind& each : kKinds) known += (known.empty() ? "" : ", ") + std::string(each.name);
    BadArgument(value.Env(), kOp, what + ".kind", "one of " + known, Describe(Property(spec, "kind")));
    return false;
  }
  std::string target;
  if (Napi::Value given = Property(spec, "target"); !given.IsUndefined()) {
    auto text = StringOf(given, kOp, what + ".target");
    if (!text) return false;
    target = *text;
  }
  if (!target.empty() && !kind->by_target) {
    BadArgument(value.Env(), kOp, what + ".target", "none for kind " + *kind_name + " (give symbols to attach)", "\"" +
        target + "\"");
    return false;
  }
  for (const ProgramPlan& other : plan.programs) {
    if (other.name == *name) {
      BadArgument(value.Env(), kOp, what + ".name", "each program once", "\"" + *name + "\" again");
      return false;
    }
  }
  plan.programs.push_back({*name, target, kind});
  return !value.Env().IsExceptionPending();
}

using Each = std::function<bool(const std::string& name, Napi::Value value, const std::string& what)>;

// Each own entry of an optional record.
bool ForEach(Napi::Object options, const char* key, const Each& each) {
  Napi::Env env = options.Env();
  Napi::Value value = Property(options, key);
  if (env.IsExceptionPending()) return false;
  if (value.IsUndefined()) return true;
  if (!value.IsObject() || value.IsArray()) {
    BadArgument(env, kOp, key, "an object by name", Describe(value));
    return false;
  }
  Napi::Object record = value.As<Napi::Object>();
  Napi::Array names = record.GetPropertyNames();
  if (env.IsExceptionPending()) return false;
  for (uint32_t i = 0; i < names.Length(); i++) {
    std::string name = Napi::Value(names.Get(i)).As<Napi::String>().Utf8Value();
    Napi::Value item = Property(record, name.c_str());
    if (env.IsExceptionPending() || !each(name, item, std::string(key) + "." + name)) return false;
  }
  return true;
}

}  // namespace

bool ParseOptions(Napi::Value value, ObjectPlan& plan) {
  Napi::Env env = value.Env();
  if (!value.IsObject()) {
    BadArgument(env, kOp, "options", "an object", Describe(value));
    return false;
  }
  Napi::Object options = value.As<Napi::Object>();
  Napi::Value programs = Property(options, "programs");
  if (!programs.IsArray()) {
    BadArgument(env, kOp, "programs", "an array", Describe(programs));
    return false;
  }
  Napi::Array list = programs.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::Value item = list.Get(i);
    if (env.IsExceptionPending() || !ParseProgram(item, "programs[" + std::to_string(i) + "]", plan)) return false;
  }
  return ForEach(options, "constants", [&](const std::string& name, Napi::Value item, const std::string& what) {
           auto bytes = BytesOf(item, kOp, what);
           if (bytes) plan.constants.push_back({name, {bytes->begin(), bytes->end()}});
           return bytes.has_value();
         }) &&
         ForEach(options, "sharedMaps", [&](const std::string& name, Napi::Value item, const std::string& what) {
           const BpfMap* map = BpfMap::From(item, kOp, what);
           if (map) plan.shared_maps.push_back({name, map});
           return map != nullptr;
         }) &&
         ForEach(options, "mapSizes", [&](const std::string& name, Napi::Value item, const std::string& what) {
           auto entries = Uint32Of(item, kOp, what, 1, UINT32_MAX);
           if (entries) plan.map_sizes.push_back({name, *entries});
           return entries.has_value();
         }) &&
         ForEach(options, "mapFlags", [&](const std::string& name, Napi::Value item, const std::string& what) {
           auto flags = Uint32Of(item, kOp, what, 0, UINT32_MAX);
           if (flags) plan.map_flags.push_back({name, *flags});
           return flags.has_value();
         });
}

}  // namespace ktrail
