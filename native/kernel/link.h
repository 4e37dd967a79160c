// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "../border/handle.h"
#include "plan.h"

namespace ktrail {

void InitLink(Napi::Env env, Napi::Object exports);

// One attachment. Holds either libbpf's link (perf event, trampoline) or the descriptor of a multi link, and a
// descriptor of the program for its counters.
struct Link {
  Napi::Value Stats(const Napi::CallbackInfo& info);
  Napi::Value Identity(const Napi::CallbackInfo& info);

  static constexpr char kClass[] = "Link", kWhat[] = "link of program";
  static constexpr Method<Link> kMethods[] = {{"stats", &Link::Stats}, {"identity", &Link::Identity}};
  static constexpr bool kSlow = true;  // the kernel waits until no CPU runs the program any more
  std::string name;
  std::string_view kind;
  Fd program;
  std::unique_ptr<bpf_link, Free<bpf_link__destroy>> link;
  Fd multi;
};

using LinkPtr = std::unique_ptr<Link>;

// Whether a program of this kind takes these symbols; false after throwing.
bool CheckSymbols(Napi::Env env, const ProgramPlan& plan, const std::vector<std::string>& symbols);

// Attaches a loaded program; on the thread.
Result<LinkPtr> Attach(bpf_program* program, const ProgramPlan& plan, const std::vector<std::string>& symbols);

// A Link of types.ts; empty after throwing.
Napi::Value WrappedLink(Napi::Env env, LinkPtr link);

}  // namespace ktrail
