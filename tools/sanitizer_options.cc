// Suppressions for the sanitizers: the system's libraries, which are built
// without them. Linked into every binary under --config=asan and tsan.

extern "C" {

const char* __lsan_default_suppressions() { return "leak:libcares\n"; }

const char* __tsan_default_options() {
  return "ignore_noninstrumented_modules=1";
}

// gRPC's inline code runs in ours, but synchronizes in libgrpc.
const char* __tsan_default_suppressions() {
  return "race:grpc::\nrace:libgrpc\n";
}

}  // extern "C"
