// SPDX-License-Identifier: Apache-2.0
#include "kernel.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <napi.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <unordered_set>

#include "addon.h"
#include "error.h"
#include "value.h"

namespace ktrail {
namespace {

int64_t Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// Boot clock read before and after the wall clock; of three tries the tightest, whose middle is off by half its width.
Napi::Value ClockOffset(const Napi::CallbackInfo& info) {
  int64_t best = INT64_MAX, offset = 0;
  for (int i = 0; i < 3; i++) {
    int64_t before = Now(CLOCK_BOOTTIME), wall = Now(CLOCK_REALTIME), after = Now(CLOCK_BOOTTIME);
    if (after - before >= best) continue;
    best = after - before;
    offset = wall - (before + best / 2);
  }
  return Napi::BigInt::New(info.Env(), offset);
}

Napi::Value BootTime(const Napi::CallbackInfo& info) { return Napi::BigInt::New(info.Env(), Now(CLOCK_BOOTTIME)); }

// One line of kallsyms: `ffffffff81000000 T name` with `\t[module]` behind for a module's.
void TakeLine(std::string_view line, const std::unordered_set<std::string_view>& wanted,
              std::unordered_map<std::string, uint64_t>& found, std::unordered_set<std::string_view>& functions) {
  size_t space = line.find(' ');
  if (space == std::string_view::npos || line.size() < space + 4) return;
  std::string_view name = line.substr(space + 3);
  name = name.substr(0, name.find('\t'));
  auto known = wanted.find(name);
  if (known == wanted.end()) return;
  bool function = strchr("tTwW", line[space + 1]) != nullptr;
  if (functions.contains(*known) || (!function && found.contains(std::string(name)))) return;
  uint64_t address = 0;
  for (char digit : line.substr(0, space)) address = address << 4 | (digit <= '9' ? digit - '0' : digit - 'a' + 10);
  found[std::string(name)] = address;
  if (function) functions.insert(*known);
}

Napi::Value KernelSymbols(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto names = StringsOf(info[0], "kernelSymbols", "names");
  if (!names) return {};
  std::unordered_map<std::string, uint64_t> found;
  if (!FindSymbols(*names, found)) {
    int err = errno;
    Throw(env, {CodeFor(err, "OPEN_FAILED"), "kernelSymbols", "/proc/kallsyms", "cannot read /proc/kallsyms: " +
        ErrnoText(err), err});
    return {};
  }
  Napi::Array pairs = Napi::Array::New(env);
  for (const auto& [name, address] : found) {
    Napi::Array pair = Napi::Array::New(env, 2);
    pair.Set(0u, name);
    pair.Set(1u, Napi::BigInt::New(env, address));
    pairs.Set(pairs.Length(), pair);
  }
  return pairs;
}

// Keeps the kernel's run_cnt and run_time_ns going while open (BPF_ENABLE_STATS, 5.8).
class StatsSwitch : public Napi::ObjectWrap<StatsSwitch>, public Resource {
 public:
  explicit StatsSwitch(const Napi::CallbackInfo& info) : ObjectWrap(info) {}
  ~StatsSwitch() override { Close(); }

  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "StatsSwitch",
                       {InstanceMethod<&StatsSwitch::CloseCall>("close"),
                           InstanceMethod<&StatsSwitch::CloseCall>(DisposeSymbol(env))});
  }

  static Napi::Value Open(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    Fd fd(bpf_enable_stats(BPF_STATS_RUN_TIME));
    if (!fd) {
      int err = errno;
      Throw(env, {CodeFor(err, "UNSUPPORTED"), "enableStats", "BPF run time",
          "cannot enable BPF run time statistics: " + ErrnoText(err), err});
      return {};
    }
    Napi::Object object = Addon::Of(env).stats_class.New({});
    if (env.IsExceptionPending()) return {};
    StatsSwitch* self = Unwrap(object);
    self->fd_ = std::move(fd);
    self->Register(env);
    return object;
  }

  void Close() override {
    Unregister();
    fd_.Reset();
  }

 private:
  void CloseCall(const Napi::CallbackInfo&) { Close(); }
  Fd fd_;
};

}  // namespace

bool FindSymbols(const std::vector<std::string>& names, std::unordered_map<std::string, uint64_t>& found) {
  Fd file(open("/proc/kallsyms", O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  const std::unordered_set<std::string_view> wanted(names.begin(), names.end());
  std::unordered_set<std::string_view> functions;
  std::string buffer(256 << 10, '\0');
  size_t held = 0;
  // Ends when every name is found as a function, which no later line can improve.
  while (functions.size() < wanted.size()) {
    ssize_t got = read(file.get(), buffer.data() + held, buffer.size() - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return false;
    if (got == 0) break;
    std::string_view text(buffer.data(), held + static_cast<size_t>(got));
    for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
      TakeLine(text.substr(0, end), wanted, found, functions);
    held = text.size();
    memmove(buffer.data(), text.data(), held);
    if (held == buffer.size()) held = 0;  // no line is that long; never loop on one
  }
  return true;
}

void InitKernel(Napi::Env env, Napi::Object exports) {
  Addon::Of(env).stats_class = Napi::Persistent(StatsSwitch::Define(env));
  exports.Set("clockOffset", Napi::Function::New<ClockOffset>(env, "clockOffset"));
  exports.Set("bootTime", Napi::Function::New<BootTime>(env, "bootTime"));
  exports.Set("kernelSymbols", Napi::Function::New<KernelSymbols>(env, "kernelSymbols"));
  exports.Set("enableStats", Napi::Function::New<StatsSwitch::Open>(env, "enableStats"));
}

}  // namespace ktrail
