// SPDX-License-Identifier: Apache-2.0
#include "link.h"

#include <bpf/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "../border/arguments.h"
#include "symbols.h"

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

int DescriptorOf(const Link& made) { return made.link ? bpf_link__fd(made.link.get()) : made.multi.get(); }

uint64_t MissedByLink(int fd) {
  LinkInfo info{};
  uint32_t size = sizeof(info);
  if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size)) return 0;
  if (info.type == kLinkKprobeMulti && size >= 40) return info.multi.missed;
  bool kprobe = info.perf.type == kPerfKprobe || info.perf.type == kPerfKretprobe;
  if (info.type == kLinkPerfEvent && kprobe && size >= 56) return info.perf.missed;
  return 0;
}

// The number of a perf event: before 5.15 it is attached without a link. 0 for another descriptor.
uint32_t PerfEventId(int fd) {
  uint64_t id = 0;
  return fd < 0 || ioctl(fd, PERF_EVENT_IOC_ID, &id) ? 0 : static_cast<uint32_t>(id);
}

// BPF_LINK_CREATE for every multi kind: libbpf 1.1 has no session, and its resolution of names by patterns is not needed.
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
  const std::string name(kind.name), why = ErrnoText(err);
  const std::string own = plan.target.empty() ? plan.name : plan.target;
  const std::string what = symbols.empty() ? Quoted(own) : Joined(symbols);
  auto failure = [&](const char* code, const std::string& reason) {
    std::string target = symbols.empty() ? plan.target : symbols.front();
    return Failure{code, "attach", target, "cannot attach " + name + " to " + what + ": " + reason, err, log};
  };
  const Failure unsupported = failure("UNSUPPORTED", "this kernel has no " + name + ": " + why);
  // perf_event_open: the raw kind is no perf event.
  if (err == EACCES && !kind.multi && !kind.by_target && kind.type != BPF_PROG_TYPE_RAW_TRACEPOINT) {
    return failure("NOT_PERMITTED", why + "; with kernel.perf_event_paranoid above 2, Debian and Ubuntu require "
        "CAP_SYS_ADMIN for it: run `systemctl edit ktrail` and add the lines [Service] and "
        "CapabilityBoundingSet=CAP_SYS_ADMIN, or run `sysctl kernel.perf_event_paranoid=2`");
  }
  if (err == EPERM || err == EACCES) {
    return failure("NOT_PERMITTED", why + "; run as root, and check kernel lockdown");
  }
  // Built without CONFIG_FPROBE (Debian's 6.1): reported before it looks at any name.
  if (kind.multi && err == EOPNOTSUPP) return unsupported;
  if (kind.type == BPF_PROG_TYPE_TRACEPOINT || kind.type == BPF_PROG_TYPE_RAW_TRACEPOINT) {
    if (err == ENOENT) return failure("NO_SYMBOL", "no such tracepoint in this kernel, or tracefs is not mounted");
    // kernel/trace/bpf_trace.c BPF_TRACE_MAX_PROGS
    if (err == E2BIG) return failure("ATTACH_FAILED", "the tracepoint has 64 programs already: detach another tracer");
    return failure("ATTACH_FAILED", why);
  }
  // The multi kinds answer ESRCH, perf events ENOENT, whichever of the names it was.
  std::optional<Symbols> found;
  if (!symbols.empty()) found = FindSymbols(symbols);
  for (const std::string& symbol : symbols) {
    if (!found || found->contains(symbol)) continue;
    return {"NO_SYMBOL", "attach", symbol, "cannot attach " + name + " to " + Quoted(symbol) +
        ": no such kernel symbol", err, log};
  }
  // EINVAL of a plain kprobe: the symbol exists, but is data or on the kprobe blacklist.
  if (err == ESRCH || err == ENOENT || (err == EINVAL && found && !kind.multi)) {
    return failure("NO_SYMBOL",
        "the kernel does not allow tracing of this function (not a function, notrace, or blacklisted)");
  }
  // BPF_MAX_TRAMP_LINKS, or code that does not fit into the trampoline's page.
  if (kind.by_target && err == E2BIG) {
    return failure("ATTACH_FAILED", "the function has as many fentry, fexit and fmod_ret programs as the kernel has "
        "room for (at most 38): detach another tracer of the host, or use another attach mode");
  }
  // Names are right and the attach type is ours: the remaining cause is a kernel without this kind.
  if (kind.multi && err == EINVAL) return unsupported;
  return failure("ATTACH_FAILED", why);
}

