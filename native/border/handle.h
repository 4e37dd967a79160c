// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon.h"
#include "failure.h"
#include "promise.h"

namespace ktrail {

template <typename T>
struct Method {
  const char* name;
  Napi::Value (T::*run)(const Napi::CallbackInfo& info);
  bool promises = false;  // true: exceptions, including CLOSED, reject a promise
};

// The JavaScript object that owns a T: until `close`, until it is collected, or until the environment ends (also a
// worker's, whose process lives on). A T closes what it holds in its destructor and has
//
//   kClass     name of the JavaScript class
//   kWhat      what it is, for messages
//   kMethods   what JavaScript may call, as an array of Method<T>; called only while it is open
//   name       which one it is, for messages
//   kSlow      optional: it is destroyed on the thread of border/worker.h, after all earlier requests
template <typename T>
class Handle : public Napi::ObjectWrap<Handle<T>>, public Closable {
 public:
  using Wrap = Napi::ObjectWrap<Handle<T>>;
  explicit Handle(const Napi::CallbackInfo& info) : Wrap(info) {}
  ~Handle() override { Close(); }

  // Makes the class known; once in an environment.
  static void Define(Napi::Env env) {
    // All calls fail while an environment is torn down; Napi's wrapper would then end the process.
    napi_value global = nullptr, symbol = nullptr, dispose = nullptr;
    if (napi_get_global(env, &global) != napi_ok ||
        napi_get_named_property(env, global, "Symbol", &symbol) != napi_ok ||
        napi_get_named_property(env, symbol, "dispose", &dispose) != napi_ok)
      return;
    std::vector<Napi::ClassPropertyDescriptor<Handle>> members = {
        Wrap::template InstanceMethod<&Handle::CloseCall>("close"),
        Wrap::template InstanceMethod<&Handle::CloseCall>(Napi::Symbol(env, dispose))};
    for (const Method<T>& method : T::kMethods) {
      void* data = const_cast<Method<T>*>(&method);
      members.push_back(Wrap::template InstanceMethod<&Handle::Call>(method.name, napi_default, data));
    }
    Napi::Function made = Wrap::DefineClass(env, T::kClass, members);
    if (!made.IsEmpty()) Addon::Of(env).classes[T::kClass] = Napi::Persistent(made);
  }

  // A handle that is open; nullptr with an exception pending or in an environment that ends, and then `owned` is closed.
  static Handle* New(Napi::Env env, std::unique_ptr<T> owned) {
    Napi::Object object = Addon::Of(env).classes[T::kClass].New({});
    if (object.IsEmpty() || env.IsExceptionPending()) return nullptr;
    Handle* handle = Wrap::Unwrap(object);
    if (!handle) return nullptr;
    handle->name_ = owned->name;
    handle->owned_ = std::move(owned);
    Addon::Of(env).open.insert(handle);
    return handle;
  }

  void Close() override {
    if (!owned_) return;
    Addon::Of(this->Env()).open.erase(this);
    if constexpr (requires { T::kSlow; })
      DestroyLater(this->Env(), std::move(owned_));
    else
      owned_.reset();
  }

  // The owned T; nullptr after throwing CLOSED.
  T* Open(const char* op) const {
    if (!owned_) {
      Throw(this->Env(), {"CLOSED", op, name_, std::string(op) + ": " + T::kWhat + " " + Quoted(name_) + " is closed"});
    }
    return owned_.get();
  }

 private:
  void CloseCall(const Napi::CallbackInfo&) { Close(); }

  Napi::Value Call(const Napi::CallbackInfo& info) {
    const Method<T>& method = *static_cast<const Method<T>*>(info.Data());
    T* open = Open(method.name);
    Napi::Value value = open ? (open->*method.run)(info) : Napi::Value();
    return method.promises && info.Env().IsExceptionPending() ? Rejected(info.Env()) : value;
  }

  std::unique_ptr<T> owned_;
  std::string name_;
};

// The JavaScript object for a new T.
template <typename T>
Napi::Value Wrapped(Napi::Env env, std::unique_ptr<T> owned) {
  Handle<T>* handle = Handle<T>::New(env, std::move(owned));
  return handle ? handle->Value() : Napi::Value();
}

}  // namespace ktrail
