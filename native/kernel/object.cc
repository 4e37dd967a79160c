// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <cerrno>

#include "../border/arguments.h"
#include "../border/handle.h"
#include "link.h"
#include "plan.h"

namespace ktrail {
namespace {

constexpr char kOp[] = "openObject";

struct ObjectFree {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using ObjectPtr = std::unique_ptr<bpf_object, ObjectFree>;

// A loaded BPF object file.
struct BpfObject {
  Napi::Value Map(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);

  static constexpr char kClass[] = "BpfObject", kWhat[] = "object";
  static constexpr Method<BpfObject> kMethods[] = {{"map", &BpfObject::Map}, {"attach", &BpfObject::Attach}};
  std::string name;  // its path
  ObjectPtr object;
  std::vector<ProgramPlan> programs;
};

// libbpf 1.1 frees the kernel's BTF, with a descriptor for each module, only at the end of a load, not in close: so an
// object that will not be loaded is loaded without its contents.
void Abandon(bpf_object* object) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) bpf_map__set_autocreate(map, false);
  bpf_object__load(object);
}

// Opens, prepares and loads; all or nothing.
std::optional<Failure> Load(const std::string& path, const ObjectPlan& plan, ObjectPtr& loaded) {
  LogCapture log;
  ObjectPtr object(bpf_object__open_file(path.c_str(), nullptr));
  if (!object) return Refused(errno, "OPEN_FAILED", kOp, path, "cannot open BPF object " + path, log.text());
  if (auto failure = Prepare(object.get(), plan, path, log)) {
    Abandon(object.get());
    return failure;
  }
  int err = -bpf_object__load(object.get());
  // errors.ts reads the program, the refused instruction or the map out of the log.
  if (err) return Failure{"LOAD_REFUSED", kOp, path, "cannot load " + path + ": " + ErrnoText(err), err, log.text()};
  loaded = std::move(object);
  return std::nullopt;
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto path = StringOf(info[0], kOp, "path");
  ObjectPlan plan;
  if (!path || !ParseOptions(info[1], plan)) return {};
  ObjectPtr loaded;
  if (auto failure = Load(*path, plan, loaded)) return Throw(env, *failure);
  return Wrapped(env, std::make_unique<BpfObject>(*path, std::move(loaded), std::move(plan.programs)));
}

Napi::Value BpfObject::Map(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto wanted = StringOf(info[0], "map", "name");
  if (!wanted) return {};
  bpf_map* map = bpf_object__find_map_by_name(object.get(), wanted->c_str());
  if (map) return MapOfDescriptor(env, bpf_map__fd(map), *wanted);
  return Throw(env, {"NO_MAP", "map", *wanted, "no map " + Quoted(*wanted) + " in " + name});
}

Napi::Value BpfObject::Attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto wanted = StringOf(info[0], "attach", "program");
  if (!wanted) return {};
  std::vector<std::string> symbols;
  if (!info[1].IsUndefined()) {
    auto given = StringsOf(info[1], "attach", "symbols");
    if (!given) return {};
    symbols = std::move(*given);
  }
  for (const ProgramPlan& plan : programs) {
    if (plan.name != *wanted) continue;
    bpf_program* program = bpf_object__find_program_by_name(object.get(), wanted->c_str());
    return Attached(env, program, plan, symbols);
  }
  return Throw(env, {"NO_PROGRAM", "attach", *wanted, "program " + Quoted(*wanted) + " of " + name +
      " was not loaded: list it in programs"});
}

}  // namespace

void InitObject(Napi::Env env, Napi::Object exports) {
  Handle<BpfObject>::Define(env);
  InitMap(env);
  InitLink(env, exports);
  Export<Open>(exports, "openObject");
}

}  // namespace ktrail
