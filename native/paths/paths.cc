// SPDX-License-Identifier: Apache-2.0
#include "paths.h"

#include <fcntl.h>
#include <limits.h>
#include <napi.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "../border/arguments.h"
#include "../border/handle.h"
#include "worker.h"

// Work on paths whose file system may not answer for long: see worker.h.

namespace ktrail {
namespace {

constexpr uint32_t kDigestMax = 64 << 20;

Napi::Value BufferOf(Napi::Env env, const std::string& bytes) {
  return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size());
}

struct Paths {
  explicit Paths(Napi::Env env) : worker(env) {}

  Napi::Value ReadFolderCall(const Napi::CallbackInfo& info) {
    return OnPath(info, "readFolder", ReadFolder, [](Napi::Env env, FolderRead read) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("files", read.entries);
      result.Set("folders", BufferOf(env, read.folders));
      result.Set("linked", BufferOf(env, read.linked));
      return result;
    });
  }

  // undefined for a path that is missing or no link.
  Napi::Value ReadLink(const Napi::CallbackInfo& info) {
    auto read = [](const std::string& path) -> Result<std::string> {
      char target[PATH_MAX];
      ssize_t size = readlink(path.c_str(), target, sizeof(target));
      return std::string(target, size > 0 ? size : 0);
    };
    return OnPath(info, "readLink", read, [](Napi::Env env, const std::string& target) -> Napi::Value {
      return target.empty() ? env.Undefined() : Napi::String::New(env, target);
    });
  }

  Napi::Value Find(const Napi::CallbackInfo& info) {
    auto find = [](const std::string& path) -> Result<int> {
      int fd = open(path.c_str(), O_PATH | O_CLOEXEC);
      if (fd < 0) return Refused(errno, "OPEN_FAILED", "find", path, "cannot open " + Quoted(path));
      return fd;
    };
    return OnPath(info, "find", find, [](Napi::Env env, int fd) { return Napi::Number::New(env, fd); });
  }

  Napi::Value Release(const Napi::CallbackInfo& info) {
    std::optional<uint32_t> fd = Uint32Of(info[0], "release", "fd", 0, INT_MAX);
    if (!fd) return {};
    return PromisedOn(
        worker, info.Env(),
        [fd = *fd]() -> Result<std::monostate> {
          close(fd);
          return std::monostate();
        },
        [](Napi::Env env, std::monostate) { return env.Undefined(); });
  }

  Napi::Value DigestCall(const Napi::CallbackInfo& info) {
    std::optional<uint32_t> fd = Uint32Of(info[0], "digest", "fd", 0, INT_MAX);
    std::optional<uint32_t> max = fd ? Uint32Of(info[1], "digest", "maxBytes", 0, kDigestMax) : std::nullopt;
    if (!max) return {};
    return PromisedOn(
        worker, info.Env(),
        [fd = *fd, max = *max]() -> Result<Digest> {
          Fd own(fd);
          return DigestOf(own, max);
        },
        [](Napi::Env env, const Digest& digest) -> Napi::Value {
          Napi::Object result = Napi::Object::New(env);
          if (digest.missing) {
            result.Set("missing", digest.missing);
            return result;
          }
          result.Set("sha256", digest.sha256);
          result.Set("sizeBytes", static_cast<double>(digest.size));
          result.Set("sec", static_cast<double>(digest.changed_sec));
          result.Set("nsec", digest.changed_nsec);
          return result;
        });
  }

  Napi::Value ReadStart(const Napi::CallbackInfo& info) {
    std::optional<uint32_t> max = Uint32Of(info[1], "readStart", "maxBytes", 0, kDigestMax);
    if (!max) return {};
    auto read_start = [max = *max](const std::string& path) -> Result<std::string> {
      Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
      std::string bytes(max, '\0');
      size_t size = 0;
      ssize_t more = fd ? 1 : -1;
      while (more > 0 && size < max) {
        more = read(fd.get(), bytes.data() + size, max - size);
        if (more > 0) size += more;
      }
      if (more < 0) return Refused(errno, "OPEN_FAILED", "readStart", path, "cannot read " + Quoted(path));
      bytes.resize(size);
      return bytes;
    };
    return OnPath(info, "readStart", read_start, BufferOf);
  }

  Napi::Value Abandon(const Napi::CallbackInfo& info) {
    worker.Abandon();
    return info.Env().Undefined();
  }

  static constexpr char kClass[] = "PathWorker", kWhat[] = "thread for";
  static constexpr std::array<Method<Paths>, 7> kMethods = {
      Method<Paths>{"readFolder", &Paths::ReadFolderCall, true}, {"readLink", &Paths::ReadLink, true},
      {"find", &Paths::Find, true}, {"release", &Paths::Release, true}, {"digest", &Paths::DigestCall, true},
      {"readStart", &Paths::ReadStart, true}, {"abandon", &Paths::Abandon}};
  const std::string name = "paths";
  PathWorker worker;

 private:
  // PromisedOn the worker; `work` gets the path, which is the first argument.
  template <typename Work, typename Wrap>
  Napi::Value OnPath(const Napi::CallbackInfo& info, const char* op, Work work, Wrap wrap) {
    std::optional<Bytes> path = BytesOf(info[0], op, "path");
    if (!path) return {};
    auto on_path = [path = std::string(path->begin(), path->end()), work] { return work(path); };
    return PromisedOn(worker, info.Env(), std::move(on_path), wrap);
  }
};

// Waits for no FUSE server: the attributes come from the kernel's cache.
Napi::Value CachedStat(const Napi::CallbackInfo& info) {
  std::optional<std::string> path = StringOf(info[0], "cachedStat", "path");
  struct statx found;
  if (!path || statx(AT_FDCWD, path->c_str(), AT_STATX_DONT_SYNC, STATX_INO | STATX_NLINK, &found) != 0) return {};
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("ino", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(found.stx_ino)));
  result.Set("links", found.stx_nlink);
  return result;
}

Napi::Value Open(const Napi::CallbackInfo& info) {
  return Wrapped(info.Env(), std::make_unique<Paths>(info.Env()));
}

}  // namespace

void InitPaths(Napi::Env env, Napi::Object exports) {
  Handle<Paths>::Define(env);
  Export<Open>(exports, "openPathWorker");
  Export<CachedStat>(exports, "cachedStat");
}

}  // namespace ktrail
