// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "../border/promise.h"

namespace ktrail {

// What a look for hard links needs of one folder. Names are of its own file system, each with a NUL behind it.
struct FolderRead {
  double entries = 0;
  std::string folders, linked;
};

// Symbolic links are not followed.
Result<FolderRead> ReadFolder(const std::string& path);

// The content of a regular file, as it was at one moment.
struct Content {
  const char* missing = nullptr;  // why there is none
  std::string bytes;
  int64_t changed_sec = 0;  // ctime
  uint32_t changed_nsec = 0;
};

// `fd`: a descriptor of it that need not be readable.
Content ReadContent(int fd, size_t max_bytes);

}  // namespace ktrail
