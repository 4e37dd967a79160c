// SPDX-License-Identifier: Apache-2.0
#include "ring.h"

#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "error.h"
#include "map.h"

namespace ktrail {
namespace {

constexpr size_t kLargestRecord = 64 << 10;  // contract of types.ts: with less room than this, stop
// Freed in steps: each write of the position takes its cache line from the producers.
constexpr unsigned long kReleaseBytes = 32 << 10;

unsigned long Padded(unsigned long bytes) { return (bytes + 7) & ~7ul; }

}  // namespace

Napi::Function RingReader::Define(Napi::Env env) {
  return DefineClass(env, "RingReader",
                     {InstanceMethod<&RingReader::Read>("read"), InstanceMethod<&RingReader::Available>("available"),
                      InstanceMethod<&RingReader::Malformed>("malformed"),
                      InstanceMethod<&RingReader::CloseCall>("close"),
                      InstanceMethod<&RingReader::CloseCall>(DisposeSymbol(env))});
}

void InitRing(Napi::Env env, Napi::Object exports) {
  Addon::Of(env).ring_class = Napi::Persistent(RingReader::Define(env));
  exports.Set("openRing", Napi::Function::New<RingReader::Open>(env, "openRing"));
}

Napi::Value RingReader::Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  BpfMap* map = BpfMap::From(info[0], "openRing", "map");
  if (!map) return {};
  if (map->kernel_info().type != BPF_MAP_TYPE_RINGBUF) {
    BadArgument(env, "openRing", "map " + Quoted(map->name()), "a ring buffer", "map type " +
        std::to_string(map->kernel_info().type));
    return {};
  }
  size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  size_t size = map->kernel_info().max_entries;
  void* consumer = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd(), 0);
  void* producer = MAP_FAILED;
  if (consumer != MAP_FAILED)
    producer = mmap(nullptr, page + size, PROT_READ, MAP_SHARED, map->fd(), static_cast<off_t>(page));
  if (producer == MAP_FAILED) {
    int err = errno;
    if (consumer != MAP_FAILED) munmap(consumer, page);
    Throw(env, {CodeFor(err, "MAP_FAILED"), "openRing", map->name(), "cannot map ring " + Quoted(map->name()) +
        " into memory: " + ErrnoText(err), err});
    return {};
  }
  Napi::Object object = Addon::Of(env).ring_class.New({});
  if (env.IsExceptionPending()) {
    munmap(consumer, page);
    munmap(producer, page + size);
    return {};
  }
  RingReader* self = Unwrap(object);
  self->consumer_page_ = consumer;
  self->producer_pages_ = producer;
  self->page_ = page;
  self->size_ = size;
  self->name_ = map->name();
  self->Register(env);
  return object;
}

void RingReader::Close() {
  Unregister();
  if (consumer_page_) munmap(consumer_page_, page_);
  if (producer_pages_) munmap(producer_pages_, page_ + size_);
  consumer_page_ = producer_pages_ = nullptr;
}

bool RingReader::IsOpen(Napi::Env env, const char* op) const {
  if (consumer_page_) return true;
  Throw(env, {"CLOSED", op, name_, std::string(op) + ": ring " + Quoted(name_) + " is closed"});
  return false;
}

// Copies `bytes` bytes from a position on, in two runs where they wrap.
void RingReader::Copy(uint8_t* to, unsigned long position, size_t bytes) const {
  const uint8_t* data = static_cast<const uint8_t*>(producer_pages_) + page_;
  size_t at = position & (size_ - 1), first = std::min(bytes, size_ - at);
  memcpy(to, data + at, first);
  if (first < bytes) memcpy(to + first, data, bytes - first);
}

// Copies until the ring is empty, a record is busy or the room is spent. `too_large`: a record that no room of `into`
// can take, as the first one; it stays in the ring.
size_t RingReader::Drain(Bytes into, size_t& too_large) {
  std::atomic_ref<unsigned long> consumer(*static_cast<unsigned long*>(consumer_page_));
  std::atomic_ref<unsigned long> producer(*static_cast<unsigned long*>(producer_pages_));
  uint8_t* data = static_cast<uint8_t*>(producer_pages_) + page_;
  unsigned long position = consumer.load(std::memory_order_relaxed), released = position;
  size_t written = 0;
  bool stop = false;
  while (!stop) {
    unsigned long end = producer.load(std::memory_order_acquire);
    while (position < end) {
      uint8_t* record = data + (position & (size_ - 1));
      // Acquire: the payload may be read only after the producer cleared BUSY.
      uint32_t head = std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(record)).load(std::memory_order_acquire);
      if (head & BPF_RINGBUF_BUSY_BIT) break;
      uint32_t length = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
      if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
        unsigned long payload = position + BPF_RINGBUF_HDR_SZ;
        uint32_t size = 0;
        // Records begin at multiples of 8: neither this nor the head ever wraps.
        if (length >= sizeof(size)) memcpy(&size, data + (payload & (size_ - 1)), sizeof(size));
        size_t room = into.size() - written;
        if (size < sizeof(size) || size > length) {
          malformed_++;
        } else if (room < kLargestRecord || Padded(size) > room) {
          if (written == 0 && Padded(size) > room) too_large = size;
          stop = true;
          break;
        } else {
          Copy(into.data() + written, payload, size);
          memset(into.data() + written + size, 0, Padded(size) - size);
          written += Padded(size);
        }
      }
      position += Padded(length + BPF_RINGBUF_HDR_SZ);
      if (position - released >= kReleaseBytes) {
        consumer.store(position, std::memory_order_release);
        released = position;
      }
    }
    if (position == released) stop = true;
    consumer.store(position, std::memory_order_release);
    released = position;
    // The kernel wakes when a record is submitted at the consumer's position. Without the full fence our look at the
    // producer could pass our store: both sides would then believe that the other one sees the new record.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  return written;
}

Napi::Value RingReader::Read(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!IsOpen(env, "read")) return {};
  auto into = BytesOf(info[0], "read", "into");
  if (!into) return {};
  if (into->size() < kLargestRecord) {
    BadArgument(env, "read", "into", "at least " + std::to_string(kLargestRecord) + " bytes",
        std::to_string(into->size()));
    return {};
  }
  size_t too_large = 0;
  size_t written = Drain(*into, too_large);
  if (too_large) {
    BadArgument(env, "read", "into", "room for a record of " + std::to_string(too_large) + " bytes",
        std::to_string(into->size()));
    return {};
  }
  return Napi::Number::New(env, static_cast<double>(written));
}

Napi::Value RingReader::Available(const Napi::CallbackInfo& info) {
  if (!IsOpen(info.Env(), "available")) return {};
  std::atomic_ref<unsigned long> consumer(*static_cast<unsigned long*>(consumer_page_));
  std::atomic_ref<unsigned long> producer(*static_cast<unsigned long*>(producer_pages_));
  unsigned long from = consumer.load(std::memory_order_acquire);
  return Napi::Number::New(info.Env(), static_cast<double>(producer.load(std::memory_order_acquire) - from));
}

Napi::Value RingReader::Malformed(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(malformed_));
}

}  // namespace ktrail
