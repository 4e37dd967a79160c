// SPDX-License-Identifier: Apache-2.0
#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <unordered_set>

#include "error.h"

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

Napi::Function BpfMap::Define(Napi::Env env) {
  return DefineClass(env, "BpfMap",
                     {InstanceMethod<&BpfMap::Lookup>("lookup"), InstanceMethod<&BpfMap::Update>("update"),
                      InstanceMethod<&BpfMap::Delete>("delete"), InstanceMethod<&BpfMap::Entries>("entries"),
                      InstanceMethod<&BpfMap::ReadPart>("part"),
                      InstanceMethod<&BpfMap::UpdateBatch>("updateBatch"), InstanceMethod<&BpfMap::CloseCall>("close"),
                      InstanceMethod<&BpfMap::CloseCall>(DisposeSymbol(env))});
}

void InitMap(Napi::Env env) { Addon::Of(env).map_class = Napi::Persistent(BpfMap::Define(env)); }

Napi::Value BpfMap::Create(Napi::Env env, int fd, const std::string& name) {
  Fd own = Duplicate(fd);
  bpf_map_info info{};
  uint32_t size = sizeof(info);
  int cpus = own ? libbpf_num_possible_cpus() : -errno;
  if (!own || cpus < 1 || bpf_obj_get_info_by_fd(own.get(), &info, &size)) {
    int err = cpus < 0 ? -cpus : errno;
    Throw(env, {"MAP_FAILED", "map", name, "cannot use map " + Quoted(name) + ": " + ErrnoText(err), err});
    return {};
  }
  Napi::Object object = Addon::Of(env).map_class.New({});
  if (env.IsExceptionPending()) return {};
  BpfMap* map = Unwrap(object);
  map->fd_ = std::move(own);
  map->name_ = name;
  map->info_ = info;
  bool per_cpu = IsPerCpu(info.type);
  map->value_bytes_ = per_cpu ? (info.value_size + 7) / 8 * 8 * static_cast<size_t>(cpus) : info.value_size;
  map->Register(env);
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

BpfMap* BpfMap::From(Napi::Value value, const char* op, const std::string& what) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kMapTag)) {
    BadArgument(value.Env(), op, what, "a BpfMap", Describe(value));
    return nullptr;
  }
  BpfMap* map = Unwrap(value.As<Napi::Object>());
  return map->IsOpen(value.Env(), op) ? map : nullptr;
}

void BpfMap::Close() {
  Unregister();
  fd_.Reset();
}

bool BpfMap::IsOpen(Napi::Env env, const char* op) const {
  if (fd_) return true;
  Throw(env, {"CLOSED", op, name_, std::string(op) + ": map " + Quoted(name_) + " is closed"});
  return false;
}

void BpfMap::Fail(Napi::Env env, const char* op, int err) const {
  std::string message = "map " + Quoted(name_) + ": cannot " + op + ": " + ErrnoText(err);
  if (err == E2BIG) message += "; all of its " + std::to_string(info_.max_entries) + " entries are taken";
  Throw(env, {CodeFor(err, "MAP_FAILED"), op, name_, message, err});
}

std::optional<Bytes> BpfMap::Part(Napi::Value value, const char* op, const char* part, size_t size) const {
  return BytesOf(value, op, std::string(part) + " of map " + Quoted(name_), size);
}

Napi::Value BpfMap::Lookup(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "lookup")) return {};
  auto key = Part(info[0], "lookup", "key", info_.key_size);
  if (!key) return {};
  auto value = Napi::Buffer<uint8_t>::New(env, value_bytes_);
  if (bpf_map_lookup_elem(fd_.get(), key->data(), value.Data())) {
    if (errno != ENOENT) Fail(env, "lookup", errno);
    return env.Undefined();
  }
  return value;
}

Napi::Value BpfMap::Update(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "update")) return {};
  auto key = Part(info[0], "update", "key", info_.key_size);
  if (!key) return {};
  auto value = Part(info[1], "update", "value", value_bytes_);
  if (!value) return {};
  if (!info[2].IsUndefined() && !info[2].IsBoolean()) {
    BadArgument(env, "update", "exclusive", "a boolean", Describe(info[2]));
    return {};
  }
  bool exclusive = info[2].IsBoolean() && info[2].As<Napi::Boolean>().Value();
  bool done = bpf_map_update_elem(fd_.get(), key->data(), value->data(), exclusive ? BPF_NOEXIST : BPF_ANY) == 0;
  if (!done && !(exclusive && errno == EEXIST)) Fail(env, "update", errno);
  return Napi::Boolean::New(env, done);
}

Napi::Value BpfMap::Delete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "delete")) return {};
  auto key = Part(info[0], "delete", "key", info_.key_size);
  if (!key) return {};
  bool done = bpf_map_delete_elem(fd_.get(), key->data()) == 0;
  if (!done && errno != ENOENT) Fail(env, "delete", errno);
  return Napi::Boolean::New(env, done);
}

