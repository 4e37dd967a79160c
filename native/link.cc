// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <bpf/bpf.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstring>

#include "error.h"
#include "kernel.h"
#include "value.h"

namespace ktrail {
namespace {

// Heads of struct bpf_link_info as kernels fill them; bytes a kernel does not know stay 0. `missed` exists
// for kprobe.multi since 6.7 and for kprobe perf events since 6.7.
//
//   0 type  4 id  8 prog_id  16 kprobe_multi: addrs  24 count  28 flags  32 missed
//                            16 perf_event: type     24 func_name  32 name_len  36 offset  40 addr  48 missed
struct LinkInfo {
  uint32_t type, id, prog_id, pad;
  union {
    struct {
      uint64_t addrs;
      uint32_t count, flags;
      uint64_t missed;
    } multi;
    struct {
      uint32_t type, pad;
      uint64_t func_name;
      uint32_t name_len, offset;
      uint64_t addr, missed;
    } perf;
    uint8_t room[112];
  };
};
static_assert(offsetof(LinkInfo, multi.missed) == 32 && offsetof(LinkInfo, perf.missed) == 48);

constexpr uint32_t kLinkPerfEvent = 7, kLinkKprobeMulti = 8;
constexpr uint32_t kPerfKprobe = 3, kPerfKretprobe = 4;  // enum bpf_perf_event_type
constexpr char kPmu[] = "/sys/bus/event_source/devices/kprobe/type";

uint64_t MissedByLink(int fd) {
  LinkInfo info{};
  uint32_t size = sizeof(info);
  if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size)) return 0;
  if (info.type == kLinkKprobeMulti && size >= 40) return info.multi.missed;
  bool kprobe = info.perf.type == kPerfKprobe || info.perf.type == kPerfKretprobe;
  if (info.type == kLinkPerfEvent && kprobe && size >= 56) return info.perf.missed;
  return 0;
}

// BPF_LINK_CREATE for every multi kind: libbpf 1.1 has no session, and resolves names by patterns that we do not want.
Fd AttachMulti(int program, const Kind& kind, const std::vector<std::string>& symbols) {
  std::vector<const char*> names;
  for (const std::string& symbol : symbols) names.push_back(symbol.c_str());
  bpf_attr attr;
  memset(&attr, 0, sizeof(attr));
  attr.link_create.prog_fd = static_cast<uint32_t>(program);
  attr.link_create.attach_type = static_cast<uint32_t>(kind.expected);
  attr.link_create.kprobe_multi.flags = kind.returns ? BPF_F_KPROBE_MULTI_RETURN : 0;
  attr.link_create.kprobe_multi.cnt = static_cast<uint32_t>(names.size());
  attr.link_create.kprobe_multi.syms = reinterpret_cast<uint64_t>(names.data());
  return Fd(static_cast<int>(syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr))));
}

std::string Joined(const std::vector<std::string>& symbols) {
  std::string text;
  for (size_t i = 0; i < symbols.size() && i < 4; i++) text += (i ? ", " : "") + Quoted(symbols[i]);
  if (symbols.size() > 4) text += " and " + std::to_string(symbols.size() - 4) + " more";
  return text;
}

Failure AttachFailure(const ProgramPlan& plan, const std::vector<std::string>& symbols, int err,
    const std::string& log) {
  const Kind& kind = *plan.kind;
  std::string target = !symbols.empty() ? symbols.front() : plan.target;
  std::string what = "cannot attach " + std::string(kind.name) + " to " +
                     (symbols.empty() ? Quoted(plan.target.empty() ? plan.name : plan.target) : Joined(symbols)) + ": ";
  if (err == EPERM || err == EACCES) {
    return {"NOT_PERMITTED", "attach", target, what + ErrnoText(err) + "; run as root, and look at kernel lockdown",
        err, log};
  }
  const Failure unsupported{"UNSUPPORTED", "attach", target, what + "this kernel has no " + std::string(kind.name) +
      ": " + ErrnoText(err), err, log};
  // Built without CONFIG_FPROBE (Debian's 6.1): said before it looks at any name.
  if (kind.multi && err == EOPNOTSUPP) return unsupported;
  // The multi kinds answer ESRCH, perf events ENOENT, whichever of the names it was.
  std::unordered_map<std::string, uint64_t> found;
  bool looked_up = !symbols.empty() && FindSymbols(symbols, found);
  for (const std::string& symbol : symbols) {
    if (!looked_up || found.contains(symbol)) continue;
    return {"NO_SYMBOL", "attach", symbol, "cannot attach " + std::string(kind.name) + " to " + Quoted(symbol) +
        ": no such kernel symbol", err, log};
  }
  // EINVAL of a plain kprobe: the symbol is there, but is data or on the kprobe blacklist.
  if (err == ESRCH || err == ENOENT || (err == EINVAL && looked_up && !kind.multi)) {
    return {"NO_SYMBOL", "attach", target, what +
        "the kernel does not let this function be traced (not a function, notrace, or blacklisted)", err, log};
  }
  // BPF_MAX_TRAMP_LINKS, or code that does not fit into the trampoline's page.
  if (kind.by_target && err == E2BIG) {
    return {"ATTACH_FAILED", "attach", target, what + "the function has as many fentry, fexit and fmod_ret programs as the "
        "kernel has room for (at most 38): detach another tracer of the host, or attach otherwise", err, log};
  }
  // Names are right and the attach type is ours: what is left is a kernel that does not know this kind.
  if (kind.multi && err == EINVAL) return unsupported;
  return {"ATTACH_FAILED", "attach", target, what + ErrnoText(err), err, log};
}

