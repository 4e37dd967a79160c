// SPDX-License-Identifier: Apache-2.0
#include "symbols.h"

#include <fcntl.h>
#include <napi.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "../border/arguments.h"
#include "../border/promise.h"

namespace ktrail {
namespace {

constexpr char kFile[] = "/proc/kallsyms";

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
  return Promised(info.Env(), std::move(find), [](Napi::Env env, const Symbols& found) -> Napi::Value {
    Napi::Array pairs = Napi::Array::New(env);
    for (const auto& [name, address] : found) {
      Napi::Array pair = Napi::Array::New(env, 2);
      pair.Set(0u, name);
      pair.Set(1u, Napi::BigInt::New(env, address));
      pairs.Set(pairs.Length(), pair);
    }
    return pairs;
  });
}

}  // namespace

std::optional<Symbols> FindSymbols(const std::vector<std::string>& names) {
  Fd file(open(kFile, O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  Symbols found;
  const std::unordered_set<std::string_view> wanted(names.begin(), names.end());
  std::unordered_set<std::string_view> functions;
  std::string buffer(256 << 10, '\0');
  size_t held = 0;
  // Ends when every name is found as a function, which no later line can improve.
  while (functions.size() < wanted.size()) {
    ssize_t got = read(file.get(), buffer.data() + held, buffer.size() - held);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    std::string_view text(buffer.data(), held + static_cast<size_t>(got));
    for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
      TakeLine(text.substr(0, end), wanted, found, functions);
    held = text.size();
    memmove(buffer.data(), text.data(), held);
    if (held == buffer.size()) held = 0;  // no line is that long; never loop on one
  }
  return found;
}

void InitSymbols(Napi::Env, Napi::Object exports) { Export<Promising<KernelSymbols>>(exports, "kernelSymbols"); }

}  // namespace ktrail
