// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <string>

namespace ktrail {

// The failure of a call, as it crosses to JavaScript; native/errors.ts turns it into a NativeError.
// `message` is the whole sentence, `log` everything libbpf and the verifier logged meanwhile.
struct Failure {
  std::string code;
  std::string op;
  std::string target;
  std::string message;
  int err = 0;
  std::string log = {};
};

// A failure by errno: `<what>: <errno in words>`. Its code is NOT_PERMITTED for EPERM and EACCES, `code` for the rest.
Failure Refused(int err, const char* code, const char* op, const std::string& target, const std::string& what,
                const std::string& log = {});

// Throws, and returns the empty value that a call must then return. Keeps an exception that is already pending.
Napi::Value Throw(Napi::Env env, const Failure& failure);

// `errno` as words and name: `No such file or directory (ENOENT)`.
std::string ErrnoText(int err);

// `text` in double quotes.
std::string Quoted(const std::string& text);

// Collects libbpf's messages on this thread while it exists, so that they are part of the error and not on stderr.
class LogCapture {
 public:
  LogCapture();
  ~LogCapture();
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  const std::string& text() const { return text_; }

  static void Install();

 private:
  std::string text_;
  std::string* previous_;
};

}  // namespace ktrail
