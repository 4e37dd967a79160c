// SPDX-License-Identifier: Apache-2.0
#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>

#include "unpreempted.h"

namespace ktrail {
namespace {

constexpr napi_type_tag kMapTag = {0x6b747261696c0001, 0x8d2f1f5c3a7e4b10};
constexpr uint32_t kMostRoom = 1 << 20;

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

bool IsArray(uint32_t type) {
  return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY || type == BPF_MAP_TYPE_PROG_ARRAY;
}

// Whether the kernel may preempt a thread in an access to a map.
bool preempts = true;

// Runs a system call on elements; 0, or why it failed.
template <typename Call>
int ErrnoOf(Call call) {
  Unpreempted unpreempted(preempts);
  return call() == 0 ? 0 : errno;
}

Napi::Value RealTime(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), Unpreempted(true).is()); }

Napi::Value KernelPreempts(const Napi::CallbackInfo& call) {
  if (!call[0].IsBoolean()) return BadArgument(call.Env(), "kernelPreempts", "yes", "a boolean", Describe(call[0]));
  preempts = call[0].As<Napi::Boolean>().Value();
  return call.Env().Undefined();
}

}  // namespace

void InitMap(Napi::Env env, Napi::Object exports) {
  Handle<BpfMap>::Define(env);
  Export<RealTime>(exports, "realTime");
  Export<KernelPreempts>(exports, "kernelPreempts");
}

Napi::Value MapOfDescriptor(Napi::Env env, int fd, const std::string& name) {
  Fd own = Duplicate(fd);
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  int cpus = own ? libbpf_num_possible_cpus() : -errno;
  if (!own || cpus < 1 || bpf_obj_get_info_by_fd(own.get(), &info, &size)) {
    int err = cpus < 0 ? -cpus : errno;
    return Throw(env, Refused(err, "MAP_FAILED", "map", name, "cannot use map " + Quoted(name)));
  }
  bool per_cpu = IsPerCpu(info.type);
  size_t value_bytes = per_cpu ? (info.value_size + 7) / 8 * 8 * static_cast<size_t>(cpus) : info.value_size;
  Napi::Value wrapped = Wrapped(env, std::make_unique<BpfMap>(name, std::move(own), info, value_bytes));
  if (wrapped.IsEmpty()) return {};
  Napi::Object object = wrapped.As<Napi::Object>();
  object.TypeTag(&kMapTag);
  Napi::Object shape = Napi::Object::New(env);
  shape.Set("name", name);
  shape.Set("keySize", info.key_size);
  shape.Set("valueSize", info.value_size);
  shape.Set("maxEntries", info.max_entries);
  shape.Set("perCpu", per_cpu ? cpus : 1);
  object.DefineProperty(Napi::PropertyDescriptor::Value("info", shape, napi_enumerable));
  return object;
}

const BpfMap* MapOf(Napi::Value value, const char* op, const std::string& what) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kMapTag))
    return BadArgument<const BpfMap*>(value.Env(), op, what, "a BpfMap", Describe(value));
  const Handle<BpfMap>* map = Handle<BpfMap>::Unwrap(value.As<Napi::Object>());
  return map ? map->Open(op) : nullptr;
}

const BpfMap* RingMapOf(Napi::Value value, const char* op) {
  const BpfMap* map = MapOf(value, op, "map");
  if (!map || map->info.type == BPF_MAP_TYPE_RINGBUF) return map;
  const std::string got = "map type " + std::to_string(map->info.type);
  return BadArgument<const BpfMap*>(value.Env(), op, "map " + Quoted(map->name), "a ring buffer", got);
}

Napi::Value BpfMap::Fail(Napi::Env env, const char* op, int err) const {
  Failure failure = Refused(err, "MAP_FAILED", op, name, "map " + Quoted(name) + ": cannot " + op);
  if (err == E2BIG && IsArray(info.type))
    failure.message += "; its last index is " + std::to_string(info.max_entries - 1);
  else if (err == E2BIG)
    failure.message += "; all of its " + std::to_string(info.max_entries) + " entries are taken";
  return Throw(env, failure);
}

std::optional<Bytes> BpfMap::Part(Napi::Value value, const char* op, const char* part, size_t size) const {
  return BytesOf(value, op, std::string(part) + " of map " + Quoted(name), size);
}

Napi::Value BpfMap::Lookup(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto key = Part(call[0], "lookup", "key", info.key_size);
  if (!key) return {};
  auto value = Napi::Buffer<uint8_t>::New(env, value_bytes_);
  if (value.IsEmpty()) return {};
  const int err = ErrnoOf([&] { return bpf_map_lookup_elem(fd.get(), key->data(), value.Data()); });
  if (err == 0) return value;
  return err == ENOENT ? env.Undefined() : Fail(env, "lookup", err);
}

