#pragma once

namespace moe {

// Open MPI copies large messages between processes of a machine straight out of
// the sender's memory (process_vm_readv). Where the system forbids that
// (seccomp in containers, ptrace_scope 3) it tries anew, and complains, for
// each message: then this makes it copy through shared memory. Before MPI
// starts; does nothing if the user has chosen
// (OMPI_MCA_btl_vader_single_copy_mechanism).
void ChooseMpiSingleCopy();

}  // namespace moe
