// SPDX-License-Identifier: Apache-2.0
#include <napi.h>
#include <sys/epoll.h>
#include <uv.h>

#include <array>
#include <cerrno>

#include "../border/arguments.h"
#include "../border/handle.h"
#include "map.h"

namespace ktrail {
namespace {

// The event loop's part of a watch. It outlives the watch, because libuv closes handles later. Closed frees it.
struct Poll {
  uv_poll_t handle;
  Fd map;  // a duplicate, because the map may be closed first
  Fd epoll;
  napi_async_cleanup_hook_handle hook = nullptr;
  std::unique_ptr<Napi::AsyncContext> context;
  Napi::FunctionReference callback;
  Napi::ObjectReference object;  // held while the watch is open, even if no other reference to the object exists
  Closable* watch = nullptr;     // nullptr once it is closed
};

void Closed(uv_handle_t* handle) {
  Poll* poll = static_cast<Poll*>(handle->data);
  napi_remove_async_cleanup_hook(poll->hook);
  delete poll;
}

// The environment ends: it waits until Closed has run, so that a worker's loop has no handle left.
void AtExit(napi_async_cleanup_hook_handle, void* data) {
  Poll* poll = static_cast<Poll*>(data);
  if (poll->watch) poll->watch->Close();
}

void Woken(uv_poll_t* handle, int, int) {
  Poll* poll = static_cast<Poll*>(handle->data);
  epoll_event event;
  while (epoll_wait(poll->epoll.get(), &event, 1, 0) < 0 && errno == EINTR) {
  }
  if (!poll->watch) return;
  Napi::Env env = poll->callback.Env();
  Napi::HandleScope scope(env);
  napi_value error = nullptr;
  // Napi's MakeCallback is not used, because it ends the process if the environment is being torn down.
  napi_status status = napi_make_callback(env, *poll->context, env.Global(), poll->callback.Value(), 0, nullptr,
      nullptr);
  if (status == napi_pending_exception && napi_get_and_clear_last_exception(env, &error) == napi_ok)
    napi_fatal_exception(env, error);
}

// Calls back once for each time the kernel wakes the ring's readers.
//
// A ring is readable as long as anything lies in it, so polling it directly would call back without end until
// someone reads. Instead it sits edge-triggered in an epoll set of our own: the set becomes readable at a wakeup,
// and taking the event makes it quiet until the next one.
struct RingWatch {
  RingWatch(std::string name, Poll* poll) : name(std::move(name)), poll(poll) {}
  ~RingWatch() {
    poll->watch = nullptr;
    poll->callback.Reset();
    poll->object.Reset();
    uv_close(reinterpret_cast<uv_handle_t*>(&poll->handle), Closed);
  }

  static constexpr char kClass[] = "RingWatch", kWhat[] = "watch of ring";
  static constexpr std::array<Method<RingWatch>, 0> kMethods = {};
  const std::string name;
  Poll* const poll;
};

Napi::Value Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const BpfMap* map = RingMapOf(info[0], "watchRing");
  if (!map) return {};
  if (!info[1].IsFunction()) return BadArgument(env, "watchRing", "callback", "a function", Describe(info[1]));
  uv_loop_t* loop = nullptr;
  auto poll = std::make_unique<Poll>();
  poll->map = Duplicate(map->fd.get());
  poll->epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  if (!poll->map || !poll->epoll || epoll_ctl(poll->epoll.get(), EPOLL_CTL_ADD, poll->map.get(), &event) ||
      napi_get_uv_event_loop(env, &loop) != napi_ok || uv_poll_init(loop, &poll->handle, poll->epoll.get())) {
    return Throw(env, Refused(errno, "MAP_FAILED", "watchRing", map->name, "cannot watch ring " + Quoted(map->name)));
  }
  // From here on libuv knows the handle: only Closed may free it.
  Poll* open = poll.release();
  open->handle.data = open;
  napi_add_async_cleanup_hook(env, AtExit, open, &open->hook);
  Handle<RingWatch>* watch = Handle<RingWatch>::New(env, std::make_unique<RingWatch>(map->name, open));
  if (!watch) return {};
  open->watch = watch;
  open->context = std::make_unique<Napi::AsyncContext>(env, "ktrail:ring");
  open->callback = Napi::Persistent(info[1].As<Napi::Function>());
  open->object = Napi::Persistent(watch->Value());
  uv_poll_start(&open->handle, UV_READABLE, Woken);
  return watch->Value();
}

}  // namespace

void InitWatch(Napi::Env env, Napi::Object exports) {
  Handle<RingWatch>::Define(env);
  Export<Open>(exports, "watchRing");
}

}  // namespace ktrail
