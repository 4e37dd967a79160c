// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bpf/libbpf.h>

namespace ktrail {

// Before an object is opened, since libbpf then looks for the handlers of its sections.
void InitTrim();

// bpf_object__load, which trims the programs in sections that libbpf does not know, such as SEC("hook"), by the object's
// constants.
int LoadTrimmed(bpf_object* object);

}  // namespace ktrail
