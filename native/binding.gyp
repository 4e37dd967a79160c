{
  "targets": [
    {
      "target_name": "ktrail",
      "sources": [
        "addon.cc", "error.cc", "value.cc", "options.cc", "constants.cc", "object.cc",
        "map.cc", "link.cc", "ring.cc", "watch.cc", "btf.cc", "kernel.cc",
        "compress.cc"
      ],
      "include_dirs": ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"],
      "cflags_cc": ["-std=gnu++20", "-fno-exceptions", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-fvisibility=hidden"],
      "libraries": ["-lbpf", "-lelf", "-lz", "-lisal", "-lzstd"]
    }
  ]
}
