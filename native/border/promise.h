// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "addon.h"
#include "failure.h"
#include "worker.h"

namespace ktrail {

// Result of a part of the work on the thread.
template <typename T>
using Result = std::variant<T, Failure>;

// A promise that is rejected with the exception that is pending.
inline Napi::Value Rejected(Napi::Env env) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr, error = nullptr;
  if (napi_get_and_clear_last_exception(env, &error) != napi_ok ||
      napi_create_promise(env, &deferred, &promise) != napi_ok)
    return {};
  napi_reject_deferred(env, deferred, error);
  return {env, promise};
}

// A function that returns a promise; its exceptions reject the promise.
template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value Promising(const Napi::CallbackInfo& info) {
  Napi::Value promise = function(info);
  return info.Env().IsExceptionPending() ? Rejected(info.Env()) : promise;
}

// Work on a thread, a Result<T>, and the promise of what `wrap(env, T)` makes of it on the event loop: rejected with the
// Failure, or with what `wrap` throws. Neither may hold values of JavaScript.
template <typename Work, typename Wrap>
class PromiseTask : public Worker::Task {
 public:
  PromiseTask(napi_deferred deferred, Work work, Wrap wrap)
      : deferred_(deferred), work_(std::move(work)), wrap_(std::move(wrap)) {}
  bool settles() const override { return true; }
  void Run() override { result_.emplace(work_()); }
  void Refuse(Failure failure) override { result_.emplace(std::move(failure)); }
  void Settle(Napi::Env env) override {
    Napi::Value value;
    if (Failure* failure = std::get_if<Failure>(&*result_))
      Throw(env, *failure);
    else
      value = wrap_(env, std::move(std::get<0>(*result_)));
    napi_value error = nullptr;
    if (!env.IsExceptionPending())
      napi_resolve_deferred(env, deferred_, value);
    else if (napi_get_and_clear_last_exception(env, &error) == napi_ok)
      napi_reject_deferred(env, deferred_, error);
  }

 private:
  napi_deferred deferred_;
  Work work_;
  Wrap wrap_;
  std::optional<std::invoke_result_t<Work>> result_;
};

// Runs `work` on the thread of `on`, a Worker or the like.
template <typename On, typename Work, typename Wrap>
Napi::Value PromisedOn(On& on, Napi::Env env, Work work, Wrap wrap) {
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return {};
  on.Post(std::make_unique<PromiseTask<Work, Wrap>>(deferred, std::move(work), std::move(wrap)));
  return {env, promise};
}

// PromisedOn the thread for slow calls of the kernel.
template <typename Work, typename Wrap>
Napi::Value Promised(Napi::Env env, Work work, Wrap wrap) {
  return PromisedOn(Addon::Of(env).worker, env, std::move(work), std::move(wrap));
}

// Destroys `owned` on the thread, after all work that was requested before.
template <typename T>
void DestroyLater(Napi::Env env, std::unique_ptr<T> owned) {
  class Job : public Worker::Task {
   public:
    explicit Job(std::unique_ptr<T> owned) : owned_(std::move(owned)) {}
    void Run() override { owned_.reset(); }

   private:
    std::unique_ptr<T> owned_;
  };
  Addon::Of(env).worker.Post(std::make_unique<Job>(std::move(owned)));
}

}  // namespace ktrail
