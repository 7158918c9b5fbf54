// Preloaded (LD_PRELOAD) into a program, shows it a system clock that is wrong
// by as many seconds as the 8-byte number in the file MOE_CLOCK_SHIFT says; a
// test changes it while the program runs. The steady clock stays as it is.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

int64_t Shift() {
  static const volatile int64_t* const shift = [] {
    static const int64_t kNone = 0;
    const char* const path = std::getenv("MOE_CLOCK_SHIFT");
    if (path == nullptr) return &kNone;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    void* const memory =
        mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? &kNone : static_cast<const int64_t*>(memory);
  }();
  return *shift;
}

using ClockGetTime = int (*)(clockid_t, timespec*);

int RealClockGetTime(clockid_t clock, timespec* time) {
  static const auto real =
      reinterpret_cast<ClockGetTime>(dlsym(RTLD_NEXT, "clock_gettime"));
  return real(clock, time);
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* result) {
  const int status = RealClockGetTime(clock, result);
  if (clock == CLOCK_REALTIME) result->tv_sec += Shift();
  return status;
}

int gettimeofday(timeval* result, void*) {
  timespec now;
  const int status = clock_gettime(CLOCK_REALTIME, &now);
  result->tv_sec = now.tv_sec;
  result->tv_usec = now.tv_nsec / 1000;
  return status;
}

time_t time(time_t* result) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (result != nullptr) *result = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
