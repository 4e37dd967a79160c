// SPDX-License-Identifier: Apache-2.0
#include "access.h"

#include "known.h"

namespace ktrail {

Places Access::Words() const {
  Places words;
  if (word < 0) return words;
  words.set(MAX_BPF_REG + word);
  // Eight bytes reach into the word above.
  if (SizeOf(each) == 8 && word > 0) words.set(MAX_BPF_REG + word - 1);
  return words;
}

Places Access::Fills() const {
  const uint8_t kind = BPF_CLASS(each.code);
  if (kind == BPF_ALU || kind == BPF_ALU64 || kind == BPF_LDX || IsWide(each)) return Places().set(each.dst_reg);
  return (kind == BPF_ST || kind == BPF_STX) && BPF_MODE(each.code) == BPF_MEM ? Words() : Places();
}

Places Access::Before(Places later) const {
  constexpr uint64_t kArguments = 0b111110;
  const uint8_t kind = BPF_CLASS(each.code), op = BPF_OP(each.code);
  const Places fills = Fills();
  const bool takes_register = BPF_SRC(each.code) == BPF_X;
  if (fills.any() && (later & fills).none()) return later;
  switch (kind) {
    case BPF_LD: return later & ~fills;
    case BPF_LDX: return (later & ~fills).set(each.src_reg) | Words();
    case BPF_ALU:
    case BPF_ALU64:
      if (op == BPF_MOV) later &= ~fills;
      return takes_register && op != BPF_END && op != BPF_NEG ? later.set(each.src_reg) : later;
    case BPF_ST:
    case BPF_STX:
      if (SizeOf(each) >= 4) later &= ~fills;
      later.set(each.dst_reg);
      if (kind == BPF_STX) later.set(each.src_reg);
      // An exchange compares with r0.
      return BPF_MODE(each.code) == BPF_ATOMIC ? later.set(BPF_REG_0) | Words() : later;
  }
  if (op == BPF_EXIT) return Places().set(BPF_REG_0);
  if (op == BPF_CALL) return later.reset(BPF_REG_0) | Places(kArguments);
  if (op == BPF_JA) return later;
  return takes_register ? later.set(each.dst_reg).set(each.src_reg) : later.set(each.dst_reg);
}

}  // namespace ktrail
