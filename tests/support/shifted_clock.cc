// Preloaded (LD_PRELOAD) into a program, shows it a system clock that is wrong
// by as many seconds as the 8-byte number in the file MOE_CLOCK_SHIFT says; a
// test changes it while the program runs. The steady clock stays as it is.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdint>
#include <cstdlib>

namespace {

// 2001; steady clocks count from the start of the machine.
constexpr time_t kFirstSystemTime = 1'000'000'000;

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

long RealSyscall(long number, long a, long b, long c, long d, long e, long f) {
  static const auto real =
      reinterpret_cast<long (*)(long, ...)>(dlsym(RTLD_NEXT, "syscall"));
  return real(number, a, b, c, d, e, f);
}

}  // namespace

extern "C" {

// The kernel knows nothing of the shift: waits until a time of the system's
// clock (of absl) must be told the real one.
long syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long args[6];
  for (long& arg : args) arg = va_arg(list, long);
  va_end(list);
  timespec until;
  if (number == SYS_futex && (args[1] & FUTEX_CLOCK_REALTIME) != 0 &&
      args[3] != 0) {
    until = *reinterpret_cast<const timespec*>(args[3]);
    until.tv_sec -= Shift();
    args[3] = reinterpret_cast<long>(&until);
  }
  return RealSyscall(number, args[0], args[1], args[2], args[3], args[4],
                     args[5]);
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                           const timespec* until) {
  using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, const timespec*);
  static const auto real =
      reinterpret_cast<Wait>(dlsym(RTLD_NEXT, "pthread_cond_timedwait"));
  // By the steady clock a time is far below the shift.
  timespec shifted = *until;
  if (shifted.tv_sec > kFirstSystemTime) shifted.tv_sec -= Shift();
  return real(condition, mutex, &shifted);
}

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