void BpfMap::UpdateBatch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "updateBatch")) return;
  auto count = Uint32Of(info[2], "updateBatch", "count", 0, UINT32_MAX);
  if (!count) return;
  auto keys = Part(info[0], "updateBatch", "keys", size_t{*count} * info_.key_size);
  if (!keys) return;
  auto values = Part(info[1], "updateBatch", "values", size_t{*count} * value_bytes_);
  if (!values || *count == 0) return;
  uint32_t done = *count;
  if (bpf_map_update_batch(fd_.get(), keys->data(), values->data(), &done, nullptr) == 0) return;
  if (!NoBatch(errno)) return Fail(env, "updateBatch", errno);
  for (size_t i = 0; i < *count; i++) {
    const uint8_t* key = keys->data() + i * info_.key_size;
    if (bpf_map_update_elem(fd_.get(), key, values->data() + i * value_bytes_, BPF_ANY))
      return Fail(env, "updateBatch", errno);
  }
}

// One batch. A hash map hands over whole buckets and its position is the number of the next one, so there must be room for the
// largest bucket: asked for again with more where there was not.
Napi::Value BpfMap::ReadPart(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "part")) return {};
  auto room = Uint32Of(info[0], "part", "room", 1, kBatchBytes);
  if (!room) return {};
  std::vector<uint8_t> from(info_.key_size + 8), to(info_.key_size + 8);
  bool first = info[1].IsUndefined();
  if (!first) {
    auto given = Part(info[1], "part", "position", from.size());
    if (!given) return {};
    from.assign(given->begin(), given->end());
  }
  std::vector<uint8_t> keys, values;
  for (size_t entries = *room;; entries *= 2) {
    keys.resize(entries * info_.key_size);
    values.resize(entries * value_bytes_);
    uint32_t count = static_cast<uint32_t>(entries);
    int result = bpf_map_lookup_batch(fd_.get(), first ? nullptr : from.data(), to.data(), keys.data(), values.data(),
                                      &count, nullptr);
    int err = result ? errno : 0;
    if (err == ENOSPC && entries <= info_.max_entries) continue;
    if (err && err != ENOENT) {
      Fail(env, "read a part", err);
      return {};
    }
    Napi::Object part = Napi::Object::New(env);
    part.Set("keys", Napi::Buffer<uint8_t>::Copy(env, keys.data(), count * info_.key_size));
    part.Set("values", Napi::Buffer<uint8_t>::Copy(env, values.data(), count * value_bytes_));
    part.Set("count", count);
    part.Set("next", err ? env.Undefined() : Napi::Buffer<uint8_t>::Copy(env, to.data(), to.size()));
    return part;
  }
}

Napi::Value BpfMap::Entries(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "entries")) return {};
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
  pair.Set(0u, Napi::Buffer<uint8_t>::Copy(env, key, info_.key_size));
  pair.Set(1u, Napi::Buffer<uint8_t>::Copy(env, value, value_bytes_));
  out.Set(out.Length(), pair);
}

// false: not possible here, walk by key. A hash map hands over whole buckets, so a batch sees each entry once at most.
bool BpfMap::EntriesByBatch(Napi::Env env, Napi::Array out) const {
  size_t room = std::clamp<size_t>(kBatchBytes / (info_.key_size + value_bytes_ + 1), 64, info_.max_entries +
      size_t{64});
  std::vector<uint8_t> keys, values;
  // The kernel's position: a bucket number for hash maps, a key for the others.
  std::vector<uint8_t> from(info_.key_size + 8), to(info_.key_size + 8);
  bool first = true;
  for (;;) {
    keys.resize(room * info_.key_size);
    values.resize(room * value_bytes_);
    uint32_t count = static_cast<uint32_t>(room);
    int result = bpf_map_lookup_batch(fd_.get(), first ? nullptr : from.data(), to.data(), keys.data(), values.data(),
                                      &count, nullptr);
    int err = result ? errno : 0;
    if (err == ENOSPC && room <= info_.max_entries) {  // a bucket larger than our room
      room *= 2;
      continue;
    }
    if (err && err != ENOENT) return false;
    for (uint32_t i = 0; i < count; i++)
      Append(env, out, keys.data() + i * info_.key_size, values.data() + i * value_bytes_);
    if (err == ENOENT || env.IsExceptionPending()) return true;
    from.swap(to);
    first = false;
  }
}

// get_next_key starts over when the key it stands on was deleted meanwhile: so each key is taken once, and the steps
// are bounded even while another CPU inserts and deletes without end.
void BpfMap::EntriesByKey(Napi::Env env, Napi::Array out) const {
  std::unordered_set<std::string> seen;
  std::string key(info_.key_size, '\0'), next(info_.key_size, '\0');
  std::vector<uint8_t> value(value_bytes_);
  size_t steps = 4 * size_t{info_.max_entries} + 64;
  for (bool first = true; steps-- > 0; first = false, key = next) {
    if (bpf_map_get_next_key(fd_.get(), first ? nullptr : key.data(), next.data())) {
      if (errno != ENOENT) Fail(env, "entries", errno);
      return;
    }
    if (!seen.insert(next).second) continue;
    if (bpf_map_lookup_elem(fd_.get(), next.data(), value.data())) {
      if (errno == ENOENT) continue;
      return Fail(env, "entries", errno);
    }
    Append(env, out, reinterpret_cast<const uint8_t*>(next.data()), value.data());
    if (env.IsExceptionPending()) return;
  }
}

}  // namespace ktrail
