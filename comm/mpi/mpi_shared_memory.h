#pragma once

namespace moe {

// Removes the files in /dev/shm by which Open MPI's processes of one machine
// share memory, as far as this process has them mapped. They keep working; new
// processes cannot join. For a job that has failed: the files would stay for
// ever if no process is left to remove them. Any thread.
void UnlinkMpiSharedMemory();

}  // namespace moe
