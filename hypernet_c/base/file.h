/* Files: reading in order, and replacing a file atomically. The OS's part of the files floor. Reading and writing ask
   from time to time whether to go on (cancel.h), and end with HN_CANCELLED. */
#ifndef HN_BASE_FILE_H
#define HN_BASE_FILE_H

#include "status.h"
#include <stddef.h>
#include <stdint.h>

typedef struct hn_file hn_file;               /* a file being read */
typedef struct hn_file_writer hn_file_writer; /* a file being written, not yet in its place */

/* Opens a regular file and tells its size. HN_ERROR_OS names the path and the system's reason, and has its
   errno. NULL on error. */
hn_file *hn_file_open(const char *path, uint64_t *bytes, hn_error *error);

/* The next `bytes` bytes; HN_ERROR_OS if the file ends before. */
hn_status hn_file_read(hn_file *file, void *data, size_t bytes, hn_error *error);
void hn_file_close(hn_file *file);

/* Starts a temporary file in the directory of `path`, with the permissions of the file that is there (if one is). Where
   `path` is a symbolic link, the file that it points to is the one to be replaced (the link itself if there is none).
   NULL on error.
   Where the system can, the file has no name while it is written, so that nothing is left of it when the process is
   killed; elsewhere, or killed in the moment before the renaming, ".hypernet-<process>-<number>.tmp" is left, which
   nothing reads and which may be deleted. */
hn_file_writer *hn_file_writer_create(const char *path, hn_error *error);

/* Appends `bytes` bytes. */
hn_status hn_file_writer_write(hn_file_writer *writer, const void *data, size_t bytes, hn_error *error);

/* Flushes to the disk, renames over `path`, flushes the directory. On an error before the renaming the old file is
   untouched; if only the directory could not be flushed the new file is in place, and the message says so. */
hn_status hn_file_writer_commit(hn_file_writer *writer, hn_error *error);

/* Frees the writer; without a commit the temporary file is removed. NULL is allowed. */
void hn_file_writer_free(hn_file_writer *writer);

#endif
