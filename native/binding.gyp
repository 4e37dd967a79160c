{
  "targets": [
    {
      "target_name": "ktrail",
      "sources": [
        "border/addon.cc", "border/arguments.cc", "border/failure.cc", "border/worker.cc",
        "kernel/object.cc", "kernel/plan.cc", "kernel/prepare.cc", "kernel/map.cc", "kernel/link.cc",
        "kernel/ring.cc", "kernel/watch.cc", "kernel/symbols.cc", "kernel/clocks.cc",
        "trim/access.cc", "trim/known.cc", "trim/trim.cc", "btf/types.cc", "btf/functions.cc", "btf/members.cc", "btf/needed.cc",
        "paths/paths.cc", "paths/folder.cc", "paths/digest.cc", "paths/worker.cc",
        "compress.cc", "notify.cc"
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
                  "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc": ["-std=gnu++20", "-fno-exceptions", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
      # Threads that a file system does not answer may return to this code after the environment has ended.
      "ldflags": ["-Wl,-z,nodelete"],
      "libraries": ["-lbpf", "-lelf", "-lz", "-lisal", "-lzstd"]
    }
  ]
}
