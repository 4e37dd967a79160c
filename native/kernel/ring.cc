// SPDX-License-Identifier: Apache-2.0
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "../border/arguments.h"
#include "../border/handle.h"
#include "map.h"

namespace ktrail {
namespace {

constexpr size_t kLargestRecord = 64 << 10;  // contract of types.ts: with less room than this, stop
// Freed in steps: each write of the position takes its cache line from the producers.
constexpr unsigned long kReleaseBytes = 32 << 10;
constexpr size_t kWindow = 1 << 20;  // bytes of data that are mapped at a time

unsigned long Padded(unsigned long bytes) { return (bytes + 7) & ~7ul; }

// A mapping of a ring's memory; empty where the kernel refused it, errno set.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Fd& map, int rights, size_t bytes, size_t offset)
      : at_(mmap(nullptr, bytes, rights, MAP_SHARED, map.get(), static_cast<off_t>(offset))),
        bytes_(*this ? bytes : 0) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(at_, other.at_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Mapping() {
    if (*this) munmap(at_, bytes_);
  }
  explicit operator bool() const { return at_ != MAP_FAILED; }
  uint8_t* at(size_t offset) const { return static_cast<uint8_t*>(at_) + offset; }
  size_t bytes() const { return bytes_; }

 private:
  void* at_ = MAP_FAILED;
  size_t bytes_ = 0;
};

// The consumer of a BPF ring buffer (kernel/bpf/ringbuf.c). One reader a ring: both would move the same position.
//
//   mapping   page 0: consumer position, ours to write | page 1: producer position | data
//   record    u32 length, top bits BUSY (reserved, not yet submitted) and DISCARD | u32 | bytes | padding to 8
//
// The kernel offers the data twice in a row, so that a record that wraps is one run of bytes. All of a mapping counts as
// our memory from the start, so we map a window of the data, which moves on with the reader.
// Positions only grow; position & (size - 1) is the offset. A busy record stops the reader: order is kept.
class RingReader {
 public:
  RingReader(const BpfMap& map, size_t page)
      : name(map.name), page_(page), size_(map.info.max_entries), map_(Duplicate(map.fd.get())),
        consumer_page_(map_, PROT_READ | PROT_WRITE, page, 0), producer_page_(map_, PROT_READ, page, page) {}
  explicit operator bool() const { return consumer_page_ && producer_page_; }

  const std::string name;

 private:
  Napi::Value Read(const Napi::CallbackInfo& info);
  Napi::Value Available(const Napi::CallbackInfo& info);
  Napi::Value Malformed(const Napi::CallbackInfo& info);
  uint8_t* At(unsigned long position, size_t bytes);
  size_t Drain(Bytes into, size_t& too_large);
  std::atomic_ref<unsigned long> consumer() const { return Position(consumer_page_); }
  std::atomic_ref<unsigned long> producer() const { return Position(producer_page_); }
  static std::atomic_ref<unsigned long> Position(const Mapping& mapping) {
    return std::atomic_ref(*reinterpret_cast<unsigned long*>(mapping.at(0)));
  }

  const size_t page_, size_;
  const Fd map_;
  const Mapping consumer_page_, producer_page_;
  Mapping window_;
  size_t window_from_ = 0;  // in the data
  int refused_ = 0;
  uint64_t malformed_ = 0;

