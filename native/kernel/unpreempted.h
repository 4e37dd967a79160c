// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

namespace ktrail {

// While it lives, no ordinary task preempts this thread: it has the lowest real-time priority, if the process may have that and it is `wanted`.
//
// While a system call reads or changes an element of a map, the kernel runs no BPF program of a kprobe on that CPU
// (bpf_disable_instrumentation, kernel/bpf/syscall.c). Where it preempts tasks in kernel code, such a call may be preempted in
// between, and then the programs miss the calls of other tasks until it goes on, a time slice later.
class Unpreempted {
 public:
  explicit Unpreempted(bool wanted) : before_(wanted ? sched_getscheduler(0) : -1) {
    // A thread that has a real-time priority keeps it.
    if (before_ != SCHED_OTHER && before_ != SCHED_BATCH && before_ != SCHED_IDLE) return;
    const sched_param lowest{sched_get_priority_min(SCHED_FIFO)};
    raised_ = sched_setscheduler(0, SCHED_FIFO, &lowest) == 0;
  }
  ~Unpreempted() {
    const sched_param none{};
    if (raised_) sched_setscheduler(0, before_, &none);
  }
  Unpreempted(const Unpreempted&) = delete;
  Unpreempted& operator=(const Unpreempted&) = delete;
  // Whether it is so.
  bool is() const { return raised_ || before_ == SCHED_FIFO || before_ == SCHED_RR; }

 private:
  const int before_;
  bool raised_ = false;
};

}  // namespace ktrail
