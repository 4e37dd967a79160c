// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/btf.h>
#include <napi.h>
#include <unistd.h>

#include <memory>
#include <unordered_set>
#include <utility>

namespace ktrail {

// An owned descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { Reset(); }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void Reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

// A second descriptor of the same thing, so that it outlives its first owner. Empty on failure, errno set.
Fd Duplicate(int fd);

class Addon;

// Whatever holds the kernel's things. Registered while open, so that the end of the environment (also a worker's,
// whose process lives on) closes it whether or not its JavaScript object was collected.
class Resource {
 public:
  virtual ~Resource() = default;
  virtual void Close() = 0;

 protected:
  void Register(Napi::Env env);
  void Unregister();

 private:
  Addon* addon_ = nullptr;
};

struct BtfFree {
  void operator()(btf* type_info) const { btf__free(type_info); }
};

// What one environment (main thread or worker) shares. Owned by the environment.
class Addon {
 public:
  explicit Addon(Napi::Env env);
  static Addon& Of(Napi::Env env);
  void CloseAll();

  Napi::FunctionReference make_error;
  Napi::FunctionReference object_class, map_class, link_class, ring_class, watch_class, stats_class;
  std::unordered_set<Resource*> open;
  std::unique_ptr<btf, BtfFree> vmlinux;
};

// Each file's part of the module.
void InitObject(Napi::Env env, Napi::Object exports);
void InitMap(Napi::Env env);
void InitLink(Napi::Env env);
void InitRing(Napi::Env env, Napi::Object exports);
void InitWatch(Napi::Env env, Napi::Object exports);
void InitBtf(Napi::Env env, Napi::Object exports);
void InitKernel(Napi::Env env, Napi::Object exports);
void InitCompress(Napi::Env env, Napi::Object exports);

}  // namespace ktrail
