{
  "targets": [
    {
      "target_name": "ktrail",
      "sources": [
        "border/addon.cc", "border/arguments.cc", "border/failure.cc", "border/worker.cc",
        "kernel/object.cc", "kernel/plan.cc", "kernel/prepare.cc", "kernel/map.cc", "kernel/link.cc",
        "kernel/ring.cc", "kernel/watch.cc", "kernel/symbols.cc", "kernel/clocks.cc",
        "btf/types.cc", "btf/functions.cc", "btf/members.cc",
        "compress.cc", "notify.cc", "folder.cc"
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED",
                  "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"],
      "cflags_cc": ["-std=gnu++20", "-fno-exceptions", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
      "libraries": ["-lbpf", "-lelf", "-lz", "-lisal", "-lzstd"]
    }
  ]
}
