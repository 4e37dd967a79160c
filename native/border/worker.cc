// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <chrono>
#include <csignal>
#include <utility>

namespace ktrail {
namespace {

constexpr std::chrono::seconds kLinger(1);

}  // namespace

void Worker::Post(std::unique_ptr<Task> task) {
  const bool settles = task->settles();
  if (!stopped_ && Prepare()) {
    std::lock_guard lock(mutex_);
    if (running_ || Spawn()) {
      queue_.push_back(std::move(task));
      wake_.notify_one();
    }
  }
  if (!task) {
    if (settles && unsettled_++ == 0) napi_ref_threadsafe_function(env_, settle_);
    return;
  }
  task->Run();
  if (settles) task->Settle(env_);
}

// The way back to the event loop; once.
bool Worker::Prepare() {
  if (settle_) return true;
  Napi::HandleScope scope(env_);
  auto settle = [](napi_env env, napi_value, void* worker, void* data) {
    std::unique_ptr<Task> task(static_cast<Task*>(data));
    // Without an env the environment ends, and no caller waits for the answer.
    if (env) static_cast<Worker*>(worker)->Settle(env, std::move(task));
  };
  napi_value name = Napi::String::New(env_, "ktrail:worker");
  if (napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, settle, &settle_) !=
      napi_ok)
    return false;
  napi_unref_threadsafe_function(env_, settle_);
  // The last hook runs first, because the thread must have ended before Node frees the function.
  napi_add_env_cleanup_hook(env_, [](void* worker) { static_cast<Worker*>(worker)->Stop(); }, this);
  return true;
}

// Begins a thread; the previous one no longer needs the mutex.
bool Worker::Spawn() {
  Join();
  // Signals are for Node's threads; here they would only interrupt the verifier.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto loop = [](void* worker) -> void* {
    static_cast<Worker*>(worker)->Loop();
    return nullptr;
  };
  running_ = joinable_ = pthread_create(&thread_, nullptr, loop, this) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (joinable_) pthread_setname_np(thread_, "ktrail-bpf");
  return joinable_;
}

void Worker::Loop() {
  std::unique_lock lock(mutex_);
  while (wake_.wait_for(lock, kLinger, [this] { return stop_ || !queue_.empty(); }) && !stop_) {
    std::unique_ptr<Task> task = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    task->Run();
    if (!task->settles()) {
      task.reset();
    } else if (napi_call_threadsafe_function(settle_, task.get(), napi_tsfn_nonblocking) == napi_ok) {
      (void)task.release();
    }
    lock.lock();
  }
  running_ = false;
}

void Worker::Settle(Napi::Env env, std::unique_ptr<Task> task) {
  Napi::HandleScope scope(env);
  task->Settle(env);
  if (--unsettled_ == 0) napi_unref_threadsafe_function(env, settle_);
}

void Worker::Join() {
  if (std::exchange(joinable_, false)) pthread_join(thread_, nullptr);
}

void Worker::Stop() {
  stopped_ = true;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  Join();
  queue_.clear();
}

}  // namespace ktrail
