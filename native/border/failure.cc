// SPDX-License-Identifier: Apache-2.0
#include "failure.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "addon.h"

namespace ktrail {
namespace {

// libbpf's print callback carries no context, and workers load objects in parallel: hence one sink a thread.
thread_local std::string* log_sink = nullptr;

int Print(libbpf_print_level level, const char* format, va_list args) {
  if (level == LIBBPF_DEBUG || !log_sink) return 0;
  va_list again;
  va_copy(again, args);
  int size = vsnprintf(nullptr, 0, format, again);
  va_end(again);
  if (size <= 0) return 0;
  size_t start = log_sink->size();
  log_sink->resize(start + static_cast<size_t>(size) + 1);
  vsnprintf(log_sink->data() + start, static_cast<size_t>(size) + 1, format, args);
  log_sink->pop_back();
  return size;
}

}  // namespace

LogCapture::LogCapture() : previous_(log_sink) { log_sink = &text_; }
LogCapture::~LogCapture() { log_sink = previous_; }
void LogCapture::Install() { libbpf_set_print(Print); }

std::string ErrnoText(int err) {
  const char* name = strerrorname_np(err);
  const char* words = strerrordesc_np(err);
  // ENOTSUPP is the kernel's own: it has no name in user space although bpf(2) returns it.
  if (err == 524) return "Operation not supported by this kernel (ENOTSUPP)";
  if (err >= __LIBBPF_ERRNO__START) {
    char text[128];
    libbpf_strerror(err, text, sizeof(text));
    return text;
  }
  if (!name || !words) return "error " + std::to_string(err);
  return std::string(words) + " (" + name + ")";
}

std::string Quoted(const std::string& text) { return "\"" + text + "\""; }

Failure Refused(int err, const char* code, const char* op, const std::string& target, const std::string& what,
                const std::string& log) {
  bool permitted = err != EPERM && err != EACCES;
  return {permitted ? code : "NOT_PERMITTED", op, target, what + ": " + ErrnoText(err), err, log};
}

Napi::Value Throw(Napi::Env env, const Failure& failure) {
  if (env.IsExceptionPending()) return {};
  Napi::HandleScope scope(env);
  Napi::Object detail = Napi::Object::New(env);
  detail.Set("code", failure.code);
  detail.Set("errno", Napi::Number::New(env, failure.err));
  detail.Set("op", failure.op);
  detail.Set("target", failure.target);
  detail.Set("message", failure.message);
  detail.Set("log", failure.log);
  Addon& addon = Addon::Of(env);
  if (addon.make_error.IsEmpty()) {
    Napi::Error::New(env, failure.message).ThrowAsJavaScriptException();
    return {};
  }
  Napi::Value error = addon.make_error.Call({detail});
  if (!env.IsExceptionPending()) napi_throw(env, error);
  return {};
}

}  // namespace ktrail
