/* Files by POSIX calls. */
#define _GNU_SOURCE /* O_TMPFILE */
#include "file.h"
#include "cancel.h"
#include "forks.h"
#include "memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes from one question whether to go on to the next, and from one flush to the next: flushing cannot be stopped. */
enum { PIECE = 1 << 23, STRETCH = 1 << 26 };
enum { TEMPORARY_NAMES = 1000, TEMPORARY_NAME_SIZE = 64, SELF_SIZE = 32 };
#define SELF_FORMAT "/proc/self/fd/%d"

struct hn_file {
    char *path;
    int descriptor;
};

struct hn_file_writer {
    char *path, *temporary, *directory; /* temporary: NULL where no file has such a name */
    int descriptor;
    size_t unflushed; /* bytes */
    uint64_t forks;   /* when it was created: in the child of a later fork the file is still the parent's */
};

/* "<what> '<path>': <the system's reason>" */
static hn_status system_error(hn_error *error, const char *what, const char *path)
{
    int number = errno;
    hn_error_set(error, HN_ERROR_OS, "%s '%s': %s", what, path, strerror(number));
    if (error)
        error->number = number;
    return HN_ERROR_OS;
}

/* A directory is one to the system, too; about other kinds of things it has no opinion. */
static hn_status irregular(hn_error *error, const char *what, const char *path, mode_t mode)
{
    if (!S_ISDIR(mode))
        return hn_error_set(error, HN_ERROR_OS, "%s '%s': it is not a regular file", what, path);
    errno = EISDIR;
    return system_error(error, what, path);
}

static hn_status cancelled(hn_error *error, const char *what, const char *path)
{
    return hn_error_set(error, HN_CANCELLED, "%s '%s' was cancelled", what, path);
}

static char *text_copy(const char *text, size_t length, hn_error *error)
{
    char *copy = hn_memory_allocate(length + 1, 1, error);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

/* ---- reading ---- */

/* Opens `path` and checks that it is a regular file. O_NONBLOCK: a named pipe is refused, not waited for. */
static int regular_open(const char *path, uint64_t *bytes, hn_error *error)
{
    struct stat status;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        system_error(error, "could not open", path);
        return -1;
    }
    if (fstat(descriptor, &status) != 0) {
        system_error(error, "could not open", path);
    } else if (!S_ISREG(status.st_mode)) {
        irregular(error, "could not open", path, status.st_mode);
    } else {
        *bytes = (uint64_t)status.st_size;
        return descriptor;
    }
    close(descriptor);
    return -1;
}

hn_file *hn_file_open(const char *path, uint64_t *bytes, hn_error *error)
{
    hn_file *file = hn_memory_allocate(1, sizeof *file, error);
    if (!file)
        return NULL;
    file->path = text_copy(path, strlen(path), error);
    file->descriptor = file->path ? regular_open(path, bytes, error) : -1;
    if (file->descriptor >= 0)
        return file;
    hn_file_close(file);
    return NULL;
}

hn_status hn_file_read(hn_file *file, void *data, size_t bytes, hn_error *error)
{
    char *place = data;
    while (bytes > 0) {
        if (hn_cancel_ask())
            return cancelled(error, "reading", file->path);
        ssize_t done = read(file->descriptor, place, bytes < PIECE ? bytes : PIECE);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return system_error(error, "could not read", file->path);
        if (done == 0)
            return hn_error_set(error, HN_ERROR_OS, "could not read '%s': it ends %zu bytes too early", file->path,
                                bytes);
        place += done;
        bytes -= (size_t)done;
    }
    return HN_OK;
}

void hn_file_close(hn_file *file)
{
    if (!file)
        return;
    if (file->descriptor >= 0)
        close(file->descriptor);
    hn_memory_free(file->path);
    hn_memory_free(file);
}

/* ---- writing ---- */

/* `path` with symbolic links followed, and its directory. */
static hn_status places_find(hn_file_writer *writer, const char *path, hn_error *error)
{
    char *real = realpath(path, NULL);
    const char *final = real ? real : path; /* no such file yet */
    const char *slash = strrchr(final, '/');
    writer->path = text_copy(final, strlen(final), error);
    if (!slash)
        writer->directory = text_copy(".", 1, error);
    else
        writer->directory = text_copy(final, slash == final ? 1 : (size_t)(slash - final), error);
    free(real);
    return writer->path && writer->directory ? HN_OK : HN_ERROR_MEMORY;
}

/* A file without a name: a process that is killed leaves nothing of it. -1 where there are none: not every system and
   file system has them, and it takes /proc to name them. */
static int unnamed_open(const char *directory)
{
#ifdef O_TMPFILE
    char self[SELF_SIZE];
    int descriptor = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    (void)snprintf(self, sizeof self, SELF_FORMAT, descriptor);
    if (descriptor < 0 || access(self, F_OK) == 0)
        return descriptor;
    close(descriptor);
#else
    (void)directory;
#endif
    return -1;
}

