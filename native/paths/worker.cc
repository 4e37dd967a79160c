// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <utility>

namespace ktrail {
namespace {

constexpr std::chrono::seconds kLinger(1);
// Threads without an answer keep their stacks. Calls here are not deep, and large data is on the heap.
constexpr size_t kStackBytes = 256 << 10;

}  // namespace

struct PathWorker::Item {
  std::unique_ptr<Worker::Task> task;
  bool counted = true;  // true: counted in unsettled_; only the event loop reads it
};

// The state that threads may use: it outlives the worker and its environment.
struct PathWorker::Shared {
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<std::unique_ptr<Item>> queue;
  Item* running = nullptr;  // task of the thread that takes tasks
  unsigned current = 0;     // number of that thread; earlier threads were abandoned
  bool alive = false;       // true: that thread exists
  bool closed = false;
  napi_threadsafe_function settle = nullptr;  // until closed
};

namespace {

// The environment ends: Node frees the way back to the event loop after this.
template <typename Shared>
void Closed(void* shared) {
  auto* of = static_cast<Shared*>(shared);
  std::lock_guard lock(of->mutex);
  of->closed = true;
  of->wake.notify_all();
}

}  // namespace

PathWorker::~PathWorker() {
  if (!shared_) return;
  bool was_closed;
  {
    std::lock_guard lock(shared_->mutex);
    was_closed = std::exchange(shared_->closed, true);
    shared_->queue.clear();
    shared_->wake.notify_all();
  }
  if (was_closed) return;
  napi_remove_env_cleanup_hook(env_, Closed<Shared>, shared_.get());
  napi_release_threadsafe_function(shared_->settle, napi_tsfn_abort);
}

bool PathWorker::Prepare() {
  if (shared_) return true;
  Napi::HandleScope scope(env_);
  auto settle = [](napi_env env, napi_value, void* worker, void* data) {
    std::unique_ptr<Item> item(static_cast<Item*>(data));
    // Without an env, no caller waits for the answer.
    if (env) static_cast<PathWorker*>(worker)->Settle(env, *item);
  };
  auto shared = std::make_shared<Shared>();
  napi_value name = Napi::String::New(env_, "ktrail:paths");
  if (napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, settle,
                                      &shared->settle) != napi_ok)
    return false;
  napi_unref_threadsafe_function(env_, shared->settle);
  // The last hook is the first to run.
  napi_add_env_cleanup_hook(env_, Closed<Shared>, shared.get());
  shared_ = std::move(shared);
  return true;
}

void PathWorker::Post(std::unique_ptr<Worker::Task> task) {
  if (Prepare()) {
    std::lock_guard lock(shared_->mutex);
    if (!shared_->closed && (shared_->alive || Spawn(shared_))) {
      shared_->queue.push_back(std::make_unique<Item>(Item{std::move(task)}));
      shared_->wake.notify_all();
    }
  }
  if (!task) {
    if (unsettled_++ == 0) napi_ref_threadsafe_function(env_, shared_->settle);
    return;
  }
  task->Refuse({"UNSUPPORTED", "thread", "", "no thread for paths: the limit on threads of the process or the system is reached"});
  task->Settle(env_);
}

void PathWorker::Abandon() {
  if (!shared_) return;
  std::lock_guard lock(shared_->mutex);
  Item* running = std::exchange(shared_->running, nullptr);
  if (!running) return;
  running->counted = false;
  Unref();
  shared_->current++;
  shared_->alive = false;
  if (!shared_->queue.empty()) Spawn(shared_);
}

void PathWorker::Unref() {
  if (--unsettled_ == 0) napi_unref_threadsafe_function(env_, shared_->settle);
}

void PathWorker::Settle(Napi::Env env, Item& item) {
  Napi::HandleScope scope(env);
  if (item.counted) Unref();
  item.task->Settle(env);
}

// Requires the mutex.
bool PathWorker::Spawn(const std::shared_ptr<Shared>& shared) {
  struct Start {
    std::shared_ptr<Shared> shared;
    unsigned me;
  };
  auto start = std::make_unique<Start>(Start{shared, shared->current});
  auto loop = [](void* data) -> void* {
    std::unique_ptr<Start> start(static_cast<Start*>(data));
    Loop(*start->shared, start->me);
    return nullptr;
  };
  // Signals are for Node's threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_t thread;
  shared->alive = pthread_create(&thread, &attributes, loop, start.get()) == 0;
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (shared->alive) (void)start.release();
  return shared->alive;
}

void PathWorker::Loop(Shared& shared, unsigned me) {
  pthread_setname_np(pthread_self(), "ktrail-paths");
  std::unique_lock lock(shared.mutex);
  auto ends = [&] { return shared.closed || shared.current != me; };
  while (shared.wake.wait_for(lock, kLinger, [&] { return ends() || !shared.queue.empty(); }) && !ends()) {
    std::unique_ptr<Item> item = std::move(shared.queue.front());
    shared.queue.pop_front();
    shared.running = item.get();
    lock.unlock();
    item->task->Run();
    lock.lock();
    if (shared.current == me) shared.running = nullptr;
    if (!shared.closed && napi_call_threadsafe_function(shared.settle, item.get(), napi_tsfn_nonblocking) == napi_ok)
      (void)item.release();
  }
  if (shared.current == me) shared.alive = false;
}

}  // namespace ktrail
