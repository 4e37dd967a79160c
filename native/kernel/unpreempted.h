// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sched.h>

namespace ktrail {

// While this object exists, no ordinary task preempts this thread. It has the lowest real-time priority, if that is `wanted` and permitted.
//
// While a system call accesses an element of a map, the kernel runs no kprobe programs on that CPU
// (bpf_disable_instrumentation, kernel/bpf/syscall.c). A kernel that preempts tasks in kernel code may preempt such a call. Then
// the programs miss the calls of other tasks until it runs again, a time slice later.
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
  // Whether no ordinary task preempts this thread.
  bool is() const { return raised_ || before_ == SCHED_FIFO || before_ == SCHED_RR; }

 private:
  const int before_;
  bool raised_ = false;
};

}  // namespace ktrail
