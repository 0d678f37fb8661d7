"""Files of a log, natively: each call is one step, in which no handler of a signal and no other call of
the same thread comes. Where it fails it raises OSError, as the operating system tells it.

In a child of a fork nothing is held: also if Python does not know of the fork.
"""

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t

import os

cdef extern from "Python.h":
    bytes PyUnicode_EncodeFSDefault(object text)

cdef extern from "cmdlog/_disk.h":
    const bint POSIX "JQ_POSIX"
    ctypedef struct map_t "jq_map_t":
        char *base
        size_t size
        int lost
        uint8_t *alarm
    ctypedef struct held_t "jq_held_t":
        int file
        int directory
    int map_open "jq_map_open" (map_t *map, const char *path, size_t size, int *fd) nogil
    void map_close "jq_map_close" (map_t *map) nogil
    int disk_allocate "jq_allocate" (int fd, int64_t start, int64_t end, int64_t *reached) nogil
    int disk_sync "jq_sync_data" (int fd, const map_t *map, int64_t size) nogil
    int disk_sync_file "jq_sync_file" (int fd) nogil
    int disk_sync_directory "jq_sync_directory" (const char *path) nogil
    int disk_truncate "jq_truncate" (int fd, int64_t size) nogil
    int disk_close "jq_close" (int fd) nogil
    int disk_create "jq_create" (const char *path) nogil
    int lock_take "jq_lock_take" (held_t *held, const char *path, const char *lock) nogil
    void lock_give "jq_lock_give" (held_t *held) nogil
    int lock_check "jq_lock_check" (const held_t *held, const char *path, const char *lock) nogil

IS_NATIVE = POSIX                 # whether what stands here works; else _files.py has it in Python

cdef tuple LOCK_STATES = (
    None,
    "its directory was removed or replaced",
    "its lock file was removed or replaced, and another process may have opened it",
)


cdef int raise_error(int number, object path) except -1:
    raise OSError(number, os.strerror(number), path)


cdef bytes path_bytes(object path):
    return PyUnicode_EncodeFSDefault(path) if type(path) is str else os.fsencode(path)


cdef class MappedFile:
    """A file in memory that is written by storing into it. Disk space is reserved before.

    A page that the disk does not have any more is a page of memory from then on: see ``lost``.
    """

    cdef map_t *map               # NULL: closed. Not of the object: a handler may still look at it
    cdef int fd
    cdef int64_t allocated
    cdef Py_ssize_t exports
    cdef object path
    cdef object alarmed           # keeps alive whose alarm it is

    def __cinit__(self, path, Py_ssize_t size):
        cdef bytes name = path_bytes(path)
        cdef const char *text = name
        cdef int status
        self.fd = -1
        self.path = path
        self.map = <map_t *> PyMem_RawMalloc(sizeof(map_t))
        if self.map == NULL:
            raise MemoryError
        with nogil:
            status = map_open(self.map, text, <size_t> size, &self.fd)
        if status != 0:
            PyMem_RawFree(self.map)
            self.map = NULL
            raise_error(errno, path)

    def __dealloc__(self):
        if self.map != NULL:
            map_close(self.map)
            disk_close(self.fd)
            PyMem_RawFree(self.map)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if self.map == NULL:
            raise BufferError("the file is closed")
        PyBuffer_FillInfo(buffer, self, self.map.base, <Py_ssize_t> self.map.size, 0, flags)
        self.exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self.exports -= 1

    @property
    def memory(self):
        """What is stored into; None: it is closed."""
        return None if self.map == NULL else memoryview(self)

    @property
    def lost(self):
        """Whether the disk took a page away: what was stored there is not in the file."""
        return self.map != NULL and self.map.lost != 0

    def alarm(self, owner, size_t address):
        """Let a byte of ``owner`` be set, too, when a page is lost."""
        self.alarmed = owner
        if self.map != NULL:
            self.map.alarm = <uint8_t *> address

    def allocate(self, int64_t end):
        """Reserve disk space up to ``end``, so that no store can fail for want of it.

        Zeros are written there, too: pages that are in memory before they are stored into cost a
        sixth of those that each fault in, and a page is synced at no more than the size of a write.
        """
        cdef int64_t start = self.allocated
        cdef int status
        if self.map == NULL or end <= start:  # by a call that failed after it had written so much
            return
        with nogil:
            status = disk_allocate(self.fd, start, end, &self.allocated)
        if status != 0:
            raise_error(errno, self.path)

    def sync(self):
        """Bring what was stored to the disk."""
        cdef int status
        if self.map == NULL:
            return
        with nogil:
            status = disk_sync(self.fd, self.map, <int64_t> self.map.size)
        if status < 0:
            raise_error(errno, self.path)
        if status > 0:
            raise OSError(f"{self.path} was removed, or cut, while it was written")

    def close(self, size):
        """Let go of it; ``size``: cut it there first."""
        cdef int64_t end = -1 if size is None else size
        cdef int status = 0
        if self.map == NULL:
            return
        if self.exports:
            raise BufferError("the file is being stored into")
        map_close(self.map)
        PyMem_RawFree(self.map)
        self.map = NULL
        if end >= 0:
            with nogil:
                status = disk_truncate(self.fd, end)
        cdef int number = errno
        with nogil:
            disk_close(self.fd)
        self.fd = -1
        if status != 0:
            raise_error(number, self.path)


cdef class DirectoryLock:
    """Holds a directory for one process; ended by the system with the process, if not before."""

    cdef held_t held
    cdef bint taken
    cdef bytes directory
    cdef bytes file

    def __cinit__(self, path):
        cdef int status
        cdef const char *directory
        cdef const char *file
        self.held.file = self.held.directory = -1
        self.file = path_bytes(path)
        self.directory = os.path.dirname(self.file) or b"."
        directory, file = self.directory, self.file
        with nogil:
            status = lock_take(&self.held, directory, file)
        if status != 0:
            raise_error(errno, path)
        self.taken = True

    def __dealloc__(self):
        self.release()

    cpdef release(self):
        """Let go of it; in a forked child, the parent's hold stays."""
        if self.taken:
            self.taken = False
            lock_give(&self.held)

    def lost(self):
        """Why it is not held any more; None: it is."""
        cdef const char *directory = self.directory
        cdef const char *file = self.file
        cdef int state
        with nogil:
            state = lock_check(&self.held, directory, file)
        return LOCK_STATES[state]


def create(path):
    """A descriptor of a file that is empty, to be written; of the spare one, if there are no more."""
    cdef bytes name = path_bytes(path)
    cdef const char *text = name
    cdef int fd
    with nogil:
        fd = disk_create(text)
    if fd < 0:
        raise_error(errno, path)
    return fd


def close(int fd):
    """Close a descriptor."""
    cdef int status
    with nogil:
        status = disk_close(fd)
    if status != 0:
        raise_error(errno, None)


def sync(int fd):
    """Bring a file to the disk."""
    cdef int status
    with nogil:
        status = disk_sync_file(fd)
    if status != 0:
        raise_error(errno, None)


def sync_directory(path):
    """Bring the names of a directory to the disk, where a file system has a way to."""
    cdef bytes name = path_bytes(path)
    cdef const char *text = name
    cdef int status
    with nogil:
        status = disk_sync_directory(text)
    if status != 0:
        raise_error(errno, path)
