// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <openssl/evp.h>  // Node contains OpenSSL and its headers
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "../border/addon.h"
#include "paths.h"

namespace ktrail {
namespace {

constexpr int64_t kNsec = 1'000'000'000;
// Before Linux 6.13 all changes within a tick have the same ctime, and a tick is at most 10 ms.
constexpr int64_t kTickNs = 20'000'000;
constexpr int kWaits = 5;

bool Look(int fd, struct statx& is) {
  return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &is) == 0;
}

int64_t Ns(const statx_timestamp& time) { return time.tv_sec * kNsec + time.tv_nsec; }

// Whether another change could still get the ctime that the file has.
bool IsFresh(const struct statx& is) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t age = now.tv_sec * kNsec + now.tv_nsec - Ns(is.stx_ctime);
  return age > -kTickNs && age < kTickNs;
}

bool Same(const struct statx& a, const struct statx& b) {
  return a.stx_size == b.stx_size && Ns(a.stx_ctime) == Ns(b.stx_ctime) && Ns(a.stx_mtime) == Ns(b.stx_mtime);
}

Fd Readable(int fd) {
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  Fd file(open(path.c_str(), kFlags | O_NOATIME));
  // Only the owner of a file may keep its time of access.
  return file || errno != EPERM ? std::move(file) : Fd(open(path.c_str(), kFlags));
}

}  // namespace

Digest DigestOf(const Fd& fd, size_t max_bytes) {
  struct statx before, after;
  if (!Look(fd.get(), before)) return {"unreadable"};
  // Opening a device or a FIFO may do something.
  if (!S_ISREG(before.stx_mode)) return {"no_regular_file"};
  if (before.stx_size > max_bytes) return {"too_large"};
  for (int waits = 0; IsFresh(before); waits++) {
    timespec tick{0, kTickNs};
    if (waits == kWaits) return {"changing"};
    nanosleep(&tick, nullptr);
    if (!Look(fd.get(), before)) return {"unreadable"};
  }
  Fd file = Readable(fd.get());
  if (!file) return {"unreadable"};
  std::string content(std::min<uint64_t>(before.stx_size, max_bytes) + 1, '\0');
  size_t size = 0;
  while (size < content.size()) {
    ssize_t more = read(file.get(), content.data() + size, content.size() - size);
    if (more < 0 && errno == EINTR) continue;
    if (more < 0) return {"unreadable"};
    if (more == 0) break;
    size += more;
  }
  if (!Look(file.get(), after)) return {"unreadable"};
  // Also if the size differs from the content, as in files of /proc.
  if (!Same(before, after) || size != before.stx_size) return {"changing"};
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(content.data(), size, digest, &length, EVP_sha256(), nullptr) != 1) return {"unreadable"};
  Digest result{.size = size, .changed_sec = after.stx_ctime.tv_sec, .changed_nsec = after.stx_ctime.tv_nsec};
  for (unsigned int i = 0; i < length; i++) {
    constexpr char kDigits[] = "0123456789abcdef";
    result.sha256 += kDigits[digest[i] >> 4];
    result.sha256 += kDigits[digest[i] & 15];
  }
  return result;
}

}  // namespace ktrail
