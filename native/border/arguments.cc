// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <cmath>
#include <cstdio>

namespace ktrail {

std::string Describe(Napi::Value value) {
  if (value.IsEmpty() || value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value() ? "true" : "false";
  if (value.IsNumber()) {
    double number = value.As<Napi::Number>().DoubleValue();
    char text[32];
    snprintf(text, sizeof(text), "%.15g", number);
    return text;
  }
  if (value.IsString()) {
    std::string text = value.As<Napi::String>().Utf8Value();
    return text.size() <= 64 ? Quoted(text) : "a string of " + std::to_string(text.size()) + " bytes";
  }
  if (value.IsBigInt()) return "a bigint";
  if (value.IsSymbol()) return "a symbol";
  if (value.IsFunction()) return "a function";
  if (value.IsArray()) return "an array";
  return "an object";
}

std::optional<std::string> StringOf(Napi::Value value, const char* op, const std::string& what) {
  auto bad = [&](const char* expected, const std::string& got) {
    return BadArgument<std::optional<std::string>>(value.Env(), op, what, expected, got);
  };
  if (value.IsEmpty() || !value.IsString()) return bad("a string", Describe(value));
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.empty()) return bad("a non-empty string", "\"\"");
  // libbpf would silently stop at the NUL and act on another name.
  if (text.find('\0') != std::string::npos) return bad("a string without NUL", "one with NUL");
  return text;
}

std::optional<Bytes> BytesOf(Napi::Value value, const char* op, const std::string& what) {
  if (!value.IsEmpty() && value.IsTypedArray()) {
    napi_typedarray_type type;
    size_t length = 0;
    void* data = nullptr;
    if (napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr) == napi_ok &&
        type == napi_uint8_array)
      return Bytes(static_cast<uint8_t*>(data), length);
  }
  return BadArgument<std::optional<Bytes>>(value.Env(), op, what, "a Uint8Array", Describe(value));
}

std::optional<Bytes> BytesOf(Napi::Value value, const char* op, const std::string& what, size_t size) {
  auto bytes = BytesOf(value, op, what);
  if (!bytes || bytes->size() == size) return bytes;
  const std::string got = std::to_string(bytes->size());
  return BadArgument<std::optional<Bytes>>(value.Env(), op, what, std::to_string(size) + " bytes", got);
}

std::optional<uint32_t> Uint32Of(Napi::Value value, const char* op, const std::string& what, uint32_t low,
                                 uint32_t high) {
  if (!value.IsEmpty() && value.IsNumber()) {
    double number = value.As<Napi::Number>().DoubleValue();
    if (number >= low && number <= high && std::trunc(number) == number) return static_cast<uint32_t>(number);
  }
  const std::string expected = "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  return BadArgument<std::optional<uint32_t>>(value.Env(), op, what, expected, Describe(value));
}

std::optional<std::vector<std::string>> StringsOf(Napi::Value value, const char* op, const std::string& what) {
  using Strings = std::vector<std::string>;
  if (value.IsEmpty() || !value.IsArray())
    return BadArgument<std::optional<Strings>>(value.Env(), op, what, "an array of strings", Describe(value));
  Napi::Array list = value.As<Napi::Array>();
  Strings strings;
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::HandleScope scope(value.Env());
    Napi::Value item = Property(list, i);
    if (value.Env().IsExceptionPending()) return std::nullopt;
    auto text = StringOf(item, op, what + "[" + std::to_string(i) + "]");
    if (!text) return std::nullopt;
    strings.push_back(std::move(*text));
  }
  return strings;
}

}  // namespace ktrail
