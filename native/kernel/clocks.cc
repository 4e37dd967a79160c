// SPDX-License-Identifier: Apache-2.0
#include <napi.h>

#include <cstdint>
#include <ctime>

#include "../border/addon.h"

namespace ktrail {
namespace {

int64_t Now(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

// Boot clock read before and after the wall clock. The tightest of three tries counts; its error is half its width.
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

}  // namespace

void InitClocks(Napi::Env, Napi::Object exports) {
  Export<ClockOffset>(exports, "clockOffset");
  Export<BootTime>(exports, "bootTime");
}

}  // namespace ktrail
