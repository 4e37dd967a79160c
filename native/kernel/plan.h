// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../border/failure.h"
#include "../btf/needed.h"
#include "map.h"

namespace ktrail {

// How a program is bound: the data that the kernel needs at load and at attach. Names are AttachKind of types.ts.
struct Kind {
  std::string_view name;
  bpf_prog_type type;
  int expected;        // expected_attach_type; for the multi kinds also the link's attach type
  bool multi;          // one link over many symbols
  bool returns;        // runs at the return
  bool by_target;      // bound to its function by BTF before load
};

struct ProgramPlan {
  std::string name;
  std::string target;  // empty: none given
  const Kind* kind;
};

struct SharedMap {
  Fd fd;  // a duplicate, because the caller may close the map meanwhile
  bpf_map_info info;
};

template <typename Value>
using ByName = std::vector<std::pair<std::string, Value>>;

// ObjectOptions of types.ts, checked.
struct ObjectPlan {
  std::vector<ProgramPlan> programs;
  ByName<std::vector<uint8_t>> constants;
  ByName<SharedMap> shared_maps;
  ByName<uint32_t> map_sizes;
  ByName<uint32_t> value_sizes;
  ByName<uint32_t> map_flags;
};

// false after throwing.
bool ParseOptions(Napi::Value options, ObjectPlan& plan);

// Carries out a plan on an object that is open and not yet loaded, and writes its types (prepare.cc). `log`: libbpf's text so far.
std::optional<Failure> Prepare(bpf_object* object, const ObjectPlan& plan, NeededTypes& types, const std::string& path,
                               const LogCapture& log);

}  // namespace ktrail