Napi::Value BpfMap::LookupAll(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  if (!call[0].IsArray()) return BadArgument(env, "lookupAll", "keys", "an array", Describe(call[0]));
  const Napi::Array given = call[0].As<Napi::Array>();
  std::vector<uint8_t> keys, values(given.Length() * value_bytes_);
  for (uint32_t i = 0; i < given.Length(); i++) {
    auto key = Part(given.Get(i), "lookupAll", "key", info.key_size);
    if (!key) return {};
    keys.insert(keys.end(), key->begin(), key->end());
  }
  std::vector<int> errs(given.Length());
  ErrnoOf([&] {
    for (size_t i = 0; i < errs.size(); i++) {
      const int err = bpf_map_lookup_elem(fd.get(), &keys[i * info.key_size], &values[i * value_bytes_]);
      errs[i] = err == 0 ? 0 : errno;
    }
    return 0;
  });
  Napi::Array found = Napi::Array::New(env, errs.size());
  for (uint32_t i = 0; i < errs.size(); i++) {
    if (errs[i] && errs[i] != ENOENT) return Fail(env, "lookupAll", errs[i]);
    found.Set(i, errs[i] ? env.Undefined() : Napi::Buffer<uint8_t>::Copy(env, &values[i * value_bytes_], value_bytes_));
  }
  return found;
}

Napi::Value BpfMap::Update(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto key = Part(call[0], "update", "key", info.key_size);
  if (!key) return {};
  auto value = Part(call[1], "update", "value", value_bytes_);
  if (!value) return {};
  if (!call[2].IsUndefined() && !call[2].IsBoolean())
    return BadArgument(env, "update", "exclusive", "a boolean", Describe(call[2]));
  bool exclusive = call[2].IsBoolean() && call[2].As<Napi::Boolean>().Value();
  const uint64_t flags = exclusive ? BPF_NOEXIST : BPF_ANY;
  const int err = ErrnoOf([&] { return bpf_map_update_elem(fd.get(), key->data(), value->data(), flags); });
  if (err && !(exclusive && err == EEXIST)) return Fail(env, "update", err);
  return Napi::Boolean::New(env, err == 0);
}

Napi::Value BpfMap::Delete(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto key = Part(call[0], "delete", "key", info.key_size);
  if (!key) return {};
  const int err = ErrnoOf([&] { return bpf_map_delete_elem(fd.get(), key->data()); });
  if (err && err != ENOENT) return Fail(env, "delete", err);
  return Napi::Boolean::New(env, err == 0);
}

Napi::Value BpfMap::Freeze(const Napi::CallbackInfo& call) {
  if (bpf_map_freeze(fd.get()) == 0) return call.Env().Undefined();
  Failure failure = Refused(errno, "MAP_FAILED", "freeze", name, "map " + Quoted(name) + ": cannot freeze");
  if (failure.err == EBUSY) failure.message += "; it is mapped for writing";
  return Throw(call.Env(), failure);
}

// The kernel's position is a bucket number for hash maps, a key for the others. A hash map hands over whole buckets: so
// a part sees each entry at most once, and there must be room for the largest bucket.
Napi::Value BpfMap::ReadPart(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto room = Uint32Of(call[0], "part", "room", 1, kMostRoom);
  if (!room) return {};
  std::vector<uint8_t> from(info.key_size + 8), to(from.size()), keys, values;
  const bool first = call[1].IsUndefined();
  if (!first) {
    auto given = Part(call[1], "part", "position", from.size());
    if (!given) return {};
    from.assign(given->begin(), given->end());
  }
  for (size_t entries = *room;; entries *= 2) {
    keys.resize(entries * info.key_size);
    values.resize(entries * value_bytes_);
    uint32_t count = static_cast<uint32_t>(entries);
    const int err = ErrnoOf([&] {
      return bpf_map_lookup_batch(fd.get(), first ? nullptr : from.data(), to.data(), keys.data(), values.data(),
                                  &count, nullptr);
    });
    if (err == ENOSPC && entries <= info.max_entries) continue;
    if (err && err != ENOENT) return Fail(env, "read a part", err);
    Napi::Object part = Napi::Object::New(env);
    part.Set("keys", Napi::Buffer<uint8_t>::Copy(env, keys.data(), count * info.key_size));
    part.Set("values", Napi::Buffer<uint8_t>::Copy(env, values.data(), count * value_bytes_));
    part.Set("count", count);
    part.Set("next", err ? env.Undefined() : Napi::Buffer<uint8_t>::Copy(env, to.data(), to.size()));
    return part;
  }
}

}  // namespace ktrail
