// SPDX-License-Identifier: Apache-2.0
#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

namespace ktrail {
namespace {

constexpr napi_type_tag kMapTag = {0x6b747261696c0001, 0x8d2f1f5c3a7e4b10};
constexpr size_t kBatchBytes = 1 << 20;  // per system call: few calls for a full table, no large spike

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
         type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

// The map or the kernel has no such batch operation: 524 is ENOTSUPP, which bpf(2) leaks to user space.
bool NoBatch(int err) { return err == EINVAL || err == EOPNOTSUPP || err == 524; }

}  // namespace

void InitMap(Napi::Env env) { Handle<BpfMap>::Define(env); }

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
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kMapTag)) {
    BadArgument(value.Env(), op, what, "a BpfMap", Describe(value));
    return nullptr;
  }
  return Handle<BpfMap>::Unwrap(value.As<Napi::Object>())->Open(op);
}

const BpfMap* RingMapOf(Napi::Value value, const char* op) {
  const BpfMap* map = MapOf(value, op, "map");
  if (!map || map->info.type == BPF_MAP_TYPE_RINGBUF) return map;
  BadArgument(value.Env(), op, "map " + Quoted(map->name), "a ring buffer", "map type " +
      std::to_string(map->info.type));
  return nullptr;
}

Napi::Value BpfMap::Fail(Napi::Env env, const char* op, int err) const {
  Failure failure = Refused(err, "MAP_FAILED", op, name, "map " + Quoted(name) + ": cannot " + op);
  if (err == E2BIG) failure.message += "; all of its " + std::to_string(info.max_entries) + " entries are taken";
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
  if (bpf_map_lookup_elem(fd.get(), key->data(), value.Data()) == 0) return value;
  return errno == ENOENT ? env.Undefined() : Fail(env, "lookup", errno);
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
  bool done = bpf_map_update_elem(fd.get(), key->data(), value->data(), exclusive ? BPF_NOEXIST : BPF_ANY) == 0;
  if (!done && !(exclusive && errno == EEXIST)) return Fail(env, "update", errno);
  return Napi::Boolean::New(env, done);
}

Napi::Value BpfMap::Delete(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto key = Part(call[0], "delete", "key", info.key_size);
  if (!key) return {};
  bool done = bpf_map_delete_elem(fd.get(), key->data()) == 0;
  if (!done && errno != ENOENT) return Fail(env, "delete", errno);
  return Napi::Boolean::New(env, done);
}

Napi::Value BpfMap::UpdateBatch(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto count = Uint32Of(call[2], "updateBatch", "count", 0, UINT32_MAX);
  if (!count) return {};
  auto keys = Part(call[0], "updateBatch", "keys", size_t{*count} * info.key_size);
  if (!keys) return {};
  auto values = Part(call[1], "updateBatch", "values", size_t{*count} * value_bytes_);
  if (!values) return {};
  if (*count == 0) return env.Undefined();
  uint32_t done = *count;
  if (bpf_map_update_batch(fd.get(), keys->data(), values->data(), &done, nullptr) == 0) return env.Undefined();
  if (!NoBatch(errno)) return Fail(env, "updateBatch", errno);
  for (size_t i = 0; i < *count; i++) {
    const uint8_t* key = keys->data() + i * info.key_size;
    if (bpf_map_update_elem(fd.get(), key, values->data() + i * value_bytes_, BPF_ANY))
      return Fail(env, "updateBatch", errno);
  }
  return env.Undefined();
}

// Entries between two positions of the kernel: a bucket number for hash maps, a key for the others.
struct BpfMap::Batch {
  size_t room;  // entries that fit; more after a bucket that is larger
  std::vector<uint8_t> from, to;
  bool first = true;
  std::vector<uint8_t> keys = {}, values = {};
  uint32_t count = 0;
};

// Returns 0, ENOENT at the end of the map (with the last entries), or why not. A hash map hands over whole buckets: so
// a batch sees each entry at most once, and there must be room for the largest bucket.
int BpfMap::ReadBatch(Batch& batch) const {
  for (;; batch.room *= 2) {
    batch.keys.resize(batch.room * info.key_size);
    batch.values.resize(batch.room * value_bytes_);
    batch.count = static_cast<uint32_t>(batch.room);
    void* from = batch.first ? nullptr : batch.from.data();
    int result = bpf_map_lookup_batch(fd.get(), from, batch.to.data(), batch.keys.data(), batch.values.data(),
                                      &batch.count, nullptr);
    int err = result ? errno : 0;
    if (err != ENOSPC || batch.room > info.max_entries) return err;
  }
}

