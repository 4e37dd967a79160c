// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>
#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "../border/arguments.h"
#include "../border/handle.h"

namespace ktrail {

// A map by its own descriptor: it lives on when the object it came from is closed.
class BpfMap {
 public:
  BpfMap(std::string name, Fd fd, const bpf_map_info& info, size_t value_bytes)
      : name(std::move(name)), fd(std::move(fd)), info(info), value_bytes_(value_bytes) {}

  const std::string name;
  const Fd fd;
  const bpf_map_info info;

 private:
  Napi::Value Lookup(const Napi::CallbackInfo& info);
  Napi::Value LookupAll(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Delete(const Napi::CallbackInfo& info);
  Napi::Value ReadPart(const Napi::CallbackInfo& info);
  Napi::Value Freeze(const Napi::CallbackInfo& info);

  Napi::Value Fail(Napi::Env env, const char* op, int err) const;
  std::optional<Bytes> Part(Napi::Value value, const char* op, const char* part, size_t size) const;

  const size_t value_bytes_;  // bytes that the system call copies: the values of all CPUs, each padded to 8

 public:
  static constexpr char kClass[] = "BpfMap", kWhat[] = "map";
  static constexpr Method<BpfMap> kMethods[] = {
      {"lookup", &BpfMap::Lookup}, {"lookupAll", &BpfMap::LookupAll}, {"update", &BpfMap::Update},
      {"delete", &BpfMap::Delete}, {"part", &BpfMap::ReadPart}, {"freeze", &BpfMap::Freeze}};
};

void InitMap(Napi::Env env, Napi::Object exports);

// A BpfMap of types.ts over a duplicate of `fd`; empty after throwing.
Napi::Value MapOfDescriptor(Napi::Env env, int fd, const std::string& name);

// The map behind a JavaScript value, open; nullptr after throwing BAD_ARGUMENT or CLOSED.
const BpfMap* MapOf(Napi::Value value, const char* op, const std::string& what);

// MapOf for a ring buffer only.
const BpfMap* RingMapOf(Napi::Value value, const char* op);

}  // namespace ktrail
