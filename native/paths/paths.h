// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "../border/addon.h"
#include "../border/promise.h"

namespace ktrail {

// The entries of one folder for a search of hard links. Names are of its own file system, each with a NUL behind it.
struct FolderRead {
  double entries = 0;
  std::string folders, linked;
};

// Symbolic links are not followed.
Result<FolderRead> ReadFolder(const std::string& path);

// Digest of the content of a regular file, as it was at one moment.
struct Digest {
  const char* missing = nullptr;  // reason of the failure
  std::string sha256 = {};        // in hexadecimal digits
  uint64_t size = 0;
  int64_t changed_sec = 0;  // ctime
  uint32_t changed_nsec = 0;
};

// `fd`: a descriptor of a file that need not be readable.
Digest DigestOf(const Fd& fd, size_t max_bytes);

}  // namespace ktrail
