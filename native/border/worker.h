// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>
#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>

#include "failure.h"

namespace ktrail {

// The thread of an environment for slow calls of the kernel: to load, to attach, to detach, to read its types. It
// is not libuv's pool, where the file system and compression would wait behind the verifier. Tasks run one at a time in
// the order of Post. After a second without a task the thread ends, and with it what it keeps; Post starts a new one.
class Worker {
 public:
  class Task {
   public:
    virtual ~Task() = default;
    // On the thread: touches no value of JavaScript. Destroyed there, unless it settles.
    virtual void Run() = 0;
    // In place of Run, on the event loop, if no thread can run it.
    virtual void Refuse(Failure) {}
    // On the event loop, after Run or Refuse. Not called if the environment ends earlier.
    virtual void Settle(Napi::Env) {}
    virtual bool settles() const { return false; }
  };

  explicit Worker(Napi::Env env) : env_(env) {}
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker() { Stop(); }

  // Event loop only, as Stop. Tasks that settle keep the process alive meanwhile. Without a thread (a limit of the system,
  // or after Stop) the task runs at once.
  void Post(std::unique_ptr<Task> task);

  // Waits for the task that is running; the others are not run.
  void Stop();

 private:
  bool Prepare();
  bool Spawn();
  void Join();
  void Loop();
  void Settle(Napi::Env env, std::unique_ptr<Task> task);

  // For the event loop only.
  Napi::Env env_;
  napi_threadsafe_function settle_ = nullptr;
  size_t unsettled_ = 0;
  bool joinable_ = false, stopped_ = false;
  pthread_t thread_{};

  std::mutex mutex_;  // guards the members below
  std::condition_variable wake_;
  std::deque<std::unique_ptr<Task>> queue_;
  bool running_ = false;  // true: the thread will check the queue again
  bool stop_ = false;
};

}  // namespace ktrail
