// SPDX-License-Identifier: Apache-2.0
#include <napi.h>
#include <sys/epoll.h>
#include <uv.h>

#include <cerrno>

#include "addon.h"
#include "error.h"
#include "map.h"
#include "value.h"

namespace ktrail {

class RingWatch;

namespace {

// What the event loop and its closing callback need; outlives the JavaScript object, as libuv closes handles later.
struct Poll {
  uv_poll_t handle;
  Fd map;    // its own: the map may be closed first
  Fd epoll;
  napi_async_cleanup_hook_handle hook = nullptr;
  RingWatch* watch = nullptr;
};

}  // namespace

// Calls back once for each time the kernel wakes the ring's readers.
//
// A ring is readable as long as anything lies in it, so polling it directly would call back without end until
// somebody reads. Instead it sits edge-triggered in an epoll set of our own: the set becomes readable at a wakeup,
// and taking the event makes it quiet until the next one.
class RingWatch : public Napi::ObjectWrap<RingWatch>, public Resource {
 public:
  explicit RingWatch(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~RingWatch() override { Close(); }

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "RingWatch",
                       {InstanceMethod<&RingWatch::CloseCall>("close"),
                           InstanceMethod<&RingWatch::CloseCall>(DisposeSymbol(env))});
  }

  static Napi::Value Open(const Napi::CallbackInfo& info);

  void Close() override {
    Unregister();
    if (!poll_) return;
    Poll* poll = std::exchange(poll_, nullptr);
    poll->watch = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll->handle), Closed);
    callback_.Reset();
    Unref();
  }

 private:
  void CloseCall(const Napi::CallbackInfo&) { Close(); }

  static void Closed(uv_handle_t* handle) {
    Poll* poll = static_cast<Poll*>(handle->data);
    napi_remove_async_cleanup_hook(poll->hook);
    delete poll;
  }

  // The environment ends: it waits until Closed has run, so that a worker's loop has no handle left.
  static void AtExit(napi_async_cleanup_hook_handle, void* data) {
    Poll* poll = static_cast<Poll*>(data);
    if (poll->watch) poll->watch->Close();
  }

  static void Woken(uv_poll_t* handle, int, int) {
    Poll* poll = static_cast<Poll*>(handle->data);
    epoll_event event;
    while (epoll_wait(poll->epoll.get(), &event, 1, 0) < 0 && errno == EINTR) {
    }
    if (!poll->watch) return;
    RingWatch* watch = poll->watch;
    Napi::Env env = watch->Env();
    Napi::HandleScope scope(env);
    napi_value error = nullptr;
    // Not through Napi's MakeCallback: it ends the process when the environment, being torn down, runs no JavaScript.
    napi_status status = napi_make_callback(env, *watch->context_, env.Global(), watch->callback_.Value(), 0, nullptr,
        nullptr);
    if (status == napi_pending_exception && napi_get_and_clear_last_exception(env, &error) == napi_ok)
      napi_fatal_exception(env, error);
  }

  Poll* poll_ = nullptr;
  Napi::FunctionReference callback_;
  std::unique_ptr<Napi::AsyncContext> context_;
};

Napi::Value RingWatch::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  BpfMap* map = BpfMap::From(info[0], "watchRing", "map");
  if (!map) return {};
  if (map->kernel_info().type != BPF_MAP_TYPE_RINGBUF) {
    BadArgument(env, "watchRing", "map " + Quoted(map->name()), "a ring buffer", "map type " +
        std::to_string(map->kernel_info().type));
    return {};
  }
  if (!info[1].IsFunction()) {
    BadArgument(env, "watchRing", "callback", "a function", Describe(info[1]));
    return {};
  }
  uv_loop_t* loop = nullptr;
  auto poll = std::make_unique<Poll>();
  poll->map = Duplicate(map->fd());
  poll->epoll = Fd(epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{.events = EPOLLIN | EPOLLET, .data = {}};
  if (!poll->map || !poll->epoll || epoll_ctl(poll->epoll.get(), EPOLL_CTL_ADD, poll->map.get(), &event) ||
      napi_get_uv_event_loop(env, &loop) != napi_ok || uv_poll_init(loop, &poll->handle, poll->epoll.get())) {
    int err = errno;
    Throw(env, {"MAP_FAILED", "watchRing", map->name(), "cannot watch ring " + Quoted(map->name()) + ": " +
        ErrnoText(err), err});
    return {};
  }
  Napi::Object object = Addon::Of(env).watch_class.New({});
  if (env.IsExceptionPending()) return {};
  RingWatch* self = Unwrap(object);
  self->context_ = std::make_unique<Napi::AsyncContext>(env, "ktrail:ring");
  self->callback_ = Napi::Persistent(info[1].As<Napi::Function>());
  self->poll_ = poll.release();
  self->poll_->watch = self;
  self->poll_->handle.data = self->poll_;
  napi_add_async_cleanup_hook(env, AtExit, self->poll_, &self->poll_->hook);
  uv_poll_start(&self->poll_->handle, UV_READABLE, Woken);
  self->Register(env);
  self->Ref();  // open, it is held by the event loop and not by whoever remembers the object
  return object;
}

void InitWatch(Napi::Env env, Napi::Object exports) {
  Addon::Of(env).watch_class = Napi::Persistent(RingWatch::Define(env));
  exports.Set("watchRing", Napi::Function::New<RingWatch::Open>(env, "watchRing"));
}

}  // namespace ktrail
