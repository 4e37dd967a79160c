// SPDX-License-Identifier: Apache-2.0
#include "plan.h"

#include <linux/bpf.h>

#include <cerrno>

#include "../border/arguments.h"

namespace ktrail {
namespace {

constexpr char kOp[] = "openObject";

// linux/bpf.h of 6.10; libbpf 1.1 does not know it.
constexpr int kTraceKprobeSession = 56;

constexpr Kind kKinds[] = {
    {"kprobe.multi", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, true, false, false},
    {"kretprobe.multi", BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, true, true, false},
    {"kprobe.session", BPF_PROG_TYPE_KPROBE, kTraceKprobeSession, true, false, false},
    {"kprobe", BPF_PROG_TYPE_KPROBE, 0, false, false, false},
    {"kretprobe", BPF_PROG_TYPE_KPROBE, 0, false, true, false},
    {"fentry", BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, false, false, true},
    {"fexit", BPF_PROG_TYPE_TRACING, BPF_TRACE_FEXIT, false, true, true},
    {"fmod_ret", BPF_PROG_TYPE_TRACING, BPF_MODIFY_RETURN, false, false, true},
    {"tp_btf", BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, false, false, true},
    {"tracepoint", BPF_PROG_TYPE_TRACEPOINT, 0, false, false, false},
    {"raw_tracepoint", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, false, false, false},
    {"run", BPF_PROG_TYPE_RAW_TRACEPOINT, 0, false, false, false},
};

const Kind* KindOf(Napi::Value value, const std::string& what) {
  auto name = StringOf(value, kOp, what);
  if (!name) return nullptr;
  std::string known;
  for (const Kind& kind : kKinds) {
    if (kind.name == *name) return &kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  return BadArgument<const Kind*>(value.Env(), kOp, what, "one of " + known, Describe(value));
}

bool ParseProgram(Napi::Value value, const std::string& what, ObjectPlan& plan) {
  Napi::Env env = value.Env();
  if (!value.IsObject()) return BadArgument<bool>(env, kOp, what, "an object with name and kind", Describe(value));
  Napi::Object spec = value.As<Napi::Object>();
  auto name = StringOf(Property(spec, "name"), kOp, what + ".name");
  if (!name) return false;
  const Kind* kind = KindOf(Property(spec, "kind"), what + ".kind");
  if (!kind) return false;
  std::string target;
  if (Napi::Value given = Property(spec, "target"); !given.IsUndefined()) {
    auto text = StringOf(given, kOp, what + ".target");
    if (!text) return false;
    target = *text;
  }
  if (!target.empty() && !kind->by_target) {
    std::string expected = "none for kind " + std::string(kind->name) + " (give symbols to attach)";
    return BadArgument<bool>(env, kOp, what + ".target", expected, Quoted(target));
  }
  for (const ProgramPlan& other : plan.programs)
    if (other.name == *name)
      return BadArgument<bool>(env, kOp, what + ".name", "each program once", Quoted(*name) + " again");
  plan.programs.push_back({*name, target, kind});
  return !env.IsExceptionPending();
}

// Each own entry of an optional record; `parse` returns nothing after throwing.
template <typename Value, typename Parse>
bool ParseRecord(Napi::Object options, const char* key, ByName<Value>& into, Parse parse) {
  Napi::Env env = options.Env();
  Napi::Value value = Property(options, key);
  if (env.IsExceptionPending()) return false;
  if (value.IsUndefined()) return true;
  if (!value.IsObject() || value.IsArray())
    return BadArgument<bool>(env, kOp, key, "an object by name", Describe(value));
  Napi::Object record = value.As<Napi::Object>();
  Napi::Array names = record.GetPropertyNames();
  if (names.IsEmpty()) return false;
  for (uint32_t i = 0; i < names.Length(); i++) {
    Napi::Value own = Property(names, i);
    if (!own.IsString()) return false;
    std::string name = own.As<Napi::String>().Utf8Value();
    Napi::Value item = Property(record, name.c_str());
    if (env.IsExceptionPending()) return false;
    auto parsed = parse(item, std::string(key) + "." + name);
    if (!parsed) return false;
    into.emplace_back(std::move(name), std::move(*parsed));
  }
  return true;
}

}  // namespace

bool ParseOptions(Napi::Value value, ObjectPlan& plan) {
  Napi::Env env = value.Env();
  if (!value.IsObject()) return BadArgument<bool>(env, kOp, "options", "an object", Describe(value));
  Napi::Object options = value.As<Napi::Object>();
  Napi::Value programs = Property(options, "programs");
  if (!programs.IsArray()) return BadArgument<bool>(env, kOp, "programs", "an array", Describe(programs));
  Napi::Array list = programs.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::Value item = Property(list, i);
    if (env.IsExceptionPending() || !ParseProgram(item, "programs[" + std::to_string(i) + "]", plan)) return false;
  }
  auto bytes = [](Napi::Value item, const std::string& what) {
    auto view = BytesOf(item, kOp, what);
    return view ? std::optional(std::vector<uint8_t>(view->begin(), view->end())) : std::nullopt;
  };
  auto map = [](Napi::Value item, const std::string& what) -> std::optional<SharedMap> {
    const BpfMap* found = MapOf(item, kOp, what);
    if (!found) return std::nullopt;
    SharedMap shared{Duplicate(found->fd.get()), found->info};
    if (shared.fd) return shared;
    Throw(item.Env(), Refused(errno, "MAP_FAILED", kOp, found->name, "cannot share map " + Quoted(found->name)));
    return std::nullopt;
  };
  auto number_from = [](uint32_t low) {
    return [low](Napi::Value item, const std::string& what) { return Uint32Of(item, kOp, what, low, UINT32_MAX); };
  };
  return ParseRecord(options, "constants", plan.constants, bytes) &&
         ParseRecord(options, "sharedMaps", plan.shared_maps, map) &&
         ParseRecord(options, "mapSizes", plan.map_sizes, number_from(1)) &&
         ParseRecord(options, "valueSizes", plan.value_sizes, number_from(1)) &&
         ParseRecord(options, "mapFlags", plan.map_flags, number_from(0));
}

}  // namespace ktrail
