// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "failure.h"

// Arguments at the border. Each returns nothing after throwing BAD_ARGUMENT with a sentence
// (`<what>: expected <expected>, got <got>`), so a caller only returns.

namespace ktrail {

using Bytes = std::span<uint8_t>;

// Throws that sentence, and returns what the caller must then return: an empty value, nothing, nullptr or false.
template <typename T = Napi::Value>
T BadArgument(Napi::Env env, const std::string& op, const std::string& what, const std::string& expected,
              const std::string& got) {
  Throw(env, {.code = "BAD_ARGUMENT", .op = op, .target = what,
              .message = op + ": " + what + ": expected " + expected + ", got " + got});
  return T();
}

// A value in few words, for messages: its type, and a short string or number as it is.
std::string Describe(Napi::Value value);

// A property, or an array's element; undefined when reading it threw (that exception stays pending), or when the
// environment ends.
template <typename Key>
Napi::Value Property(Napi::Object object, Key key) {
  Napi::Value value = object.Get(key);
  return value.IsEmpty() ? object.Env().Undefined() : value;
}

std::optional<std::string> StringOf(Napi::Value value, const char* op, const std::string& what);

// A view into the caller's Uint8Array (Buffers are); valid for this call only.
std::optional<Bytes> BytesOf(Napi::Value value, const char* op, const std::string& what);

// A view of exactly `size` bytes.
std::optional<Bytes> BytesOf(Napi::Value value, const char* op, const std::string& what, size_t size);

// A whole number in [low, high].
std::optional<uint32_t> Uint32Of(Napi::Value value, const char* op, const std::string& what, uint32_t low,
                                 uint32_t high);

std::optional<std::vector<std::string>> StringsOf(Napi::Value value, const char* op, const std::string& what);

}  // namespace ktrail
