// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cstdint>
#include <vector>

namespace ktrail {

// A register's content wherever an instruction runs: a number, or an address in a map of constants.
struct Value {
  enum Kind : uint8_t { kNone, kNumber, kAddress, kAny } kind = kNone;
  uint8_t size = 0;     // of a value on the stack: bytes of the store
  int map = 0;          // descriptor of the map that the address is in
  uint64_t number = 0;  // or the offset in that map

  bool operator==(const Value&) const = default;
};

// A map whose bytes the kernel has frozen.
struct Constants {
  int map;
  const uint8_t* bytes;
  size_t size;
};

std::vector<Constants> ConstantsOf(const bpf_object* object);

constexpr bool IsCall(const bpf_insn& each) {
  return each.code == (BPF_JMP | BPF_CALL) && each.src_reg == BPF_PSEUDO_CALL;
}
constexpr bool IsBranch(const bpf_insn& each) {
  const uint8_t kind = BPF_CLASS(each.code), op = BPF_OP(each.code);
  return (kind == BPF_JMP || kind == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT && op != BPF_JA;
}
constexpr bool IsGoto(const bpf_insn& each) { return each.code == (BPF_JMP | BPF_JA) || each.code == (BPF_JMP32 | BPF_JA); }
// The first of two instructions that load eight bytes.
constexpr bool IsWide(const bpf_insn& each) { return each.code == (BPF_LD | BPF_IMM | BPF_DW); }
constexpr bool IsFunction(const bpf_insn& each) { return IsWide(each) && each.src_reg == BPF_PSEUDO_FUNC; }

// Bytes that an instruction loads or stores.
constexpr size_t SizeOf(const bpf_insn& each) {
  constexpr size_t kSizes[] = {4, 2, 1, 8};
  return kSizes[BPF_SIZE(each.code) >> 3];
}

// Whether the distance to its target is the number of an instruction, not its offset.
constexpr bool IsFar(const bpf_insn& each) {
  return each.code == (BPF_JMP32 | BPF_JA) || IsCall(each) || IsFunction(each);
}
// The instruction that a jump, a call or the address of a function leads to.
constexpr size_t TargetOf(const bpf_insn& each, size_t at) { return at + 1 + (IsFar(each) ? each.imm : each.off); }

// Follows a program along the edges that its constants leave (Wegman and Zadeck, "Constant propagation with conditional
// branches", 1991): through registers, the stack, and the arguments and results of functions.
class Known {
 public:
  // `starts`: of functions, ascending from 0.
  Known(const std::vector<bpf_insn>& code, std::vector<Constants> constants, const std::vector<uint32_t>& starts);

  // false: the program has an instruction that this does not know. All else is then without meaning.
  bool Follow();

  bool Reached(size_t at) const { return at < reached_.size() && reached_[at]; }
  // Whether a branch ever falls through, and jumps.
  bool Falls(size_t at) const { return falls_[at]; }
  bool Jumps(size_t at) const { return jumps_[at]; }
  // The value that an operation or a load puts into its register.
  const Value& Assigned(size_t at) const { return assigned_[at]; }
  // Result and arguments (in registers 1 to 5) of the function that begins there.
  const Value& Returned(size_t function) const { return results_[function]; }
  const Value& Argument(size_t function, size_t number) const { return before_[function][number]; }
  // The word of the frame that an instruction accesses, from the top; -1: none, or an object may be there.
  int WordAt(size_t at) const;

 private:
  // r0 to r9, then the words of the function's frame, from r10 downwards.
  using State = std::vector<Value>;

  struct Frame {
    size_t words = 0;
    int lowest = 0;  // offset of the lowest object that has an address
  };

  void Measure(size_t at);
  void Reach(size_t at, const State& with);
  void Run(size_t head);
  bool Step(size_t at, State& now, size_t& next);
  void Branch(size_t at, const State& now);
  void Call(size_t at, State& now);
  State Unknown(size_t function) const;
  Value Loaded(size_t at, const State& now) const;
  Value Read(const Value& address, int offset, size_t size) const;
  void Store(State& now, size_t at) const;

  const std::vector<bpf_insn>& code_;
  const std::vector<Constants> constants_;
  // Facts of each instruction. A head is where edges meet: only for these is the state before kept.
  std::vector<bool> head_, reached_, falls_, jumps_;
  std::vector<State> before_;
  std::vector<Value> assigned_;
  std::vector<uint32_t> owner_;
  // Facts of each function, by its first instruction.
  std::vector<Value> results_;
  std::vector<Frame> frames_;
  std::vector<std::vector<size_t>> callers_;
  // Heads before which more has become known.
  std::vector<size_t> waiting_;
  bool understood_ = true;
};

}  // namespace ktrail
