/* What the log does on a disk, as the operating system has it: mapped files, locks, syncs.
   Nothing here calls Python; nothing here needs the GIL. A mapped page that the disk does not give
   any more (a file that was cut, a copy-on-write file system without space) raises SIGBUS: the
   handler puts memory in its place and marks the file as lost, and the store goes on. */
#ifndef JQ_DISK_H
#define JQ_DISK_H

#include "Python.h" /* first: it says which parts of the system are wanted */
#include <stddef.h>
#include <stdint.h>

/* A mapped file, as the handler of SIGBUS knows it. */
typedef struct jq_map {
    struct jq_map *next;
    char *base;
    size_t size;
    volatile int lost;       /* a page of it is gone: what was stored there is not in the file */
    uint8_t *volatile alarm; /* set, too: a store finds there that it has to look */
} jq_map_t;

/* The two locks of a log. */
typedef struct jq_held {
    struct jq_held *next;
    int file;      /* "lock"; -1: not held */
    int directory;
} jq_held_t;

#ifdef _WIN32
#define JQ_POSIX 0
static inline int jq_map_open(jq_map_t *m, const char *p, size_t n, int *fd) { (void)m; (void)p; (void)n; (void)fd; return -1; }
static inline void jq_map_close(jq_map_t *m) { (void)m; }
static inline int jq_allocate(int fd, int64_t a, int64_t b, int64_t *r) { (void)fd; (void)a; (void)b; (void)r; return -1; }
static inline int jq_sync_data(int fd, const jq_map_t *m, int64_t n) { (void)fd; (void)m; (void)n; return -1; }
static inline int jq_sync_file(int fd) { (void)fd; return -1; }
static inline int jq_sync_directory(const char *p) { (void)p; return -1; }
static inline int jq_truncate(int fd, int64_t n) { (void)fd; (void)n; return -1; }
static inline int jq_close(int fd) { (void)fd; return -1; }
static inline int jq_create(const char *p) { (void)p; return -1; }
static inline int jq_lock_take(jq_held_t *h, const char *p, const char *l) { (void)h; (void)p; (void)l; return -1; }
static inline int jq_lock_check(const jq_held_t *h, const char *p, const char *l) { (void)h; (void)p; (void)l; return 0; }
static inline void jq_lock_give(jq_held_t *h) { (void)h; }
#else
#define JQ_POSIX 1
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- pages that the disk takes away */

static jq_map_t *volatile jq_maps;
static struct sigaction jq_bus_before;
static int jq_bus_ready;

static void jq_bus(int number, siginfo_t *info, void *context)
{
    int error = errno;
    if (info->si_code > 0) { /* of a store, not sent by somebody */
        size_t page = (size_t)sysconf(_SC_PAGESIZE);
        char *at = (char *)info->si_addr;
        for (jq_map_t *map = jq_maps; map != NULL; map = map->next) {
            if (at < map->base || at >= map->base + map->size)
                continue;
            at -= (uintptr_t)at % page;
            if (mmap(at, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
                == MAP_FAILED)
                break;
            map->lost = 1;
            if (map->alarm != NULL)
                *map->alarm = 1;
            errno = error;
            return;
        }
    }
    errno = error;
    if (jq_bus_before.sa_flags & SA_SIGINFO) {
        jq_bus_before.sa_sigaction(number, info, context);
        return;
    }
    if (jq_bus_before.sa_handler != SIG_DFL && jq_bus_before.sa_handler != SIG_IGN) {
        jq_bus_before.sa_handler(number);
        return;
    }
    sigaction(number, &jq_bus_before, NULL); /* a store is tried again, and ends the process */
    if (info->si_code <= 0)
        raise(number);
}

static inline void jq_bus_start(void)
{
    struct sigaction action;
    if (jq_bus_ready)
        return;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = jq_bus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    jq_bus_ready = sigaction(SIGBUS, &action, &jq_bus_before) == 0;
}

/* ---------------------------------------------------------------- spare descriptors */

/* Kept open, so that a log can still begin a file, and sync its directory, when the process may open
   no more: two for the thread that grows it, two for its own, which compacts meanwhile. */
#define JQ_SPARES 4
static int jq_spares[JQ_SPARES] = {-1, -1, -1, -1};

static inline void jq_spares_keep(void)
{
    for (int i = 0; i < JQ_SPARES; i++)
        if (jq_spares[i] < 0)
            jq_spares[i] = open("/", O_RDONLY | O_CLOEXEC);
}

static inline int jq_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);
    for (int i = 0; i < JQ_SPARES && fd < 0 && (errno == EMFILE || errno == ENFILE); i++) {
        if (jq_spares[i] < 0)
            continue;
        close(jq_spares[i]);
        jq_spares[i] = -1;
        fd = open(path, flags | O_CLOEXEC, 0600);
    }
    return fd;
}

static inline int jq_open_new(const char *path, int flags) { return jq_open(path, flags | O_CREAT); }

static inline int jq_create(const char *path) { return jq_open_new(path, O_WRONLY | O_TRUNC); }

/* ---------------------------------------------------------------- mapped files */

static inline int jq_map_open(jq_map_t *map, const char *path, size_t size, int *out)
{
    void *base;
    int error;
    int fd = jq_open_new(path, O_RDWR | O_EXCL);
    if (fd < 0)
        return -1;
    jq_bus_start();
    if (ftruncate(fd, (off_t)size) == 0) {
        base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (base != MAP_FAILED) {
            map->base = (char *)base;
            map->size = size;
            map->lost = 0;
            map->alarm = NULL;
            map->next = jq_maps;
            jq_maps = map;
            *out = fd;
            return 0;
        }
    }
    error = errno;
    unlink(path);
    close(fd);
    errno = error;
    return -1;
}

