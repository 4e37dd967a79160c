// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "kinds.h"
#include "map.h"

namespace ktrail {

struct ProgramPlan {
  std::string name;
  std::string target;  // empty: none given
  const Kind* kind;
};

struct ConstantPlan {
  std::string name;
  std::vector<uint8_t> bytes;
};

struct SharedMapPlan {
  std::string name;
  const BpfMap* map;  // alive during the call: the caller's options hold it
};

struct MapSizePlan {
  std::string name;
  uint32_t entries;
};

struct MapFlagsPlan {
  std::string name;
  uint32_t flags;
};

// ObjectOptions of types.ts, checked.
struct ObjectPlan {
  std::vector<ProgramPlan> programs;
  std::vector<ConstantPlan> constants;
  std::vector<SharedMapPlan> shared_maps;
  std::vector<MapSizePlan> map_sizes;
  std::vector<MapFlagsPlan> map_flags;
};

// false after throwing.
bool ParseOptions(Napi::Value options, ObjectPlan& plan);

}  // namespace ktrail
