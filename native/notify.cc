// SPDX-License-Identifier: Apache-2.0
#include <napi.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "border/addon.h"
#include "border/arguments.h"
#include "border/failure.h"

namespace ktrail {
namespace {

// One datagram to a Unix socket, a path or `@` and an abstract name. Never blocks.
Napi::Value SendDatagram(const Napi::CallbackInfo& info) {
  constexpr char kOp[] = "sendDatagram";
  Napi::Env env = info.Env();
  auto path = StringOf(info[0], kOp, "socket");
  if (!path) return {};
  auto text = StringOf(info[1], kOp, "text");
  if (!text) return {};
  sockaddr_un to{.sun_family = AF_UNIX, .sun_path = {}};
  if (path->size() >= sizeof(to.sun_path))
    return BadArgument(env, kOp, "socket", "a path of at most " + std::to_string(sizeof(to.sun_path) - 1) + " bytes",
                       Quoted(*path));
  memcpy(to.sun_path, path->data(), path->size());
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';
  Fd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  socklen_t size = offsetof(sockaddr_un, sun_path) + path->size();
  if (!fd || sendto(fd.get(), text->data(), text->size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                    reinterpret_cast<sockaddr*>(&to), size) < 0)
    return Throw(env, Refused(errno, "OPEN_FAILED", kOp, *path, "cannot write to the socket " + Quoted(*path)));
  return env.Undefined();
}

// The user and process that connected a Unix socket, as the kernel noted them then: SO_PEERCRED, unix(7).
Napi::Value PeerOf(const Napi::CallbackInfo& info) {
  constexpr char kOp[] = "peerOf";
  Napi::Env env = info.Env();
  auto fd = Uint32Of(info[0], kOp, "fd", 0, INT32_MAX);
  if (!fd) return {};
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(static_cast<int>(*fd), SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    return Throw(env, Refused(errno, "OPEN_FAILED", kOp, std::to_string(*fd), "cannot read the peer of the socket"));
  Napi::Object found = Napi::Object::New(env);
  found.Set("pid", Napi::Number::New(env, peer.pid));
  found.Set("uid", Napi::Number::New(env, peer.uid));
  return found;
}

}  // namespace

void InitNotify(Napi::Env, Napi::Object exports) {
  Export<SendDatagram>(exports, "sendDatagram");
  Export<PeerOf>(exports, "peerOf");
}

}  // namespace ktrail
