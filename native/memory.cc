// SPDX-License-Identifier: Apache-2.0
#include <napi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <climits>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "addon.h"

namespace ktrail {
namespace {

// A mapping as /proc/self/smaps tells of it, sizes in kB. Source: proc(5).
struct Mapping {
  uintptr_t begin = 0, end = 0;
  bool clean = false;  // of the program's file, private, not writable
  size_t resident = 0, anonymous = 0;

  // Pages of its own would be lost: relocated constants, breakpoints of uprobes, code moved onto huge pages.
  size_t Release() const {
    if (!clean || anonymous > 0 || resident == 0) return 0;
    return madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED) == 0 ? resident : 0;
  }
};

std::string ProgramFile() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof path);
  return std::string(path, length > 0 ? length : 0);
}

Napi::Value ReleaseCode(const Napi::CallbackInfo& info) {
  const std::string program = ProgramFile();
  std::ifstream smaps("/proc/self/smaps");
  size_t released = 0;
  Mapping mapping;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long begin, end;
    char rights[5];
    int path = 0;
    size_t size;
    if (sscanf(line.c_str(), "%lx-%lx %4s %*s %*s %*s %n", &begin, &end, rights, &path) == 3 && path > 0) {
      released += mapping.Release();
      bool clean = rights[0] == 'r' && rights[1] == '-' && rights[3] == 'p' && line.compare(path, line.npos, program) == 0;
      mapping = {begin, end, clean};
    } else if (sscanf(line.c_str(), "Rss: %zu", &size) == 1) {
      mapping.resident = size;
    } else if (sscanf(line.c_str(), "Anonymous: %zu", &size) == 1) {
      mapping.anonymous = size;
    }
  }
  released += mapping.Release();
  return Napi::Number::New(info.Env(), static_cast<double>(released) * 1024);
}

}  // namespace

void InitMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("releaseCode", Napi::Function::New<ReleaseCode>(env, "releaseCode"));
}

}  // namespace ktrail
