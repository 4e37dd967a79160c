// SPDX-License-Identifier: Apache-2.0
#include "known.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <optional>

namespace ktrail {
namespace {

constexpr size_t kRegisters = 10;
constexpr Value kAnything{Value::kAny};

Value Number(uint64_t number) { return {Value::kNumber, 0, 0, number}; }
Value Address(int map, uint64_t offset) { return {Value::kAddress, 0, map, offset}; }

// false if `into` knew as little before.
bool Join(Value& into, const Value& other) {
  if (other.kind == Value::kNone || into == other || into.kind == Value::kAny) return false;
  into = into.kind == Value::kNone ? other : kAnything;
  return true;
}

std::optional<uint64_t> Computed(uint8_t op, bool wide, uint64_t a, uint64_t b) {
  const uint64_t shift = b & (wide ? 63 : 31);
  switch (op) {
    case BPF_MOV: return b;
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_OR: return a | b;
    case BPF_AND: return a & b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return a << shift;
    case BPF_RSH: return a >> shift;
    case BPF_ARSH: return wide ? int64_t(a) >> shift : int32_t(a) >> shift;
    default: return std::nullopt;
  }
}

std::optional<bool> Holds(uint8_t op, bool wide, uint64_t a, uint64_t b) {
  if (!wide) a = uint32_t(a), b = uint32_t(b);
  const int64_t signed_a = wide ? int64_t(a) : int32_t(a), signed_b = wide ? int64_t(b) : int32_t(b);
  switch (op) {
    case BPF_JEQ: return a == b;
    case BPF_JNE: return a != b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    case BPF_JLT: return a < b;
    case BPF_JLE: return a <= b;
    case BPF_JSET: return (a & b) != 0;
    case BPF_JSGT: return signed_a > signed_b;
    case BPF_JSGE: return signed_a >= signed_b;
    case BPF_JSLT: return signed_a < signed_b;
    case BPF_JSLE: return signed_a <= signed_b;
    default: return std::nullopt;  // may_goto of 6.9
  }
}

Value Register(const std::vector<Value>& now, uint8_t number) { return number < kRegisters ? now[number] : kAnything; }

// The second operand: a register, or the number in the instruction.
Value Operand(const bpf_insn& each, const std::vector<Value>& now) {
  return BPF_SRC(each.code) == BPF_K ? Number(int64_t{each.imm}) : Register(now, each.src_reg);
}

Value Result(const bpf_insn& each, const Value& a, const Value& b) {
  const bool wide = BPF_CLASS(each.code) == BPF_ALU64;
  const uint8_t op = BPF_OP(each.code);
  // Moves that extend a sign, and signed divisions, have an offset.
  if (each.off != 0) return kAnything;
  if (wide && op == BPF_MOV) return b;
  if (wide && a.kind == Value::kAddress && b.kind == Value::kNumber && (op == BPF_ADD || op == BPF_SUB))
    return Address(a.map, op == BPF_ADD ? a.number + b.number : a.number - b.number);
  if (b.kind != Value::kNumber || (op != BPF_MOV && a.kind != Value::kNumber)) return kAnything;
  auto number = Computed(op, wide, wide ? a.number : uint32_t(a.number), wide ? b.number : uint32_t(b.number));
  return number ? Number(wide ? *number : uint32_t(*number)) : kAnything;
}

}  // namespace

std::vector<Constants> ConstantsOf(const bpf_object* object) {
  std::vector<Constants> found;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, object) {
    if (!bpf_map__is_internal(map) || !(bpf_map__map_flags(map) & BPF_F_RDONLY_PROG)) continue;
    size_t size = 0;
    const void* bytes = bpf_map__initial_value(map, &size);
    if (bytes) found.push_back({bpf_map__fd(map), static_cast<const uint8_t*>(bytes), size});
  }
  return found;
}

Known::Known(const std::vector<bpf_insn>& code, std::vector<Constants> constants, const std::vector<uint32_t>& starts)
    : code_(code), constants_(std::move(constants)), head_(code.size() + 2), reached_(code.size()), falls_(code.size()),
      jumps_(code.size()), before_(code.size()), assigned_(code.size()), owner_(code.size()), results_(code.size()),
      frames_(code.size()), callers_(code.size()) {
  for (size_t i = 0; i < starts.size(); i++) {
    const size_t end = i + 1 < starts.size() ? starts[i + 1] : code.size();
    head_[starts[i]] = true;
    for (size_t at = starts[i]; at < end; at++) {
      owner_[at] = starts[i];
      Measure(at);
    }
  }
}