Napi::Value BpfMap::ReadPart(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  auto room = Uint32Of(call[0], "part", "room", 1, kBatchBytes);
  if (!room) return {};
  const size_t position_bytes = info.key_size + 8;
  Batch batch{*room, {}, std::vector<uint8_t>(position_bytes), call[1].IsUndefined()};
  if (!batch.first) {
    auto given = Part(call[1], "part", "position", position_bytes);
    if (!given) return {};
    batch.from.assign(given->begin(), given->end());
  }
  int err = ReadBatch(batch);
  if (err && err != ENOENT) return Fail(env, "read a part", err);
  Napi::Object part = Napi::Object::New(env);
  part.Set("keys", Napi::Buffer<uint8_t>::Copy(env, batch.keys.data(), batch.count * info.key_size));
  part.Set("values", Napi::Buffer<uint8_t>::Copy(env, batch.values.data(), batch.count * value_bytes_));
  part.Set("count", batch.count);
  part.Set("next", err ? env.Undefined() : Napi::Buffer<uint8_t>::Copy(env, batch.to.data(), batch.to.size()));
  return part;
}

Napi::Value BpfMap::Entries(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  Napi::Array out = Napi::Array::New(env);
  if (!EntriesByBatch(env, out) && !env.IsExceptionPending()) {
    out = Napi::Array::New(env);
    EntriesByKey(env, out);
  }
  return out;
}

void BpfMap::Append(Napi::Env env, Napi::Array out, const uint8_t* key, const uint8_t* value) const {
  Napi::HandleScope scope(env);
  Napi::Array pair = Napi::Array::New(env, 2);
  pair.Set(0u, Napi::Buffer<uint8_t>::Copy(env, key, info.key_size));
  pair.Set(1u, Napi::Buffer<uint8_t>::Copy(env, value, value_bytes_));
  out.Set(out.Length(), pair);
}

// false: not possible here, walk by key.
bool BpfMap::EntriesByBatch(Napi::Env env, Napi::Array out) const {
  size_t room = std::clamp<size_t>(kBatchBytes / (info.key_size + value_bytes_ + 1), 64, info.max_entries +
      size_t{64});
  Batch batch{room, std::vector<uint8_t>(info.key_size + 8), std::vector<uint8_t>(info.key_size + 8)};
  for (;;) {
    int err = ReadBatch(batch);
    if (err && err != ENOENT) return false;
    for (uint32_t i = 0; i < batch.count; i++)
      Append(env, out, batch.keys.data() + i * info.key_size, batch.values.data() + i * value_bytes_);
    if (err == ENOENT || env.IsExceptionPending()) return true;
    batch.from.swap(batch.to);
    batch.first = false;
  }
}

// get_next_key starts over when the key it stands on was deleted meanwhile: so each key is taken once, and the steps
// are bounded even while another CPU inserts and deletes without end.
void BpfMap::EntriesByKey(Napi::Env env, Napi::Array out) const {
  std::unordered_set<std::string> seen;
  std::string key(info.key_size, '\0'), next(info.key_size, '\0');
  std::vector<uint8_t> value(value_bytes_);
  size_t steps = 4 * size_t{info.max_entries} + 64;
  for (bool first = true; steps-- > 0; first = false, key = next) {
    if (bpf_map_get_next_key(fd.get(), first ? nullptr : key.data(), next.data())) {
      if (errno != ENOENT) Fail(env, "entries", errno);
      return;
    }
    if (!seen.insert(next).second) continue;
    if (bpf_map_lookup_elem(fd.get(), next.data(), value.data())) {
      if (errno == ENOENT) continue;
      Fail(env, "entries", errno);
      return;
    }
    Append(env, out, reinterpret_cast<const uint8_t*>(next.data()), value.data());
    if (env.IsExceptionPending()) return;
  }
}

}  // namespace ktrail
