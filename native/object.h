// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <memory>
#include <optional>
#include <string>

#include "addon.h"
#include "error.h"
#include "options.h"

namespace ktrail {

struct ObjectFree {
  void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using ObjectPtr = std::unique_ptr<bpf_object, ObjectFree>;

// A loaded BPF object file.
class BpfObject : public Napi::ObjectWrap<BpfObject>, public Resource {
 public:
  explicit BpfObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~BpfObject() override { Close(); }
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Open(const Napi::CallbackInfo& info);
  void Close() override;

 private:
  Napi::Value Map(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);
  void CloseCall(const Napi::CallbackInfo&) { Close(); }
  bool IsOpen(Napi::Env env, const char* op) const;

  ObjectPtr object_;
  std::string path_;
  std::vector<ProgramPlan> programs_;
};

}  // namespace ktrail
