#pragma once

#include "absl/status/status.h"

namespace moe {

// Gives each file in /dev/shm that Open MPI has mapped into this process all of
// its room, which Open MPI itself takes page by page. kResourceExhausted that
// names the file, its size and what to do if /dev/shm is too small. Any thread.
absl::Status ReserveMpiSharedMemory();

// Removes the files in /dev/shm by which Open MPI's processes of one machine
// share memory, as far as this process has them mapped. They keep working; new
// processes cannot join. For a job that has failed: the files would stay for
// ever if no process is left to remove them. Any thread.
void UnlinkMpiSharedMemory();

}  // namespace moe
