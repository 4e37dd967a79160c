// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <napi.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "border/addon.h"
#include "border/arguments.h"
#include "border/failure.h"

// What a look for hard links needs of one folder, read on libuv's threads: a promise a file, as node:fs has it, costs ten times as much.

namespace ktrail {

namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

class Reading : public Napi::AsyncWorker {
 public:
  Reading(Napi::Env env, std::string path) : AsyncWorker(env, "ktrail:folder"), deferred_(env), path_(std::move(path)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    int fd = open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    std::unique_ptr<DIR, CloseFolder> folder(fd < 0 ? nullptr : fdopendir(fd));
    struct statx own;
    if (!folder || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &own) != 0) {
      if (fd >= 0 && !folder) close(fd);
      SetError("cannot read folder " + Quoted(path_) + ": " + ErrnoText(errno));
      return;
    }
    while (dirent* entry = readdir(folder.get())) {
      std::string name = entry->d_name;
      struct statx is;
      // It may be gone by now. What is mounted here is of another file system.
      if (name == "." || name == ".." ||
          statx(fd, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_NLINK, &is) != 0 ||
          is.stx_dev_major != own.stx_dev_major || is.stx_dev_minor != own.stx_dev_minor)
        continue;
      files_++;
      if (S_ISDIR(is.stx_mode))
        folders_ += name + '\0';
      else if (is.stx_nlink > 1)
        linked_ += name + '\0';
    }
  }

  void OnOK() override {
    Napi::Env env = Env();
    Napi::HandleScope scope(env);
    Napi::Object result = Napi::Object::New(env);
    result.Set("files", files_);
    result.Set("folders", Napi::Buffer<char>::Copy(env, folders_.data(), folders_.size()));
    result.Set("linked", Napi::Buffer<char>::Copy(env, linked_.data(), linked_.size()));
    deferred_.Resolve(result);
  }

  void OnError(const Napi::Error& error) override {
    Napi::HandleScope scope(Env());
    deferred_.Reject(error.Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::string path_;
  double files_ = 0;
  std::string folders_, linked_;
};

Napi::Value ReadFolder(const Napi::CallbackInfo& info) {
  std::optional<Bytes> path = BytesOf(info[0], "readFolder", "path");
  if (!path) return {};
  auto* reading = new Reading(info.Env(), std::string(path->begin(), path->end()));
  reading->Queue();
  return reading->promise();
}

}  // namespace

void InitFolder(Napi::Env, Napi::Object exports) { Export<ReadFolder>(exports, "readFolder"); }

}  // namespace ktrail
