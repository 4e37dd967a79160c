// SPDX-License-Identifier: Apache-2.0
#include "symbols.h"

#include <bpf/bpf.h>
#include <napi.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string_view>
#include <unordered_set>

#include "../border/arguments.h"
#include "../border/promise.h"

namespace ktrail {
namespace {

constexpr char kFile[] = "/proc/kallsyms";

// The context of a program that looks a name up; the name is padded with zeros.
struct Question {
  char name[128];  // KSYM_NAME_LEN before Linux 6.1
  uint64_t address;
  int64_t error;
};

// Looks each name up by a program, in a table of the kernel; for the file it formats 200,000 lines. Linux 5.16 (commit d6aef08a872b). Returns
// nothing on an older kernel, for hidden addresses, and for a longer name.
std::optional<Symbols> LookUp(const std::vector<std::string>& names) {
  constexpr int kRoom = sizeof(Question::name);
  std::vector<bpf_insn> program{{BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0}};
  // Helpers take the name from the stack only.
  for (int16_t at = 0; at < kRoom; at += 8) {
    program.push_back({BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_6, at, 0});
    program.push_back({BPF_STX | BPF_MEM | BPF_DW, BPF_REG_10, BPF_REG_1, static_cast<int16_t>(at - kRoom), 0});
  }
  static constexpr bpf_insn kLookUp[] = {
      {BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_1, BPF_REG_10, 0, 0},
      {BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_1, 0, 0, -kRoom},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, kRoom},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_3, 0, 0, 0},
      {BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_4, BPF_REG_10, 0, 0},
      {BPF_ALU64 | BPF_ADD | BPF_K, BPF_REG_4, 0, 0, -kRoom - 8},
      {BPF_ST | BPF_MEM | BPF_DW, BPF_REG_4, 0, 0, 0},
      {BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_kallsyms_lookup_name},
      {BPF_STX | BPF_MEM | BPF_DW, BPF_REG_6, BPF_REG_0, offsetof(Question, error), 0},
      {BPF_LDX | BPF_MEM | BPF_DW, BPF_REG_1, BPF_REG_10, -kRoom - 8, 0},
      {BPF_STX | BPF_MEM | BPF_DW, BPF_REG_6, BPF_REG_1, offsetof(Question, address), 0},
      {BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0},
      {BPF_JMP | BPF_EXIT, 0, 0, 0, 0},
  };
  program.insert(program.end(), std::begin(kLookUp), std::end(kLookUp));
  LIBBPF_OPTS(bpf_prog_load_opts, options, .prog_flags = BPF_F_SLEEPABLE);
  Fd loaded(bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "symbols", "GPL", program.data(), program.size(), &options));
  if (!loaded) return std::nullopt;
  Symbols found;
  for (const std::string& name : names) {
    Question question{};
    if (name.size() >= kRoom) return std::nullopt;
    name.copy(question.name, kRoom);
    LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &question, .ctx_size_in = sizeof(question));
    if (bpf_prog_test_run_opts(loaded.get(), &run) || question.error == -EPERM) return std::nullopt;
    if (question.error == 0) found[name] = question.address;
  }
  return found;
}

// One line of kallsyms: `ffffffff81000000 T name` with `\t[module]` behind for a module's.
void TakeLine(std::string_view line, const std::unordered_set<std::string_view>& wanted,
              Symbols& found, std::unordered_set<std::string_view>& functions) {
  size_t space = line.find(' ');
  if (space == std::string_view::npos || line.size() < space + 4) return;
  std::string_view name = line.substr(space + 3);
  name = name.substr(0, name.find('\t'));
  auto known = wanted.find(name);
  if (known == wanted.end()) return;
  bool function = strchr("tTwW", line[space + 1]) != nullptr;
  if (functions.contains(*known) || (!function && found.contains(std::string(name)))) return;
  uint64_t address = 0;
  for (char digit : line.substr(0, space)) address = address << 4 | (digit <= '9' ? digit - '0' : digit - 'a' + 10);
  found[std::string(name)] = address;
  if (function) functions.insert(*known);
}

Napi::Value KernelSymbols(const Napi::CallbackInfo& info) {
  auto names = StringsOf(info[0], "kernelSymbols", "names");
  if (!names) return {};
  auto find = [names = std::move(*names)]() -> Result<Symbols> {
    if (auto found = FindSymbols(names)) return std::move(*found);
    return Refused(errno, "OPEN_FAILED", "kernelSymbols", kFile, "cannot read /proc/kallsyms");
  };
  return Promised(info.Env(), std::move(find), [](Napi::Env env, const Symbols& found) {
    return Pairs(env, found, [](Napi::Env env, uint64_t address) { return Napi::BigInt::New(env, address); });
  });
}

}  // namespace

std::optional<Symbols> FindSymbols(const std::vector<std::string>& names) {
  if (auto found = LookUp(names)) return found;
  std::ifstream file(kFile);
  if (!file) return std::nullopt;
  Symbols found;
  const std::unordered_set<std::string_view> wanted(names.begin(), names.end());
  std::unordered_set<std::string_view> functions;
  // Ends when every name is found as a function, which no later line can improve.
  for (std::string line; functions.size() < wanted.size() && std::getline(file, line);)
    TakeLine(line, wanted, found, functions);
  if (file.bad()) return std::nullopt;
  return found;
}

void InitSymbols(Napi::Env, Napi::Object exports) { Export<Promising<KernelSymbols>>(exports, "kernelSymbols"); }

}  // namespace ktrail
