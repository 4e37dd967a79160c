// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <memory>

#include "../border/promise.h"
#include "../border/worker.h"

namespace ktrail {

// A thread for work on paths. A file system may never answer (a network mount without its server, FUSE), so nothing waits
// for this thread: neither the event loop, nor the end of the environment, nor that of the process. Tasks run one at a time,
// in the order of Post. Abandon leaves the thread to the task that has no answer: it ends with that task, and later tasks
// have another thread. After a second without a task the thread ends.
class PathWorker {
 public:
  explicit PathWorker(Napi::Env env) : env_(env) {}
  PathWorker(const PathWorker&) = delete;
  PathWorker& operator=(const PathWorker&) = delete;
  // Drops tasks that have not begun; no task settles any more.
  ~PathWorker();

  // Event loop only, as Abandon. The task keeps the process alive until it is settled or abandoned. Without a thread (a limit
  // of the system) it is refused.
  void Post(std::unique_ptr<Worker::Task> task);
  void Abandon();

 private:
  struct Item;
  struct Shared;

  bool Prepare();
  void Settle(Napi::Env env, Item& item);
  void Unref();
  static bool Spawn(const std::shared_ptr<Shared>& shared);
  static void Loop(Shared& shared, unsigned me);

  Napi::Env env_;
  std::shared_ptr<Shared> shared_;
  size_t unsettled_ = 0;
};

}  // namespace ktrail