bool Known::Follow() {
  Reach(0, Unknown(0));
  while (understood_ && !waiting_.empty()) {
    const size_t head = waiting_.back();
    waiting_.pop_back();
    Run(head);
  }
  return understood_;
}

void Known::Measure(size_t at) {
  const bpf_insn& each = code_[at];
  Frame& frame = frames_[owner_[at]];
  const uint8_t kind = BPF_CLASS(each.code);
  if ((IsBranch(each) || IsGoto(each)) && TargetOf(each, at) < code_.size()) head_[TargetOf(each, at)] = true;
  if (IsBranch(each)) head_[at + 1] = true;
  if (IsCall(each)) head_[at] = true;
  if ((kind == BPF_LDX && each.src_reg == BPF_REG_10) || ((kind == BPF_ST || kind == BPF_STX) && each.dst_reg == BPF_REG_10))
    frame.words = std::max(frame.words, static_cast<size_t>(-each.off + 3) / 4);
  if (each.code != (BPF_ALU64 | BPF_MOV | BPF_X) || each.src_reg != BPF_REG_10) return;
  // The address of an object: r2 = r10; r2 += offset.
  int offset = INT_MIN;
  for (size_t next = at + 1; next < code_.size() && !IsBranch(code_[next]) && !IsGoto(code_[next]); next++) {
    if (code_[next].dst_reg != each.dst_reg || BPF_CLASS(code_[next].code) != BPF_ALU64) continue;
    if (code_[next].code == (BPF_ALU64 | BPF_ADD | BPF_K)) offset = code_[next].imm;
    break;
  }
  frame.lowest = std::min(frame.lowest, offset);
}

Known::State Known::Unknown(size_t function) const { return State(kRegisters + frames_[function].words, kAnything); }

void Known::Reach(size_t at, const State& with) {
  if (at >= code_.size()) {
    understood_ = false;
    return;
  }
  bool changed = before_[at].empty();
  before_[at].resize(with.size());
  for (size_t i = 0; i < with.size(); i++) changed |= Join(before_[at][i], with[i]);
  if (changed) waiting_.push_back(at);
}

void Known::Run(size_t head) {
  State now = before_[head];
  for (size_t at = head, next = head;; at = next) {
    reached_[at] = true;
    if (!Step(at, now, next)) return;
    if (next >= code_.size() || head_[next]) return Reach(next, now);
  }
}

// Changes the state. false if no instruction follows alone.
bool Known::Step(size_t at, State& now, size_t& next) {
  const bpf_insn& each = code_[at];
  auto set = [&](uint8_t number, const Value& value) {
    if (number < kRegisters) now[number] = value;
  };
  next = at + 1;
  switch (BPF_CLASS(each.code)) {
    case BPF_LD:
      if (!IsWide(each) || at + 1 >= code_.size()) break;
      if (IsFunction(each) && TargetOf(each, at) < code_.size()) Reach(TargetOf(each, at), Unknown(TargetOf(each, at)));
      if (each.src_reg == 0) set(each.dst_reg, Number(uint32_t(each.imm) | uint64_t{uint32_t(code_[at + 1].imm)} << 32));
      else if (each.src_reg == BPF_PSEUDO_MAP_VALUE) set(each.dst_reg, Address(each.imm, uint32_t(code_[at + 1].imm)));
      else set(each.dst_reg, kAnything);
      next = at + 2;
      return true;
    case BPF_LDX:
    case BPF_ALU:
    case BPF_ALU64: {
      const bool loads = BPF_CLASS(each.code) == BPF_LDX;
      const Value value = loads ? Loaded(at, now) : Result(each, Register(now, each.dst_reg), Operand(each, now));
      Join(assigned_[at], value);
      set(each.dst_reg, value);
      return true;
    }
    case BPF_ST:
    case BPF_STX:
      if (each.dst_reg == BPF_REG_10) Store(now, at);
      if (BPF_MODE(each.code) == BPF_ATOMIC) {
        set(each.src_reg, kAnything);
        set(0, kAnything);
      }
      return true;
    case BPF_JMP32:
    case BPF_JMP:
      if (IsBranch(each)) {
        Branch(at, now);
        return false;
      }
      if (IsGoto(each)) {
        next = TargetOf(each, at);
        return true;
      }
      if (BPF_OP(each.code) == BPF_CALL) {
        Call(at, now);
        return now[0].kind != Value::kNone;
      }
      if (Join(results_[owner_[at]], now[0]))
        waiting_.insert(waiting_.end(), callers_[owner_[at]].begin(), callers_[owner_[at]].end());
      return false;
  }
  understood_ = false;
  return false;
}