bool CheckSymbols(Napi::Env env, const ProgramPlan& plan, const std::vector<std::string>& symbols) {
  std::string got = std::to_string(symbols.size()), for_kind = " for kind " + std::string(plan.kind->name);
  if (plan.kind->by_target && !(symbols.empty() || (symbols.size() == 1 && symbols[0] == plan.target))) {
    BadArgument(env, "attach", "symbols", "none" + for_kind + " (its target was set at load)", got);
    return false;
  }
  if (plan.kind->multi && symbols.empty()) {
    BadArgument(env, "attach", "symbols", "one or more" + for_kind, got);
    return false;
  }
  if (!plan.kind->multi && !plan.kind->by_target && symbols.size() != 1) {
    BadArgument(env, "attach", "symbols", "exactly one" + for_kind, got);
    return false;
  }
  return true;
}

}  // namespace

Napi::Function Link::Define(Napi::Env env) {
  return DefineClass(env, "Link",
                     {InstanceMethod<&Link::Stats>("stats"), InstanceMethod<&Link::CloseCall>("close"),
                      InstanceMethod<&Link::CloseCall>(DisposeSymbol(env))});
}

void InitLink(Napi::Env env) { Addon::Of(env).link_class = Napi::Persistent(Link::Define(env)); }

Napi::Value Link::Create(Napi::Env env, bpf_program* program, const ProgramPlan& plan,
                         const std::vector<std::string>& symbols) {
  if (!CheckSymbols(env, plan, symbols)) return {};
  LogCapture log;
  LinkPtr link;
  Fd multi;
  // Duplicated first: after the attachment nothing can fail any more.
  Fd own = Duplicate(bpf_program__fd(program));
  if (!own) {
    Throw(env, AttachFailure(plan, {}, errno, ""));
    return {};
  }
  if (plan.kind->multi) {
    multi = AttachMulti(own.get(), *plan.kind, symbols);
  } else if (plan.kind->by_target) {
    link.reset(bpf_program__attach_trace(program));
  } else if (access(kPmu, R_OK) != 0) {
    // libbpf would fall back to tracefs, whose probes outlive the process.
    Throw(env, {"UNSUPPORTED", "attach", symbols[0], "cannot attach " + std::string(plan.kind->name) + " to " +
        Quoted(symbols[0]) + ": " + kPmu + " is missing (no kprobes in this kernel, or /sys is not mounted)", errno});
    return {};
  } else {
    bpf_kprobe_opts options{.sz = sizeof(bpf_kprobe_opts), .retprobe = plan.kind->returns};
    link.reset(bpf_program__attach_kprobe_opts(program, symbols[0].c_str(), &options));
  }
  if (!link && !multi) {
    Throw(env, AttachFailure(plan, symbols, errno, log.text()));
    return {};
  }
  Napi::Object object = Addon::Of(env).link_class.New({});
  if (env.IsExceptionPending()) return {};
  Link* self = Unwrap(object);
  self->link_ = std::move(link);
  self->multi_ = std::move(multi);
  self->program_ = std::move(own);
  self->name_ = plan.name;
  self->Register(env);
  object.DefineProperty(Napi::PropertyDescriptor::Value("kind", Napi::String::New(env, std::string(plan.kind->name)),
      napi_enumerable));
  return object;
}

void Link::Close() {
  Unregister();
  link_.reset();
  multi_.Reset();
  program_.Reset();
}

Napi::Value Link::Stats(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!program_) {
    Throw(env, {"CLOSED", "stats", name_, "stats: link of program " + Quoted(name_) + " is closed"});
    return {};
  }
  bpf_prog_info program{};
  uint32_t size = sizeof(program);
  if (bpf_obj_get_info_by_fd(program_.get(), &program, &size)) {
    Throw(env, {CodeFor(errno, "ATTACH_FAILED"), "stats", name_, "cannot read counters of program " + Quoted(name_) +
        ": " + ErrnoText(errno), errno});
    return {};
  }
  uint64_t missed = program.recursion_misses + MissedByLink(link_ ? bpf_link__fd(link_.get()) : multi_.get());
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("missed", Napi::BigInt::New(env, missed));
  stats.Set("runs", Napi::BigInt::New(env, uint64_t{program.run_cnt}));
  stats.Set("runNs", Napi::BigInt::New(env, uint64_t{program.run_time_ns}));
  return stats;
}

}  // namespace ktrail
