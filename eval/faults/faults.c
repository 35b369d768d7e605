/*
 * Makes the file operations of a process fail, or ends the process in the midst of one. For tests: compiled to a shared
 * object and named in LD_PRELOAD. It stands between the program and the C library, so it does not see what is called past
 * that library (the renames of the crate `tempfile`, writes through a memory map).
 *
 * FAULTS_DIR      Only operations on files below this folder are concerned.
 * FAULTS_CONTROL  A file. While it exists, it holds an error and the operations that fail with it:
 *                 `EIO sync` or `ENOSPC open,write`.
 * FAULTS_KILL_AT  A number. The process is killed at the operation of that number, counted from 1: before it when the
 *                 number is even; when it is odd, after it, a write being cut in half.
 * FAULTS_THREAD   With it, only operations of threads whose name begins so are counted.
 * FAULTS_TOLD     A file that gets a line before the process is killed: operation, thread, path.
 *
 * Operations: open (where it may create), write, sync, truncate, rename (links too), unlink.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* The function of this name that the program would have called. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum verdict { GO_ON, FAIL, DIE_BEFORE, DIE_AFTER };

static atomic_ulong calls;

/* Whether the faults of the control file hold for an operation; sets errno if they do. */
static int fails(const char *operation) {
    const char *control = getenv("FAULTS_CONTROL");
    int before = errno;
    int fd = control ? NEXT(open)(control, O_RDONLY | O_CLOEXEC) : -1;
    errno = before;
    if (fd < 0)
        return 0;
    char line[256];
    ssize_t len = read(fd, line, sizeof line - 1);
    close(fd);
    line[len > 0 ? len : 0] = 0;
    if (!strstr(line, operation))
        return 0;
    errno = strncmp(line, "ENOSPC", 6) == 0 ? ENOSPC : EIO;
    return 1;
}

static enum verdict judge(const char *operation, const char *path) {
    const char *dir = getenv("FAULTS_DIR");
    if (!dir || strncmp(path, dir, strlen(dir)) != 0)
        return GO_ON;
    if (fails(operation))
        return FAIL;
    const char *kill_at = getenv("FAULTS_KILL_AT");
    if (!kill_at)
        return GO_ON;
    char thread[16] = "";
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    const char *wanted = getenv("FAULTS_THREAD");
    if (wanted && strncmp(thread, wanted, strlen(wanted)) != 0)
        return GO_ON;
    unsigned long number = atomic_fetch_add(&calls, 1) + 1;
    if (number != strtoul(kill_at, NULL, 10))
        return GO_ON;
    const char *told = getenv("FAULTS_TOLD");
    int fd = told ? NEXT(open)(told, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644) : -1;
    if (fd >= 0) {
        char line[PATH_MAX + 64];
        int len = snprintf(line, sizeof line, "%s %s %s\n", operation, thread, path);
        (void)!NEXT(write)(fd, line, (size_t)len);
        close(fd);
    }
    return number % 2 ? DIE_AFTER : DIE_BEFORE;
}

__attribute__((noreturn)) static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Does `whole`, or fails, or dies: before it, or when `last` is done. */
#define JUDGED(operation, path, whole, last)                                                                           \
    switch (judge(operation, path)) {                                                                                  \
    case FAIL:                                                                                                         \
        return -1;                                                                                                     \
    case DIE_AFTER:                                                                                                    \
        (void)!(last);                                                                                                 \
        die();                                                                                                         \
    case DIE_BEFORE:                                                                                                   \
        die();                                                                                                         \
    default:                                                                                                           \
        return whole;                                                                                                  \
    }

/* The same for an operation on an open file. */
#define JUDGED_FILE(operation, fd, whole, last)                                                                        \
    char path[PATH_MAX];                                                                                               \
    JUDGED(operation, path_of(fd, path), whole, last)

static const char *path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int before = errno;
    ssize_t len = readlink(link, path, PATH_MAX - 1);
    errno = before;
    path[len > 0 ? len : 0] = 0;
    return path;
}

ssize_t write(int fd, const void *data, size_t len) {
    JUDGED_FILE("write", fd, NEXT(write)(fd, data, len), NEXT(write)(fd, data, len / 2));
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    JUDGED_FILE("write", fd, NEXT(writev)(fd, parts, count), NEXT(writev)(fd, parts, count / 2));
}

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
    JUDGED_FILE("write", fd, NEXT(pwrite64)(fd, data, len, at), NEXT(pwrite64)(fd, data, len / 2, at));
}

ssize_t copy_file_range(int in, off64_t *in_at, int fd, off64_t *at, size_t len, unsigned flags) {
    JUDGED_FILE("write", fd, NEXT(copy_file_range)(in, in_at, fd, at, len, flags),
                NEXT(copy_file_range)(in, in_at, fd, at, len / 2, flags));
}

int fsync(int fd) { JUDGED_FILE("sync", fd, NEXT(fsync)(fd), NEXT(fsync)(fd)); }

int fdatasync(int fd) { JUDGED_FILE("sync", fd, NEXT(fdatasync)(fd), NEXT(fdatasync)(fd)); }

int ftruncate64(int fd, off64_t len) {
    JUDGED_FILE("truncate", fd, NEXT(ftruncate64)(fd, len), NEXT(ftruncate64)(fd, len));
}

int rename(const char *from, const char *to) { JUDGED("rename", to, NEXT(rename)(from, to), NEXT(rename)(from, to)); }

int linkat(int from_dir, const char *from, int dir, const char *to, int flags) {
    JUDGED("rename", to, NEXT(linkat)(from_dir, from, dir, to, flags), NEXT(linkat)(from_dir, from, dir, to, flags));
}

int unlink(const char *path) { JUDGED("unlink", path, NEXT(unlink)(path), NEXT(unlink)(path)); }

#define OPEN(name, path, flags, ...)                                                                                   \
    va_list rest;                                                                                                      \
    va_start(rest, flags);                                                                                             \
    mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;                                                          \
    va_end(rest);                                                                                                      \
    if (!(flags & O_CREAT))                                                                                            \
        return NEXT(name)(__VA_ARGS__, flags);                                                                         \
    JUDGED("open", path, NEXT(name)(__VA_ARGS__, flags, mode), NEXT(name)(__VA_ARGS__, flags, mode))

int open64(const char *path, int flags, ...) { OPEN(open64, path, flags, path); }

int openat64(int dir, const char *path, int flags, ...) { OPEN(openat64, path, flags, dir, path); }