// Whether this thread opens a perf event without CAP_SYS_ADMIN, which it gets back. Some kernels of Debian and Ubuntu require it, others only
// CAP_PERFMON, with the same kernel.perf_event_paranoid.
Napi::Value PerfEvents(const Napi::CallbackInfo& info) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct before[_LINUX_CAPABILITY_U32S_3]{}, without[_LINUX_CAPABILITY_U32S_3];
  syscall(SYS_capget, &header, before);
  memcpy(without, before, sizeof(before));
  without[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
  syscall(SYS_capset, &header, without);
  perf_event_attr attr{};
  attr.type = PERF_TYPE_SOFTWARE;
  attr.size = sizeof(attr);
  attr.config = PERF_COUNT_SW_DUMMY;
  Fd event(static_cast<int>(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  syscall(SYS_capset, &header, before);
  return Napi::Boolean::New(info.Env(), static_cast<bool>(event));
}

}  // namespace

Napi::Value Link::Stats(const Napi::CallbackInfo& call) {
  Napi::Env env = call.Env();
  bpf_prog_info info{};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.get(), &info, &size)) {
    return Throw(env, Refused(errno, "ATTACH_FAILED", "stats", name, "cannot read counters of program " +
        Quoted(name)));
  }
  uint64_t missed = info.recursion_misses + MissedByLink(DescriptorOf(*this));
  Napi::Object stats = Napi::Object::New(env);
  stats.Set("missed", Napi::BigInt::New(env, missed));
  stats.Set("runs", Napi::BigInt::New(env, uint64_t{info.run_cnt}));
  stats.Set("runNs", Napi::BigInt::New(env, uint64_t{info.run_time_ns}));
  return stats;
}

Napi::Value Link::Identity(const Napi::CallbackInfo& call) {
  LinkInfo info{};
  uint32_t size = sizeof(info);
  // The descriptor may be anything now: a program or a map answers with other numbers.
  const int fd = DescriptorOf(*this);
  if (bpf_obj_get_info_by_fd(fd, &info, &size)) {
    info = {};
    info.id = PerfEventId(fd);
  }
  Napi::Object identity = Napi::Object::New(call.Env());
  identity.Set("id", info.id);
  identity.Set("program", info.prog_id);
  return identity;
}

bool CheckSymbols(Napi::Env env, const ProgramPlan& plan, const std::vector<std::string>& symbols) {
  const Kind& kind = *plan.kind;
  const std::string name(kind.name), got = std::to_string(symbols.size());
  auto bad = [&](const std::string& expected) { return BadArgument<bool>(env, "attach", "symbols", expected, got); };
  if (name == "run")
    return BadArgument<bool>(env, "attach", "program " + Quoted(plan.name), "a kind that is attached", name);
  if (kind.by_target && !(symbols.empty() || (symbols.size() == 1 && symbols[0] == plan.target)))
    return bad("none for kind " + name + " (its target was set at load)");
  if (kind.multi && symbols.empty()) return bad("one or more for kind " + name);
  if (!kind.multi && !kind.by_target && symbols.size() != 1) return bad("exactly one for kind " + name);
  return true;
}

Result<LinkPtr> Attach(bpf_program* program, const ProgramPlan& plan, const std::vector<std::string>& symbols) {
  LogCapture log;
  const std::string kind(plan.kind->name);
  // Duplicated first: after the attachment nothing can fail any more.
  auto made = std::make_unique<Link>(plan.name, plan.kind->name, Duplicate(bpf_program__fd(program)));
  if (!made->program) return AttachFailure(plan, {}, errno, "");
  if (plan.kind->multi) {
    made->multi = AttachMulti(made->program.get(), *plan.kind, symbols);
  } else if (plan.kind->by_target) {
    made->link.reset(bpf_program__attach_trace(program));
  } else if (plan.kind->type == BPF_PROG_TYPE_RAW_TRACEPOINT) {
    made->link.reset(bpf_program__attach_raw_tracepoint(program, symbols[0].c_str()));
  } else if (plan.kind->type == BPF_PROG_TYPE_TRACEPOINT) {
    const size_t colon = symbols[0].find(':');
    const std::string subsystem = symbols[0].substr(0, colon), event = symbols[0].substr(std::min(colon, symbols[0].size()));
    made->link.reset(bpf_program__attach_tracepoint(program, subsystem.c_str(), event.empty() ? "" : event.c_str() + 1));
  } else if (access(kPmu, R_OK) != 0) {
    // libbpf would fall back to tracefs, whose probes outlive the process.
    return Failure{"UNSUPPORTED", "attach", symbols[0], "cannot attach " + kind + " to " + Quoted(symbols[0]) + ": " +
        kPmu + " is missing (no kprobes in this kernel, or /sys is not mounted)", errno};
  } else {
    bpf_kprobe_opts options{.sz = sizeof(bpf_kprobe_opts), .retprobe = plan.kind->returns};
    made->link.reset(bpf_program__attach_kprobe_opts(program, symbols[0].c_str(), &options));
  }
  if (!made->link && !made->multi) return AttachFailure(plan, symbols, errno, log.text());
  return made;
}

Napi::Value WrappedLink(Napi::Env env, LinkPtr link) {
  const std::string kind(link->kind);
  Napi::Value wrapped = Wrapped(env, std::move(link));
  if (wrapped.IsEmpty()) return {};
  wrapped.As<Napi::Object>().DefineProperty(
      Napi::PropertyDescriptor::Value("kind", Napi::String::New(env, kind), napi_enumerable));
  return wrapped;
}

void InitLink(Napi::Env env, Napi::Object exports) {
  Handle<Link>::Define(env);
  Export<PerfEvents>(exports, "perfEvents");
}

}  // namespace ktrail