void Known::Branch(size_t at, const State& now) {
  const bpf_insn& each = code_[at];
  const bool wide = BPF_CLASS(each.code) == BPF_JMP;
  const uint8_t op = BPF_OP(each.code);
  const Value a = Register(now, each.dst_reg), b = Operand(each, now);
  std::optional<bool> holds;
  if (a.kind == Value::kNumber && b.kind == Value::kNumber) holds = Holds(op, wide, a.number, b.number);
  // No constant is at address 0.
  if (wide && a.kind == Value::kAddress && b == Number(0) && (op == BPF_JEQ || op == BPF_JNE)) holds = op == BPF_JNE;
  auto go = [&](bool equal, size_t to) {
    State then = now;
    if (equal && wide && b.kind == Value::kNumber && each.dst_reg < kRegisters) then[each.dst_reg] = b;
    Reach(to, then);
  };
  if (holds != std::optional(false)) {
    jumps_[at] = true;
    go(op == BPF_JEQ, TargetOf(each, at));
  }
  if (holds != std::optional(true)) {
    falls_[at] = true;
    go(op == BPF_JNE, at + 1);
  }
}

// r0 is what the call returns; kNone if it has not returned yet.
void Known::Call(size_t at, State& now) {
  Value result = kAnything;
  if (IsCall(code_[at])) {
    const size_t function = TargetOf(code_[at], at);
    if (function >= code_.size()) {
      understood_ = false;
      return;
    }
    State entry = Unknown(function);
    std::copy(now.begin() + 1, now.begin() + 6, entry.begin() + 1);
    Reach(function, entry);
    auto& callers = callers_[function];
    if (std::find(callers.begin(), callers.end(), at) == callers.end()) callers.push_back(at);
    result = results_[function];
  }
  std::fill(now.begin(), now.begin() + 6, kAnything);
  now[0] = result;
}

Value Known::Loaded(size_t at, const State& now) const {
  const bpf_insn& each = code_[at];
  if (BPF_MODE(each.code) != BPF_MEM) return kAnything;
  if (each.src_reg < kRegisters) return Read(now[each.src_reg], each.off, SizeOf(each));
  const int word = WordAt(at);
  if (word < 0 || each.off % 4 != 0 || now[kRegisters + word].size != SizeOf(each)) return kAnything;
  Value value = now[kRegisters + word];
  value.size = 0;
  return value;
}

Value Known::Read(const Value& address, int offset, size_t size) const {
  if (address.kind != Value::kAddress) return kAnything;
  const uint64_t at = address.number + offset;
  for (const Constants& each : constants_) {
    if (each.map != address.map || at > each.size || size > each.size - at) continue;
    uint64_t number = 0;
    memcpy(&number, each.bytes + at, size);
    return Number(number);
  }
  return kAnything;
}

// A pointer to an object reaches above its start, never below it, and compilers keep registers below all objects.
int Known::WordAt(size_t at) const {
  const bpf_insn& each = code_[at];
  const uint8_t kind = BPF_CLASS(each.code);
  const bool stores = kind == BPF_ST || kind == BPF_STX;
  if (!stores && kind != BPF_LDX) return -1;
  if ((stores ? each.dst_reg : each.src_reg) != BPF_REG_10) return -1;
  if (each.off + static_cast<int>(SizeOf(each)) > frames_[owner_[at]].lowest) return -1;
  return (-each.off - 1) / 4;
}

void Known::Store(State& now, size_t at) const {
  const bpf_insn& each = code_[at];
  const size_t word = kRegisters + (-each.off - 1) / 4, size = SizeOf(each);
  // Eight bytes that begin in the word below reach into this one; these eight reach into the word above.
  if (word + 1 < now.size() && now[word + 1].size == 8) now[word + 1] = kAnything;
  if (size == 8 && word > kRegisters) now[word - 1] = kAnything;
  now[word] = kAnything;
  if (WordAt(at) < 0 || each.off % 4 != 0 || BPF_MODE(each.code) != BPF_MEM) return;
  Value value = BPF_CLASS(each.code) == BPF_ST ? Number(int64_t{each.imm}) : Register(now, each.src_reg);
  if (size < 8) {
    if (value.kind != Value::kNumber) return;
    value.number &= (uint64_t{1} << 8 * size) - 1;
  }
  value.size = size;
  now[word] = value;
}

}  // namespace ktrail
