// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "addon.h"
#include "options.h"

namespace ktrail {

struct LinkFree {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using LinkPtr = std::unique_ptr<bpf_link, LinkFree>;

// One attachment. Holds either libbpf's link (perf event, trampoline) or the descriptor of a multi link, and a
// descriptor of the program for its counters.
class Link : public Napi::ObjectWrap<Link>, public Resource {
 public:
  explicit Link(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~Link() override { Close(); }
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Create(Napi::Env env, bpf_program* program, const ProgramPlan& plan,
                            const std::vector<std::string>& symbols);
  void Close() override;

 private:
  Napi::Value Stats(const Napi::CallbackInfo& info);
  void CloseCall(const Napi::CallbackInfo&) { Close(); }

  LinkPtr link_;
  Fd multi_;
  Fd program_;
  std::string name_;
};

}  // namespace ktrail
