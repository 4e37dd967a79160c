// SPDX-License-Identifier: Apache-2.0
#include "addon.h"

#include <fcntl.h>

#include "error.h"

namespace ktrail {

Fd Duplicate(int fd) { return Fd(fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

void Resource::Register(Napi::Env env) {
  addon_ = &Addon::Of(env);
  addon_->open.insert(this);
}

void Resource::Unregister() {
  if (addon_) addon_->open.erase(this);
  addon_ = nullptr;
}

Addon::Addon(Napi::Env env) {
  env.AddCleanupHook([this] { CloseAll(); });
}

Addon& Addon::Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }

void Addon::CloseAll() {
  while (!open.empty()) {
    Resource* next = *open.begin();
    next->Close();
    open.erase(next);
  }
}

static void OnFailure(const Napi::CallbackInfo& info) {
  Addon& addon = Addon::Of(info.Env());
  if (info[0].IsFunction()) addon.make_error = Napi::Persistent(info[0].As<Napi::Function>());
}

static void EndProcess(const Napi::CallbackInfo& info) {
  _exit(info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : 1);
}

static Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Addon(env));
  LogCapture::Install();
  exports.Set("onFailure", Napi::Function::New<OnFailure>(env, "onFailure"));
  exports.Set("endProcess", Napi::Function::New<EndProcess>(env, "endProcess"));
  InitObject(env, exports);
  InitMap(env);
  InitLink(env);
  InitRing(env, exports);
  InitWatch(env, exports);
  InitBtf(env, exports);
  InitKernel(env, exports);
  InitCompress(env, exports);
  return exports;
}

}  // namespace ktrail

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return ktrail::Init(env, exports); }
NODE_API_MODULE(ktrail, InitAddon)
