// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <napi.h>

#include "addon.h"

namespace ktrail {

// glibc keeps what is freed for the next time, in the middle of its heaps too.
static void TrimMemory(const Napi::CallbackInfo&) { malloc_trim(0); }

void InitMemory(Napi::Env env, Napi::Object exports) {
  exports.Set("trimMemory", Napi::Function::New<TrimMemory>(env, "trimMemory"));
}

}  // namespace ktrail
