// SPDX-License-Identifier: Apache-2.0
/*
 * Removes from a program what its constants make unreachable, before the kernel sees it. A hook has 15,000 instructions,
 * of which a policy uses a third. The kernel removes the others, too. But it moves the rest of the program for each gap,
 * and again for each call that it inlines (verifier_remove_insns and bpf_patch_insn_data in kernel/bpf/verifier.c). Half
 * of a load was this. Before 6.8, the kernel also verified functions that nothing calls.
 *
 * The verifier must find what made a removed check needless. So known numbers are put into the program. Instructions
 * that only computed them are removed: the kernel would run these at each call.
 */
#include "trim.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>

#include "access.h"
#include "known.h"

namespace ktrail {
namespace {

thread_local const bpf_object* trimmed = nullptr;

// Puts a number into a register, if one instruction can.
std::vector<bpf_insn> Put(uint8_t to, const Value& value) {
  const auto low = static_cast<int32_t>(value.number);
  if (value.kind != Value::kNumber) return {};
  if (value.number == uint32_t(low)) return {{.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = to, .imm = low}};
  if (value.number == uint64_t(int64_t{low})) return {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = to, .imm = low}};
  return {};
}

// The rest of a program: a list for each instruction of the whole.
class Rest {
 public:
  Rest(std::vector<bpf_insn> code, const Known& known, const std::vector<uint32_t>& starts)
      : code_(std::move(code)), left_(code_.size()), place_(code_.size() + 1) {
    for (size_t at = 0; at < code_.size(); at++)
      if (known.Reached(at)) left_[at] = Left(at, known);
    for (size_t i = 1; i < starts.size(); i++)
      if (known.Reached(starts[i])) Arguments(starts[i], known);
    DropUnread(known);
    // A jump to the next instruction that is left goes, which may make another jump one of these.
    for (bool less = true; less;) {
      less = false;
      Place();
      for (size_t at = 0; at < code_.size(); at++) {
        if (left_[at].empty() || left_[at].back().code != (BPF_JMP | BPF_JA) || Target(at) != place_[at + 1]) continue;
        left_[at].pop_back();
        less = true;
      }
    }
  }

  // The place of an instruction, or of the next one that is left.
  uint32_t Place(size_t at) const { return place_[at]; }

  std::vector<bpf_insn> Program() const {
    std::vector<bpf_insn> all;
    for (size_t at = 0; at < code_.size(); at++) {
      for (bpf_insn each : left_[at]) {
        const int distance = static_cast<int>(Target(at)) - static_cast<int>(all.size()) - 1;
        if (IsFar(each)) each.imm = distance;
        else if (IsBranch(each) || IsGoto(each)) each.off = static_cast<int16_t>(distance);
        all.push_back(each);
      }
    }
    return all;
  }

 private:
  std::vector<bpf_insn> Left(size_t at, const Known& known) const {
    const bpf_insn& each = code_[at];
    if (IsWide(each)) return {each, code_[at + 1]};
    if (IsBranch(each) && !known.Jumps(at)) return {};
    if (IsBranch(each) && !known.Falls(at)) return {{.code = BPF_JMP | BPF_JA}};
    if (IsCall(each)) {
      std::vector<bpf_insn> left = Put(BPF_REG_0, known.Returned(TargetOf(each, at)));
      left.insert(left.begin(), each);
      return left;
    }
    std::vector<bpf_insn> left = Put(each.dst_reg, known.Assigned(at));
    return left.empty() ? std::vector{each} : left;
  }

  // The verifier looks at some functions without their callers.
  void Arguments(size_t function, const Known& known) {
    for (uint8_t number = 1; number <= 5; number++) {
      std::vector<bpf_insn> put = Put(number, known.Argument(function, number));
      left_[function].insert(left_[function].begin(), put.begin(), put.end());
    }
  }

  // Drops what fills a register or a word of the stack that nothing reads.
  void DropUnread(const Known& known) {
    std::vector<Places> read(code_.size() + 1);
    for (bool more = true; more;) {
      more = false;
      for (size_t at = code_.size(); at-- > 0;) {
        Places before = ReadAfter(at, read);
        for (auto each = left_[at].rbegin(); each != left_[at].rend(); ++each)
          before = Access{*each, known.WordAt(at)}.Before(before);
        more |= before != read[at];
        read[at] = before;
      }
    }
    for (size_t at = 0; at < code_.size(); at++) {
      Places later = ReadAfter(at, read);
      std::vector<bpf_insn>& left = left_[at];
      for (size_t i = left.size(); i-- > 0;) {
        const Access access{left[i], known.WordAt(at)};
        const Places fills = access.Fills();
        const bool unread = fills.any() && (later & fills).none();
        later = access.Before(later);
        if (unread) left.erase(left.begin() + i, left.begin() + i + (IsWide(left[i]) ? 2 : 1));
      }
    }
  }