 public:
  static constexpr char kClass[] = "RingReader", kWhat[] = "ring";
  static constexpr Method<RingReader> kMethods[] = {
      {"read", &RingReader::Read}, {"available", &RingReader::Available}, {"malformed", &RingReader::Malformed}};
};

Napi::Value CannotMap(Napi::Env env, int err, const char* op, const std::string& ring) {
  return Throw(env, Refused(err, "MAP_FAILED", op, ring, "cannot map ring " + Quoted(ring) + " into memory"));
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const BpfMap* map = RingMapOf(info[0], "openRing");
  if (!map) return {};
  auto reader = std::make_unique<RingReader>(*map, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  if (*reader) return Wrapped(env, std::move(reader));
  return CannotMap(env, errno, "openRing", map->name);
}

// The data at a position, up to `bytes` of it, which are no more than the ring has; valid until the next call. nullptr
// where the kernel refused to map it, and why in `refused_`.
uint8_t* RingReader::At(unsigned long position, size_t bytes) {
  size_t from = position & (size_ - 1);
  if (from < window_from_ || from + bytes > window_from_ + window_.bytes()) {
    window_from_ = from & ~(page_ - 1);
    size_t wanted = std::max(kWindow, (from - window_from_ + bytes + page_ - 1) & ~(page_ - 1));
    window_ = Mapping(map_, PROT_READ, std::min(wanted, 2 * size_ - window_from_), 2 * page_ + window_from_);
    refused_ = window_ ? 0 : errno;
  }
  return window_ ? window_.at(from - window_from_) : nullptr;
}

// Copies until the ring is empty, a record is busy or the room is spent. `too_large`: a record that no room of `into`
// can take, as the first one; it stays in the ring.
size_t RingReader::Drain(Bytes into, size_t& too_large) {
  std::atomic_ref<unsigned long> consumer = this->consumer(), producer = this->producer();
  unsigned long position = consumer.load(std::memory_order_relaxed), released = position;
  size_t written = 0;
  bool stop = false;
  while (!stop) {
    unsigned long end = producer.load(std::memory_order_acquire);
    while (position < end) {
      uint32_t size = 0;
      uint8_t* record = At(position, BPF_RINGBUF_HDR_SZ + sizeof(size));
      stop = !record;
      if (stop) break;
      // Acquire: the payload may be read only after the producer cleared BUSY.
      uint32_t head = std::atomic_ref<uint32_t>(*reinterpret_cast<uint32_t*>(record)).load(std::memory_order_acquire);
      if (head & BPF_RINGBUF_BUSY_BIT) break;
      uint32_t length = head & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
      if (!(head & BPF_RINGBUF_DISCARD_BIT)) {
        if (length >= sizeof(size)) memcpy(&size, record + BPF_RINGBUF_HDR_SZ, sizeof(size));
        size_t room = into.size() - written;
        if (size < sizeof(size) || size > length) {
          malformed_++;
        } else if (room < kLargestRecord || Padded(size) > room) {
          if (written == 0 && Padded(size) > room) too_large = size;
          stop = true;
          break;
        } else {
          record = At(position, BPF_RINGBUF_HDR_SZ + size);
          stop = !record;
          if (stop) break;
          memcpy(into.data() + written, record + BPF_RINGBUF_HDR_SZ, size);
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
    // The kernel wakes when a record is submitted at the consumer's position. Without the full fence our read of the
    // producer could pass our store: both sides would then believe that the other one sees the new record.
    std::atomic_thread_fence(std::memory_order_seq_cst);
  }
  return written;
}

Napi::Value RingReader::Read(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto into = BytesOf(info[0], "read", "into");
  if (!into) return {};
  const std::string given = std::to_string(into->size());
  if (into->size() < kLargestRecord)
    return BadArgument(env, "read", "into", "at least " + std::to_string(kLargestRecord) + " bytes", given);
  size_t too_large = 0;
  size_t written = Drain(*into, too_large);
  if (too_large)
    return BadArgument(env, "read", "into", "room for a record of " + std::to_string(too_large) + " bytes", given);
  if (refused_ && written == 0) return CannotMap(env, refused_, "read", name);
  return Napi::Number::New(env, static_cast<double>(written));
}

Napi::Value RingReader::Available(const Napi::CallbackInfo& info) {
  unsigned long from = consumer().load(std::memory_order_acquire);
  return Napi::Number::New(info.Env(), static_cast<double>(producer().load(std::memory_order_acquire) - from));
}

Napi::Value RingReader::Malformed(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(malformed_));
}

}  // namespace

void InitRing(Napi::Env env, Napi::Object exports) {
  Handle<RingReader>::Define(env);
  Export<Open>(exports, "openRing");
}

}  // namespace ktrail
