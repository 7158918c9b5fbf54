#!/bin/bash
# mpirun.sh NP PROGRAM [ARG...]: runs PROGRAM on NP local ranks, as root and
# with more ranks than cores where need be.
set -euo pipefail
np=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1      # more ranks than cores is fine
export OMPI_MCA_hwloc_base_binding_policy=none  # a rank's threads may use every core
export OMPI_MCA_mpi_yield_when_idle=1           # or each wait costs a time slice
export OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader # shared memory only: starts faster
export ASAN_OPTIONS=detect_leaks=0  # Open MPI leaks, from plug-ins it has unloaded
unset TEST_PREMATURE_EXIT_FILE      # or the ranks race to delete it
exec mpirun --tag-output -np "$np" "$@"