/* Gives the open file this name, or creates one of this name; 0 if that is not possible. */
static int name_give(hn_file_writer *writer, const char *name)
{
    char self[SELF_SIZE];
    if (writer->descriptor >= 0) {
        (void)snprintf(self, sizeof self, SELF_FORMAT, writer->descriptor);
        return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0;
    }
    writer->descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return writer->descriptor >= 0;
}

/* Names the temporary file so as nobody else does: process number and a counter; a name that is taken is refused. */
static hn_status temporary_name(hn_file_writer *writer, hn_error *error)
{
    static _Atomic unsigned counter;
    size_t size = strlen(writer->directory) + TEMPORARY_NAME_SIZE;
    char *name = hn_memory_allocate(size, 1, error);
    if (!name)
        return HN_ERROR_MEMORY;
    for (int attempt = 0; attempt < TEMPORARY_NAMES; attempt++) {
        (void)snprintf(name, size, "%s/.hypernet-%ld-%u.tmp", writer->directory, (long)getpid(), counter++);
        if (name_give(writer, name)) {
            writer->temporary = name;
            return HN_OK;
        }
        if (errno != EEXIST)
            break;
    }
    system_error(error, "could not write a temporary file beside", writer->path);
    hn_memory_free(name);
    return HN_ERROR_OS;
}

static hn_status temporary_create(hn_file_writer *writer, hn_error *error)
{
    writer->descriptor = unnamed_open(writer->directory);
    return writer->descriptor >= 0 ? HN_OK : temporary_name(writer, error);
}

/* A file that is there already hands on its permissions; one that may not be written, and other kinds of things, are
   not replaced. */
static hn_status permissions_copy(const hn_file_writer *writer, hn_error *error)
{
    struct stat status;
    if (stat(writer->path, &status) != 0)
        return HN_OK;
    if (!S_ISREG(status.st_mode))
        return irregular(error, "could not write", writer->path, status.st_mode);
    if (access(writer->path, W_OK) != 0 || fchmod(writer->descriptor, status.st_mode & 0777) != 0)
        return system_error(error, "could not write", writer->path);
    return HN_OK;
}

hn_file_writer *hn_file_writer_create(const char *path, hn_error *error)
{
    hn_file_writer *writer = hn_memory_allocate(1, sizeof *writer, error);
    if (!writer)
        return NULL;
    writer->descriptor = -1;
    writer->forks = hn_forks_count();
    if (places_find(writer, path, error) == HN_OK && temporary_create(writer, error) == HN_OK &&
        permissions_copy(writer, error) == HN_OK)
        return writer;
    hn_file_writer_free(writer);
    return NULL;
}

hn_status hn_file_writer_write(hn_file_writer *writer, const void *data, size_t bytes, hn_error *error)
{
    const char *place = data;
    while (bytes > 0) {
        if (hn_cancel_ask())
            return cancelled(error, "writing", writer->path);
        if (writer->unflushed >= STRETCH && fsync(writer->descriptor) != 0)
            return system_error(error, "could not flush", writer->path);
        writer->unflushed = writer->unflushed >= STRETCH ? 0 : writer->unflushed;
        ssize_t done = write(writer->descriptor, place, bytes < PIECE ? bytes : PIECE);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return system_error(error, "could not write", writer->path);
        writer->unflushed += (size_t)done;
        place += done;
        bytes -= (size_t)done;
    }
    return HN_OK;
}

/* Some file systems cannot flush a directory (EINVAL, ENOTSUP), and one that may not be read cannot be opened; then the
   renaming is as durable as the system makes it. */
static hn_status directory_flush(const hn_file_writer *writer, hn_error *error)
{
    int directory = open(writer->directory, O_RDONLY | O_CLOEXEC);
    if (directory < 0)
        return HN_OK;
    int failed = fsync(directory) != 0 && errno != EINVAL && errno != ENOTSUP;
    if (failed)
        system_error(error, "the file is written, but could not flush its directory", writer->directory);
    close(directory);
    return failed ? HN_ERROR_OS : HN_OK;
}

hn_status hn_file_writer_commit(hn_file_writer *writer, hn_error *error)
{
    if (fsync(writer->descriptor) != 0)
        return system_error(error, "could not flush", writer->path);
    hn_status named = writer->temporary ? HN_OK : temporary_name(writer, error);
    if (named != HN_OK)
        return named;
    int closed = close(writer->descriptor);
    writer->descriptor = -1;
    if (closed != 0 || rename(writer->temporary, writer->path) != 0)
        return system_error(error, "could not write", writer->path);
    hn_memory_free(writer->temporary);
    writer->temporary = NULL;
    return directory_flush(writer, error);
}

void hn_file_writer_free(hn_file_writer *writer)
{
    if (!writer)
        return;
    if (writer->descriptor >= 0)
        close(writer->descriptor);
    if (writer->temporary && writer->forks == hn_forks_count())
        unlink(writer->temporary);
    hn_memory_free(writer->temporary);
    hn_memory_free(writer->directory);
    hn_memory_free(writer->path);
    hn_memory_free(writer);
}