  // Places that are read later, seen from behind an instruction. `read`: from before each.
  Places ReadAfter(size_t at, const std::vector<Places>& read) const {
    if (left_[at].empty() || !(IsGoto(left_[at].back()) || IsBranch(left_[at].back()))) return read[at + 1];
    const Places& jumps = read[std::min(TargetOf(code_[at], at), code_.size())];
    return IsGoto(left_[at].back()) ? jumps : jumps | read[at + 1];
  }

  size_t Target(size_t at) const { return place_[std::min(TargetOf(code_[at], at), code_.size())]; }

  void Place() {
    for (size_t at = 0; at < code_.size(); at++) place_[at + 1] = place_[at] + left_[at].size();
  }

  const std::vector<bpf_insn> code_;
  std::vector<std::vector<bpf_insn>> left_;
  std::vector<uint32_t> place_;
};

// Records of func_info or line_info, which begin with their instruction: those of what is left.
std::vector<uint8_t> Moved(const void* records, uint32_t count, uint32_t size, const Known& known, const Rest& rest) {
  std::vector<uint8_t> moved;
  auto bytes = static_cast<const uint8_t*>(records);
  for (uint32_t i = 0, last = 0; i < count; i++, bytes += size) {
    uint32_t at;
    memcpy(&at, bytes, sizeof(at));
    if (!known.Reached(at)) continue;
    // The later one of two at an instruction is of what is left.
    if (!moved.empty() && rest.Place(at) == last) moved.resize(moved.size() - size);
    last = rest.Place(at);
    moved.insert(moved.end(), bytes, bytes + size);
    memcpy(moved.data() + moved.size() - size, &last, sizeof(last));
  }
  return moved;
}

// Called by libbpf before it loads a program. 0, or a negative errno.
int TrimProgram(bpf_program* program, bpf_prog_load_opts* options, long) {
  if (!trimmed || !options->func_info || options->func_info_cnt == 0) return 0;
  std::vector<uint32_t> starts(options->func_info_cnt);
  for (size_t i = 0; i < starts.size(); i++)
    memcpy(&starts[i], static_cast<const uint8_t*>(options->func_info) + i * options->func_info_rec_size, sizeof(uint32_t));
  const bpf_insn* whole = bpf_program__insns(program);
  std::vector<bpf_insn> code(whole, whole + bpf_program__insn_cnt(program));
  if (starts[0] != 0 || !std::is_sorted(starts.begin(), starts.end()) || starts.back() >= code.size()) return 0;
  Known known(code, ConstantsOf(trimmed), starts);
  if (!known.Follow()) return 0;
  Rest rest(code, known, starts);
  std::vector<bpf_insn> left = rest.Program();
  // The offset of a jump has 16 bits.
  if (left.size() > INT16_MAX) return 0;
  if (int err = bpf_program__set_insns(program, left.data(), left.size())) return err;
  // They must live until the program is loaded.
  thread_local std::vector<uint8_t> functions, lines;
  functions = Moved(options->func_info, options->func_info_cnt, options->func_info_rec_size, known, rest);
  options->func_info = functions.data();
  options->func_info_cnt = functions.size() / options->func_info_rec_size;
  if (!options->line_info) return 0;
  lines = Moved(options->line_info, options->line_info_cnt, options->line_info_rec_size, known, rest);
  options->line_info = lines.data();
  options->line_info_cnt = lines.size() / options->line_info_rec_size;
  return 0;
}

}  // namespace

void InitTrim() {
  libbpf_prog_handler_opts options{};
  options.sz = sizeof(options);
  options.prog_prepare_load_fn = TrimProgram;
  // Another environment of this process may have done it.
  libbpf_register_prog_handler(nullptr, BPF_PROG_TYPE_UNSPEC, static_cast<bpf_attach_type>(0), &options);
}

int LoadTrimmed(bpf_object* object) {
  trimmed = object;
  int err = bpf_object__load(object);
  trimmed = nullptr;
  return err;
}

}  // namespace ktrail
