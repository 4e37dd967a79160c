// SPDX-License-Identifier: Apache-2.0
#include "addon.h"

#include <fcntl.h>

#include <csignal>

#include "failure.h"
#include "promise.h"

namespace ktrail {
namespace {

Napi::Value OnFailure(const Napi::CallbackInfo& info) {
  if (info[0].IsFunction()) Addon::Of(info.Env()).make_error = Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value EndProcess(const Napi::CallbackInfo& info) {
  _exit(info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : 1);
}

Napi::Value UnblockSigusr1(const Napi::CallbackInfo& info) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return info.Env().Undefined();
}

// Resolves once everything closed before is really closed.
Napi::Value Closed(const Napi::CallbackInfo& info) {
  return Promised(
      info.Env(), []() -> Result<std::monostate> { return std::monostate(); },
      [](Napi::Env env, std::monostate) { return env.Undefined(); });
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Addon(env));
  LogCapture::Install();
  Export<OnFailure>(exports, "onFailure");
  Export<EndProcess>(exports, "endProcess");
  Export<UnblockSigusr1>(exports, "unblockSigusr1");
  Export<Closed>(exports, "closed");
  for (auto init : {InitObject, InitRing, InitWatch, InitBtf, InitMembers, InitSymbols, InitClocks, InitCompress, InitNotify,
                    InitPaths})
    init(env, exports);
  return exports;
}

}  // namespace

Fd Duplicate(int fd) { return Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

Addon::Addon(Napi::Env env) : worker(env) {
  env.AddCleanupHook([this] {
    worker.Stop();
    while (!open.empty()) (*open.begin())->Close();
  });
}

NODE_API_MODULE(ktrail, Init)

}  // namespace ktrail
