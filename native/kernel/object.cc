// SPDX-License-Identifier: Apache-2.0
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "../border/arguments.h"
#include "../border/handle.h"
#include "../trim/trim.h"
#include "link.h"
#include "plan.h"

namespace ktrail {
namespace {

constexpr char kOp[] = "openObject";

using ObjectPtr = std::unique_ptr<bpf_object, Free<bpf_object__close>>;

// A loaded BPF object file.
struct BpfObject {
  Napi::Value Map(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);
  Napi::Value Put(const Napi::CallbackInfo& info);
  Napi::Value Run(const Napi::CallbackInfo& info);
  Napi::Value Memory(const Napi::CallbackInfo& info);
  const ProgramPlan* Loaded(Napi::Env env, const char* op, const std::string& program) const;

  static constexpr char kClass[] = "BpfObject", kWhat[] = "object";
  static constexpr Method<BpfObject> kMethods[] = {
      {"map", &BpfObject::Map}, {"attach", &BpfObject::Attach, true}, {"put", &BpfObject::Put},
      {"run", &BpfObject::Run}, {"memory", &BpfObject::Memory}};
  static constexpr bool kSlow = true;
  std::string name;  // path of the object
  std::shared_ptr<bpf_object> object;  // shared with attachments that are not made yet
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
Result<ObjectPtr> Load(const std::string& path, const ObjectPlan& plan) {
  LogCapture log;
  NeededTypes types(kOp);
  bpf_object_open_opts options{};
  options.sz = sizeof(options);
  options.btf_custom_path = types.path();
  ObjectPtr object(bpf_object__open_file(path.c_str(), &options));
  if (!object) return Refused(errno, "OPEN_FAILED", kOp, path, "cannot open BPF object " + path, log.text());
  if (auto failure = Prepare(object.get(), plan, types, path, log)) {
    Abandon(object.get());
    return *failure;
  }
  int err = -LoadTrimmed(object.get());
  // errors.ts reads the program, the refused instruction or the map out of the log.
  if (err) return Failure{"LOAD_REFUSED", kOp, path, "cannot load " + path + ": " + ErrnoText(err), err, log.text()};
  return object;
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto path = StringOf(info[0], kOp, "path");
  ObjectPlan plan;
  if (!path || !ParseOptions(info[1], plan)) return {};
  auto load = [path = *path, plan = std::move(plan)]() -> Result<std::unique_ptr<BpfObject>> {
    auto loaded = Load(path, plan);
    if (Failure* failure = std::get_if<Failure>(&loaded)) return std::move(*failure);
    return std::make_unique<BpfObject>(path, std::get<ObjectPtr>(std::move(loaded)), plan.programs);
  };
  return Promised(env, std::move(load), [](Napi::Env env, auto object) { return Wrapped(env, std::move(object)); });
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
  const ProgramPlan* plan = Loaded(env, "attach", *wanted);
  if (!plan || !CheckSymbols(env, *plan, symbols)) return {};
  auto attach = [object = object, plan = *plan, symbols = std::move(symbols)] {
    return ktrail::Attach(bpf_object__find_program_by_name(object.get(), plan.name.c_str()), plan, symbols);
  };
  return Promised(env, std::move(attach), WrappedLink);
}

Napi::Value BpfObject::Put(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const BpfMap* map = MapOf(info[0], "put", "map");
  if (!map) return {};
  if (map->info.type != BPF_MAP_TYPE_PROG_ARRAY) {
    return BadArgument(env, "put", "map " + Quoted(map->name), "a program array", "map type " +
        std::to_string(map->info.type));
  }
  auto index = Uint32Of(info[1], "put", "index in map " + Quoted(map->name), 0, map->info.max_entries - 1);
  if (!index) return {};
  auto wanted = StringOf(info[2], "put", "program");
  if (!wanted || !Loaded(env, "put", *wanted)) return {};
  int program = bpf_program__fd(bpf_object__find_program_by_name(object.get(), wanted->c_str()));
  if (bpf_map_update_elem(map->fd.get(), &*index, &program, BPF_ANY) == 0) return env.Undefined();
  Failure failure = Refused(errno, "MAP_FAILED", "put", *wanted, "cannot put program " + Quoted(*wanted) + " into map " +
      Quoted(map->name));
  // bpf_prog_map_compatible: the first program that uses a map, or is put into it, decides.
  if (failure.err == EINVAL)
    failure.message += "; its type, attach kind or target differs from that of the programs that use this map";
  return Throw(env, failure);
}

Napi::Value BpfObject::Run(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto wanted = StringOf(info[0], "run", "program");
  if (!wanted) return {};
  const ProgramPlan* plan = Loaded(env, "run", *wanted);
  if (!plan) return {};
  if (plan->kind->type != BPF_PROG_TYPE_RAW_TRACEPOINT)
    return BadArgument(env, "run", "program " + Quoted(*wanted), "kind run", std::string(plan->kind->name));
  // The kernel requires the context of any raw tracepoint: up to twelve arguments (MAX_BPF_FUNC_ARGS).
  uint64_t arguments[12] = {};
  if (info.Length() - 1 > std::size(arguments))
    return BadArgument(env, "run", "arguments of program " + Quoted(*wanted), "at most 12", std::to_string(info.Length() - 1));
  for (size_t i = 1; i < info.Length(); i++) {
    bool lossless = true;
    if (info[i].IsBigInt()) {
      arguments[i - 1] = info[i].As<Napi::BigInt>().Uint64Value(&lossless);
      if (lossless) continue;
      return BadArgument(env, "run", "argument of program " + Quoted(*wanted), "64 bits without a sign", "another number");
    }
    auto number = Uint32Of(info[i], "run", "argument of program " + Quoted(*wanted), 0, UINT32_MAX);
    if (!number) return {};
    arguments[i - 1] = *number;
  }
  bpf_test_run_opts options{};
  options.sz = sizeof(options);
  options.ctx_in = arguments;
  options.ctx_size_in = sizeof(arguments);
  int program = bpf_program__fd(bpf_object__find_program_by_name(object.get(), wanted->c_str()));
  if (bpf_prog_test_run_opts(program, &options) == 0) return Napi::Number::New(env, options.retval);
  return Throw(env, Refused(errno, "UNSUPPORTED", "run", *wanted, "cannot run program " + Quoted(*wanted)));
}

// Bytes that the kernel has reserved for a map or program; 0 where procfs does not have them.
uint64_t Reserved(int fd) {
  constexpr std::string_view kKey = "memlock:";
  std::ifstream info("/proc/self/fdinfo/" + std::to_string(fd));
  for (std::string line; std::getline(info, line);)
    if (line.compare(0, kKey.size(), kKey) == 0) return strtoull(line.c_str() + kKey.size(), nullptr, 10);
  return 0;
}

Napi::Value BpfObject::Memory(const Napi::CallbackInfo& info) {
  auto others = StringsOf(info[0], "memory", "others");
  if (!others) return {};
  uint64_t bytes = 0;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object.get()) {
    if (std::find(others->begin(), others->end(), bpf_map__name(map)) == others->end()) bytes += Reserved(bpf_map__fd(map));
  }
  for (const ProgramPlan& plan : programs)
    bytes += Reserved(bpf_program__fd(bpf_object__find_program_by_name(object.get(), plan.name.c_str())));
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

// The plan by which a program was loaded; nullptr after throwing NO_PROGRAM.
const ProgramPlan* BpfObject::Loaded(Napi::Env env, const char* op, const std::string& program) const {
  for (const ProgramPlan& plan : programs)
    if (plan.name == program) return &plan;
  Throw(env, {"NO_PROGRAM", op, program, "program " + Quoted(program) + " of " + name +
      " was not loaded: list it in programs"});
  return nullptr;
}

// The library that is loaded, which may be newer than the one of the build.
Napi::Value LibbpfVersion(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), libbpf_version_string()); }

}  // namespace

void InitObject(Napi::Env env, Napi::Object exports) {
  Handle<BpfObject>::Define(env);
  InitTrim();
  InitMap(env, exports);
  InitLink(env, exports);
  Export<Promising<Open>>(exports, "openObject");
  Export<LibbpfVersion>(exports, "libbpfVersion");
}

}  // namespace ktrail
