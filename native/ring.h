// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "addon.h"
#include "value.h"

namespace ktrail {

// The consumer of a BPF ring buffer (kernel/bpf/ringbuf.c). One reader a ring: both would move the same position.
//
//   mapping   page 0: consumer position, ours to write | page 1: producer position | data
//   record    u32 length, top bits BUSY (reserved, not yet submitted) and DISCARD | u32 | bytes | padding to 8
//
// The kernel offers the data twice in a row, so that a record that wraps is one run of bytes. We map it once: all of a
// mapping counts as our memory from the start (16 MiB by default), and a copy in two runs costs nothing.
// Positions only grow; position & (size - 1) is the offset. A busy record stops the reader: order is kept.
class RingReader : public Napi::ObjectWrap<RingReader>, public Resource {
 public:
  explicit RingReader(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~RingReader() override { Close(); }
  static Napi::Function Define(Napi::Env env);
  static Napi::Value Open(const Napi::CallbackInfo& info);
  void Close() override;

 private:
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Available(const Napi::CallbackInfo& info);
  Napi::Value Malformed(const Napi::CallbackInfo& info);
  void CloseCall(const Napi::CallbackInfo&) { Close(); }
  bool IsOpen(Napi::Env env, const char* op) const;
  void Copy(uint8_t* to, unsigned long position, size_t bytes) const;
  size_t Drain(Bytes into, size_t& too_large);

  void* consumer_page_ = nullptr;
  void* producer_pages_ = nullptr;
  size_t page_ = 0;
  size_t size_ = 0;
  uint64_t malformed_ = 0;
  std::string name_;
};

}  // namespace ktrail
