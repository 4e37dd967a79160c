// SPDX-License-Identifier: Apache-2.0
#include "object.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>

#include "constants.h"
#include "link.h"
#include "value.h"

namespace ktrail {
namespace {

constexpr char kOp[] = "openObject";

// Only the listed programs are loaded: the others may need what this kernel lacks.
std::optional<Failure> SelectPrograms(bpf_object* object, const ObjectPlan& plan, const std::string& path,
                                      const LogCapture& log) {
  bpf_program* each = nullptr;
  bpf_object__for_each_program(each, object) bpf_program__set_autoload(each, false);
  for (const ProgramPlan& wanted : plan.programs) {
    bpf_program* program = bpf_object__find_program_by_name(object, wanted.name.c_str());
    if (!program) return Failure{"NO_PROGRAM", kOp, wanted.name, "no program " + Quoted(wanted.name) + " in " + path};
    bpf_program__set_autoload(program, true);
    bpf_program__set_type(program, wanted.kind->type);
    bpf_program__set_expected_attach_type(program, static_cast<bpf_attach_type>(wanted.kind->expected));
    if (wanted.target.empty()) {
      // SEC("fexit/NAME") names its target itself.
      if (!wanted.kind->by_target || strchr(bpf_program__section_name(program), '/')) continue;
      return Failure{"BAD_ARGUMENT", kOp, wanted.name,
                     "program " + Quoted(wanted.name) + ": expected a target for kind " +
                         std::string(wanted.kind->name) + ", got none"};
    }
    int err = -bpf_program__set_attach_target(program, 0, wanted.target.c_str());
    if (err == 0) continue;
    bool no_btf = log.text().find("vmlinux BTF") != std::string::npos;
    bool no_symbol = err == ESRCH || err == ENOENT;
    std::string what = "cannot bind program " + Quoted(wanted.name) + " to " + std::string(wanted.kind->name) + " " +
                       Quoted(wanted.target) + ": ";
    if (no_btf)
      return Failure{"NO_BTF", kOp, wanted.target, what + "this kernel has no BTF (/sys/kernel/btf/vmlinux)", err,
          log.text()};
    if (no_symbol)
      return Failure{"NO_SYMBOL", kOp, wanted.target, what + "no such function in the kernel's BTF", err, log.text()};
    return Failure{CodeFor(err, "ATTACH_FAILED"), kOp, wanted.target, what + ErrnoText(err), err, log.text()};
  }
  return std::nullopt;
}

std::string Shape(uint32_t type, uint32_t key, uint32_t value) {
  const char* name = libbpf_bpf_map_type_str(static_cast<bpf_map_type>(type));
  return std::string(name ? name : "unknown") + " of " + std::to_string(key) + "/" + std::to_string(value) + " bytes";
}

std::optional<Failure> NoMap(const std::string& name, const std::string& path) {
  return Failure{"NO_MAP", kOp, name, "no map " + Quoted(name) + " in " + path};
}

std::optional<Failure> SetMaps(bpf_object* object, const ObjectPlan& plan, const std::string& path) {
  for (const MapSizePlan& size : plan.map_sizes) {
    bpf_map* map = bpf_object__find_map_by_name(object, size.name.c_str());
    if (!map) return NoMap(size.name, path);
    int err = -bpf_map__set_max_entries(map, size.entries);
    if (err) return Failure{"MAP_FAILED", kOp, size.name, "cannot size map " + Quoted(size.name) + ": " +
        ErrnoText(err), err};
  }
  for (const MapFlagsPlan& flags : plan.map_flags) {
    bpf_map* map = bpf_object__find_map_by_name(object, flags.name.c_str());
    if (!map) return NoMap(flags.name, path);
    int err = -bpf_map__set_map_flags(map, flags.flags);
    if (err) return Failure{"MAP_FAILED", kOp, flags.name, "cannot set flags of map " + Quoted(flags.name) + ": " +
        ErrnoText(err), err};
  }
  for (const SharedMapPlan& shared : plan.shared_maps) {
    bpf_map* map = bpf_object__find_map_by_name(object, shared.name.c_str());
    if (!map) return NoMap(shared.name, path);
    // libbpf would take any descriptor: the program would then read another map's bytes as its own.
    const bpf_map_info& given = shared.map->kernel_info();
    std::string want = Shape(bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map));
    std::string have = Shape(given.type, given.key_size, given.value_size);
    if (want != have) {
      return Failure{"BAD_ARGUMENT", kOp, shared.name,
                     "shared map " + Quoted(shared.name) + " of " + path + ": expected " + want + ", got " + have};
    }
    int err = -bpf_map__reuse_fd(map, shared.map->fd());
    if (err) return Failure{"MAP_FAILED", kOp, shared.name, "cannot share map " + Quoted(shared.name) + ": " +
        ErrnoText(err), err};
  }
  return std::nullopt;
}

// libbpf 1.1 frees the kernel's BTF, with a descriptor for each module, only at the end of a load, not in close: so an
// object that will not be loaded is loaded without its contents.
void Abandon(bpf_object* object) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) bpf_program__set_autoload(program, false);
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) bpf_map__set_autocreate(map, false);
  bpf_object__load(object);
}

