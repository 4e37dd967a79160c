// SPDX-License-Identifier: Apache-2.0
#include <isa-l/igzip_lib.h>
#include <napi.h>
#include <zstd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "border/addon.h"
#include "border/arguments.h"

// Whole bodies of requests and parts of a spool, compressed on libuv's threads: the chunks are read in place, without a copy, and the state of a
// compressor stays with its thread.

namespace ktrail {

namespace {

// Level 1 of both. ISA-L's is smaller than zlib's level 1 at a fifth of the time.
constexpr int kLevel = 1;

// Bytes that grow without being zeroed.
class Output {
 public:
  explicit Output(size_t capacity) { Grow(capacity); }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;
  ~Output() { std::free(data_); }

  // Room for more after `used` bytes; false when there is no memory.
  bool Grow(size_t capacity) {
    void* grown = std::realloc(data_, capacity);
    if (!grown) return false;
    data_ = static_cast<uint8_t*>(grown);
    capacity_ = capacity;
    return true;
  }
  bool Double() { return Grow(capacity_ * 2); }

  uint8_t* data() const { return data_; }
  size_t capacity() const { return data_ ? capacity_ : 0; }
  size_t used = 0;

 private:
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

struct Gzip {
  isal_zstream stream;
  uint8_t work[ISAL_DEF_LVL1_DEFAULT];
};

thread_local std::unique_ptr<Gzip> gzip_of_thread;
thread_local std::unique_ptr<ZSTD_CCtx, Free<ZSTD_freeCCtx>> zstd_of_thread;

constexpr const char* kNoMemory = "no memory for compression";

// Returns the failure, or nothing.
using Compress = const char* (*)(const std::vector<Bytes>& chunks, size_t length, Output& out);

const char* CompressGzip(const std::vector<Bytes>& chunks, size_t, Output& out) {
  if (!gzip_of_thread) gzip_of_thread.reset(new (std::nothrow) Gzip);
  if (!gzip_of_thread) return kNoMemory;
  isal_zstream& stream = gzip_of_thread->stream;
  isal_deflate_init(&stream);
  stream.gzip_flag = IGZIP_GZIP;
  stream.level = kLevel;
  stream.level_buf = gzip_of_thread->work;
  stream.level_buf_size = sizeof gzip_of_thread->work;
  for (size_t i = 0; i < chunks.size(); i++) {
    stream.next_in = chunks[i].data();
    stream.avail_in = static_cast<uint32_t>(chunks[i].size());
    stream.end_of_stream = i + 1 == chunks.size();
    do {
      if (out.used == out.capacity() && !out.Double()) return kNoMemory;
      size_t room = out.capacity() - out.used;
      stream.next_out = out.data() + out.used;
      stream.avail_out = static_cast<uint32_t>(room);
      if (isal_deflate(&stream) != COMP_OK) return "ISA-L refused its parameters";
      out.used += room - stream.avail_out;
    } while (stream.avail_in > 0 ||
             (stream.end_of_stream && stream.internal_state.state != ZSTATE_END));
  }
  return nullptr;
}

const char* CompressZstd(const std::vector<Bytes>& chunks, size_t length, Output& out) {
  if (!zstd_of_thread) zstd_of_thread.reset(ZSTD_createCCtx());
  ZSTD_CCtx* context = zstd_of_thread.get();
  if (!context) return kNoMemory;
  ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, kLevel);
  // Known beforehand, small bodies take small tables.
  ZSTD_CCtx_setPledgedSrcSize(context, length);
  for (size_t i = 0; i < chunks.size(); i++) {
    ZSTD_inBuffer in{chunks[i].data(), chunks[i].size(), 0};
    ZSTD_EndDirective end = i + 1 == chunks.size() ? ZSTD_e_end : ZSTD_e_continue;
    for (size_t left = 1; left > 0 || in.pos < in.size;) {
      if (out.used == out.capacity() && !out.Double()) return kNoMemory;
      ZSTD_outBuffer to{out.data(), out.capacity(), out.used};
      left = ZSTD_compressStream2(context, &to, &in, end);
      if (ZSTD_isError(left)) return ZSTD_getErrorName(left);
      out.used = to.pos;
      // Only the last chunk is flushed whole.
      if (end == ZSTD_e_continue) left = 0;
    }
  }
  return nullptr;
}

class Job : public Napi::AsyncWorker {
 public:
  Job(Napi::Env env, Compress compress, std::vector<Bytes> chunks, size_t length, Napi::Array alive)
      : AsyncWorker(env, "ktrail:compress"), deferred_(env), compress_(compress), chunks_(std::move(chunks)),
        length_(length), alive_(Napi::Persistent<Napi::Object>(alive)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    // Records compress to a tenth and better.
    out_ = std::make_unique<Output>(length_ / 8 + 1024);
    const char* problem = out_->capacity() == 0 ? kNoMemory : compress_(chunks_, length_, *out_);
    if (problem) SetError(problem);
  }

  void OnOK() override { deferred_.Resolve(Napi::Buffer<uint8_t>::Copy(Env(), out_->data(), out_->used)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  Napi::Promise::Deferred deferred_;
  Compress compress_;
  std::vector<Bytes> chunks_;
  size_t length_;
  Napi::ObjectReference alive_;
  std::unique_ptr<Output> out_;
};

Napi::Value Start(const Napi::CallbackInfo& info, const char* op, Compress compress) {
  Napi::Env env = info.Env();
  if (!info[0].IsArray()) return BadArgument(env, op, "chunks", "an array of Uint8Array", Describe(info[0]));
  Napi::Array given = info[0].As<Napi::Array>();
  Napi::Array alive = Napi::Array::New(env, given.Length());
  std::vector<Bytes> chunks;
  size_t length = 0;
  for (uint32_t i = 0; i < given.Length(); i++) {
    Napi::Value chunk = Property(given, i);
    std::optional<Bytes> bytes = BytesOf(chunk, op, "chunk " + std::to_string(i));
    if (!bytes) return {};
    alive.Set(i, chunk);
    length += bytes->size();
    chunks.push_back(*bytes);
  }
  // Without chunks, an empty body is compressed.
  if (chunks.empty()) chunks.push_back({});
  Job* job = new Job(env, compress, std::move(chunks), length, alive);
  job->Queue();
  return job->promise();
}

Napi::Value StartGzip(const Napi::CallbackInfo& info) { return Start(info, "gzip", CompressGzip); }
Napi::Value StartZstd(const Napi::CallbackInfo& info) { return Start(info, "zstd", CompressZstd); }

}  // namespace

void InitCompress(Napi::Env, Napi::Object exports) {
  Export<StartGzip>(exports, "gzip");
  Export<StartZstd>(exports, "zstd");
}

}  // namespace ktrail
