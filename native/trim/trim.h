// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

namespace ktrail {

// Makes libbpf trim the programs in sections that it does not know, such as SEC("hook"). Called once.
void InitTrim();

// While it exists, objects that this thread loads are trimmed by the constants of `object`.
class Trimming {
 public:
  explicit Trimming(const bpf_object* object);
  ~Trimming();
  Trimming(const Trimming&) = delete;
  Trimming& operator=(const Trimming&) = delete;
};

}  // namespace ktrail
