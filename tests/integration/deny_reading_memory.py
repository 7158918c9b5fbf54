"""deny_reading_memory.py PROGRAM ARGUMENT...: runs a program that may not call
process_vm_readv, as under a strict seccomp profile. x86-64."""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
PROCESS_VM_READV = 310
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
DENY, ALLOW = 0x00050001, 0x7FFF0000  # with EPERM


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


code = [(LOAD, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, PROCESS_VM_READV), (RETURN, 0, 0, DENY), (RETURN, 0, 0, ALLOW)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in code))
program = Filter(len(code), ctypes.cast(text, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program)):
    sys.exit(f"cannot set a filter: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
