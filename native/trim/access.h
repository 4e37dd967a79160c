// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/bpf.h>

#include <bitset>

namespace ktrail {

// A bit for each of r0 to r10, then for each word of the stack of 512 bytes.
using Places = std::bitset<MAX_BPF_REG + 128>;

// Places that an instruction reads and fills. `word`: the word of the stack that it accesses, from the top; -1: none, or an
// object may be there.
struct Access {
  const bpf_insn& each;
  int word;

  // The place that it does nothing else than to fill; none: it does more.
  Places Fills() const;
  // Places that are read later, seen from before it. `later`: from behind it.
  Places Before(Places later) const;

 private:
  Places Words() const;
};

}  // namespace ktrail