static inline void jq_map_close(jq_map_t *map)
{
    for (jq_map_t *volatile *at = &jq_maps; *at != NULL; at = (jq_map_t *volatile *)&(*at)->next)
        if (*at == map) {
            *at = map->next;
            break;
        }
    munmap(map->base, map->size);
    map->base = NULL;
    map->size = 0;
}

/* Reserve disk space, and write zeros there: see decision 9. Where nothing can be reserved, the zeros
   do it. reached: how far they go, also after an error. */
static inline int jq_allocate(int fd, int64_t from, int64_t end, int64_t *reached)
{
    static const char zeros[64 << 10];
    *reached = from;
#ifdef __linux__
    if (fallocate(fd, 0, (off_t)from, (off_t)(end - from)) != 0
        && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO))
        return -1;
#endif
    while (*reached < end) {
        int64_t left = end - *reached;
        ssize_t n = pwrite(fd, zeros, left < (int64_t)sizeof(zeros) ? (size_t)left : sizeof(zeros),
                           (off_t)*reached);
        if (n > 0)
            *reached += n;
        else if (n == 0)
            errno = ENOSPC;
        if (n == 0 || (n < 0 && errno != EINTR))
            return -1;
    }
    return 0;
}

static inline int jq_sync_file(int fd)
{
    int status;
    do {
#if defined(F_FULLFSYNC)
        status = fcntl(fd, F_FULLFSYNC); /* there, fsync leaves it in the cache of the drive */
        if (status != 0 && errno != EINTR)
            status = fsync(fd);
#elif defined(__linux__)
        status = fdatasync(fd);
#else
        status = fsync(fd);
#endif
    } while (status != 0 && errno == EINTR);
    return status;
}

/* Bring what was stored to the disk. 1: the file is not what it was; somebody cut or removed it. */
static inline int jq_sync_data(int fd, const jq_map_t *map, int64_t size)
{
    struct stat found;
    if (fstat(fd, &found) != 0)
        return -1;
    if (found.st_nlink == 0 || found.st_size < (off_t)size || map->lost)
        return 1;
#ifndef __linux__
    if (msync(map->base, map->size, MS_SYNC) != 0)
        return -1;
#endif
    if (jq_sync_file(fd) != 0)
        return -1;
    return map->lost;
}

static inline int jq_truncate(int fd, int64_t size)
{
    int status;
    do
        status = ftruncate(fd, (off_t)size);
    while (status != 0 && errno == EINTR);
    return status;
}

/* Close a descriptor; if the spare one was used up, this is the next. */
static inline int jq_close(int fd)
{
    int status = close(fd) != 0 && errno != EINTR ? -1 : 0;
    int error = errno;
    jq_spares_keep();
    errno = error;
    return status;
}

/* ---------------------------------------------------------------- locks
   Two of them: the file, which every release knows, and the directory itself, so that a program that removes
   the file does not let a second process in. */

static inline int jq_same(int fd, const char *path)
{
    struct stat held, there;
    return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev
        && held.st_ino == there.st_ino;
}

static jq_held_t *volatile jq_held_first;

/* In the child of a fork: the parent's hold must not outlive the parent. */
static void jq_locks_forked(void)
{
    for (jq_held_t *held = jq_held_first; held != NULL; held = held->next) {
        if (held->file >= 0)
            close(held->file);
        if (held->directory >= 0)
            close(held->directory);
        held->file = held->directory = -1;
    }
    jq_held_first = NULL;
}

static inline void jq_lock_close(jq_held_t *held)
{
    if (held->file >= 0)
        close(held->file);
    if (held->directory >= 0)
        close(held->directory);
    held->file = held->directory = -1;
}

/* EWOULDBLOCK: somebody else has it. */
static inline int jq_lock_take(jq_held_t *held, const char *path, const char *lock)
{
    static int ready;
    if (!ready)
        ready = pthread_atfork(NULL, NULL, jq_locks_forked) == 0;
    held->file = held->directory = -1;
    for (int tries = 0; tries < 100; tries++) {
        held->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        held->file = held->directory < 0 ? -1 : open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (held->file < 0 || flock(held->file, LOCK_EX | LOCK_NB) != 0
            || (flock(held->directory, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)) {
            int error = errno;
            jq_lock_close(held);
            errno = error;
            return -1;
        }
        if (jq_same(held->file, lock) && jq_same(held->directory, path)) {
            held->next = jq_held_first;
            jq_held_first = held;
            jq_spares_keep();
            return 0;
        }
        jq_lock_close(held); /* removed between opening and locking */
    }
    errno = EAGAIN;
    return -1;
}

static inline void jq_lock_give(jq_held_t *held)
{
    for (jq_held_t *volatile *at = &jq_held_first; *at != NULL;
         at = (jq_held_t *volatile *)&(*at)->next)
        if (*at == held) {
            *at = held->next;
            break;
        }
    jq_lock_close(held);
}

/* 0: held; 1: the directory was removed or replaced; 2: its lock file was. */
static inline int jq_lock_check(const jq_held_t *held, const char *path, const char *lock)
{
    if (held->directory < 0)
        return 0;
    if (!jq_same(held->directory, path))
        return 1;
    return jq_same(held->file, lock) ? 0 : 2;
}

/* Where the file system has no sync of directories, there is none to wait for. */
static inline int jq_sync_directory(const char *path)
{
    int status;
    int error;
    int fd = jq_open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    do
        status = fsync(fd);
    while (status != 0 && errno == EINTR);
    error = errno;
    jq_close(fd);
    errno = error;
    return status != 0 && (error == EIO || error == ENOSPC || error == EDQUOT) ? -1 : 0;
}
#endif

#endif