std::optional<Failure> Prepare(bpf_object* object, const ObjectPlan& plan, const std::string& path,
    const LogCapture& log) {
  if (auto failure = SelectPrograms(object, plan, path, log)) return failure;
  for (const ConstantPlan& constant : plan.constants)
    if (auto failure = SetConstant(object, constant, path)) return failure;
  return SetMaps(object, plan, path);
}

// Opens, prepares and loads; all or nothing.
std::optional<Failure> Load(const std::string& path, const ObjectPlan& plan, ObjectPtr& loaded) {
  LogCapture log;
  ObjectPtr object(bpf_object__open_file(path.c_str(), nullptr));
  if (!object) {
    int err = errno;
    return Failure{CodeFor(err, "OPEN_FAILED"), kOp, path, "cannot open BPF object " + path + ": " + ErrnoText(err),
        err, log.text()};
  }
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

}  // namespace

Napi::Function BpfObject::Define(Napi::Env env) {
  return DefineClass(env, "BpfObject",
                     {InstanceMethod<&BpfObject::Map>("map"), InstanceMethod<&BpfObject::Attach>("attach"),
                      InstanceMethod<&BpfObject::CloseCall>("close"),
                      InstanceMethod<&BpfObject::CloseCall>(DisposeSymbol(env))});
}

void InitObject(Napi::Env env, Napi::Object exports) {
  Addon::Of(env).object_class = Napi::Persistent(BpfObject::Define(env));
  exports.Set("openObject", Napi::Function::New<BpfObject::Open>(env, "openObject"));
}

Napi::Value BpfObject::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto path = StringOf(info[0], kOp, "path");
  ObjectPlan plan;
  if (!path || !ParseOptions(info[1], plan)) return {};
  ObjectPtr loaded;
  if (auto failure = Load(*path, plan, loaded)) {
    Throw(env, *failure);
    return {};
  }
  Napi::Object object = Addon::Of(env).object_class.New({});
  if (env.IsExceptionPending()) return {};
  BpfObject* self = Unwrap(object);
  self->object_ = std::move(loaded);
  self->path_ = *path;
  self->programs_ = std::move(plan.programs);
  self->Register(env);
  return object;
}

void BpfObject::Close() {
  Unregister();
  object_.reset();
}

bool BpfObject::IsOpen(Napi::Env env, const char* op) const {
  if (object_) return true;
  Throw(env, {"CLOSED", op, path_, std::string(op) + ": object " + path_ + " is closed"});
  return false;
}

Napi::Value BpfObject::Map(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "map")) return {};
  auto name = StringOf(info[0], "map", "name");
  if (!name) return {};
  bpf_map* map = bpf_object__find_map_by_name(object_.get(), name->c_str());
  if (map) return BpfMap::Create(env, bpf_map__fd(map), *name);
  Throw(env, {"NO_MAP", "map", *name, "no map " + Quoted(*name) + " in " + path_});
  return {};
}

Napi::Value BpfObject::Attach(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "attach")) return {};
  auto name = StringOf(info[0], "attach", "program");
  if (!name) return {};
  std::vector<std::string> symbols;
  if (!info[1].IsUndefined()) {
    auto given = StringsOf(info[1], "attach", "symbols");
    if (!given) return {};
    symbols = std::move(*given);
  }
  for (const ProgramPlan& plan : programs_) {
    if (plan.name != *name) continue;
    bpf_program* program = bpf_object__find_program_by_name(object_.get(), name->c_str());
    return Link::Create(env, program, plan, symbols);
  }
  Throw(env, {"NO_PROGRAM", "attach", *name, "program " + Quoted(*name) + " of " + path_ +
      " was not loaded: list it in programs"});
  return {};
}

}  // namespace ktrail
