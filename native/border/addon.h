// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "worker.h"

namespace ktrail {

// Deleter of a C library's object, for a std::unique_ptr.
template <auto free>
struct Free {
  void operator()(auto* object) const { free(object); }
};

// An owned descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// A second descriptor of the same thing, so that it outlives its first owner. Empty on failure, errno set.
Fd Duplicate(int fd);

// An object to close when the environment ends.
class Closable {
 public:
  virtual ~Closable() = default;
  virtual void Close() = 0;
};

// State of one environment (main thread or worker). Owned by the environment.
class Addon {
 public:
  explicit Addon(Napi::Env env);
  static Addon& Of(Napi::Env env) { return *env.GetInstanceData<Addon>(); }

  Napi::FunctionReference make_error;
  // Constructors of the handles, by name (handle.h).
  std::unordered_map<std::string_view, Napi::FunctionReference> classes;
  std::unordered_set<Closable*> open;
  Worker worker;
};

// Each file's part of the module.
void InitObject(Napi::Env env, Napi::Object exports);
void InitRing(Napi::Env env, Napi::Object exports);
void InitWatch(Napi::Env env, Napi::Object exports);
void InitBtf(Napi::Env env, Napi::Object exports);
void InitMembers(Napi::Env env, Napi::Object exports);
void InitSymbols(Napi::Env env, Napi::Object exports);
void InitClocks(Napi::Env env, Napi::Object exports);
void InitCompress(Napi::Env env, Napi::Object exports);
void InitNotify(Napi::Env env, Napi::Object exports);
void InitPaths(Napi::Env env, Napi::Object exports);

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
void Export(Napi::Object exports, const char* name) {
  exports.Set(name, Napi::Function::New<function>(exports.Env(), name));
}

// A list of [name, value], as a Map of JavaScript is made of.
template <typename Named, typename ValueOf>
Napi::Value Pairs(Napi::Env env, const Named& all, ValueOf value_of) {
  Napi::Array pairs = Napi::Array::New(env);
  for (const auto& [name, each] : all) {
    Napi::Array pair = Napi::Array::New(env, 2);
    pair.Set(0u, name);
    pair.Set(1u, value_of(env, each));
    pairs.Set(pairs.Length(), pair);
  }
  return pairs;
}

}  // namespace ktrail
