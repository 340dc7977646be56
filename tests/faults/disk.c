/* A disk whose cache is lost with the power: it notes how much of each spool segment is safe. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(int file) {
    const char *directory = getenv("SYNCED_DIR");
    char link[64], path[PATH_MAX], noted[PATH_MAX + 64];
    struct stat status;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!directory || length < 0 || fstat(file, &status) != 0) {
        return;
    }
    path[length] = 0;
    const char *name = strrchr(path, '/');
    if (!name || !strstr(name, ".segment")) {
        return;
    }
    snprintf(noted, sizeof noted, "%s%s", directory, name);
    /* Of one width and in one write: a process that is killed here leaves the old number or the new. */
    char number[32];
    int width = snprintf(number, sizeof number, "%020lld", (long long)status.st_size);
    int out = open(noted, O_WRONLY | O_CREAT, 0600);
    if (out >= 0) {
        if (pwrite(out, number, (size_t)width, 0) != width) {
            abort();
        }
        close(out);
    }
}

int fdatasync(int file) {
    int failed = (int)syscall(SYS_fdatasync, file);
    if (!failed) {
        note(file);
    }
    return failed;
}

int fsync(int file) {
    int failed = (int)syscall(SYS_fsync, file);
    if (!failed) {
        note(file);
    }
    return failed;
}
