// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>
#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "addon.h"
#include "value.h"

namespace ktrail {

// A map by its own descriptor: it lives on when the object it came from is closed.
class BpfMap : public Napi::ObjectWrap<BpfMap>, public Resource {
 public:
  explicit BpfMap(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~BpfMap() override { Close(); }

  // Wraps a duplicate of `fd`. Throws (and returns an empty value) when the kernel refuses.
  static Napi::Value Create(Napi::Env env, int fd, const std::string& name);
  // The map behind a JavaScript value, open; throws BAD_ARGUMENT or CLOSED otherwise.
  static BpfMap* From(Napi::Value value, const char* op, const std::string& what);
  static Napi::Function Define(Napi::Env env);

  void Close() override;
  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  const bpf_map_info& kernel_info() const { return info_; }

 private:
  Napi::Value Lookup(const Napi::CallbackInfo& info);
  Napi::Value Update(const Napi::CallbackInfo& info);
  Napi::Value Delete(const Napi::CallbackInfo& info);
  Napi::Value Entries(const Napi::CallbackInfo& info);
  Napi::Value ReadPart(const Napi::CallbackInfo& info);
  void UpdateBatch(const Napi::CallbackInfo& info);
  void CloseCall(const Napi::CallbackInfo&) { Close(); }

  bool IsOpen(Napi::Env env, const char* op) const;
  void Fail(Napi::Env env, const char* op, int err) const;
  std::optional<Bytes> Part(Napi::Value value, const char* op, const char* part, size_t size) const;
  bool EntriesByBatch(Napi::Env env, Napi::Array out) const;
  void EntriesByKey(Napi::Env env, Napi::Array out) const;
  void Append(Napi::Env env, Napi::Array out, const uint8_t* key, const uint8_t* value) const;

  Fd fd_;
  std::string name_;
  bpf_map_info info_{};
  size_t value_bytes_ = 0;  // as the system call moves them: all CPUs' values, each padded to 8
};

}  // namespace ktrail
