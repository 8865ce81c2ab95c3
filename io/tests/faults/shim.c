// A disk that fails, between the program and libc: loaded with LD_PRELOAD, told by the environment what to spoil.
//
// DECDN_FAULT = "op file spared errno": operations of this kind on files whose path has this in it fail with this errno,
// after as many as are spared. Kinds: "sync"; "write"; "open" for writing, and whatever else changes a directory; "tear",
// which writes half and kills the process, as if the power had gone in the middle of a write.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char op[16], file[256];
static atomic_int spared;
static int error;

__attribute__((constructor)) static void read_fault(void) {
  const char *fault = getenv("DECDN_FAULT");
  int count = 0;
  if (fault && sscanf(fault, "%15s %255s %d %d", op, file, &count, &error) == 4)
    spared = count;
  else
    op[0] = 0;
}

static int is_due(const char *kind, const char *path) {
  return !strcmp(op, kind) && strstr(path, file) && atomic_fetch_sub(&spared, 1) <= 0;
}

static int is_due_fd(const char *kind, int fd) {
  char link[64], path[4096];
  if (strcmp(op, kind)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t len = readlink(link, path, sizeof path - 1);
  if (len < 0) return 0;
  path[len] = 0;
  return is_due(kind, path);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL_IF(due) do { if (due) { errno = error; return -1; } } while (0)

int fsync(int fd) { REAL(fsync); FAIL_IF(is_due_fd("sync", fd)); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); FAIL_IF(is_due_fd("sync", fd)); return real(fd); }
int ftruncate64(int fd, off64_t len) { REAL(ftruncate64); FAIL_IF(is_due_fd("write", fd)); return real(fd, len); }

ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) {
  REAL(pwrite64);
  FAIL_IF(is_due_fd("write", fd));
  if (is_due_fd("tear", fd)) {
    real(fd, data, len / 2, at);
    kill(getpid(), SIGKILL);
  }
  return real(fd, data, len, at);
}

ssize_t write(int fd, const void *data, size_t len) {
  REAL(write);
  FAIL_IF(is_due_fd("write", fd));
  return real(fd, data, len);
}

int open64(const char *path, int flags, ...) {
  REAL(open64);
  va_list more;
  va_start(more, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
  va_end(more);
  FAIL_IF(flags & (O_WRONLY | O_RDWR | O_CREAT) && is_due("open", path));
  return real(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) { REAL(mkdir); FAIL_IF(is_due("open", path)); return real(path, mode); }
int rmdir(const char *path) { REAL(rmdir); FAIL_IF(is_due("open", path)); return real(path); }
int unlink(const char *path) { REAL(unlink); FAIL_IF(is_due("open", path)); return real(path); }
int rename(const char *from, const char *to) { REAL(rename); FAIL_IF(is_due("open", to)); return real(from, to); }
