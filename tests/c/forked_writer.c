/* forked_writer <directory>: a process is forked in the midst of writing a file with a name of its own. The child drops
   what it inherited, and the parent's file is whole all the same. Prints "1 checked". */
#define _GNU_SOURCE
#include "check.h"
#include "base/cancel.h"
#include "base/file.h"
#include "base/memory.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child = -1;

/* Stands in for the system's, and hides /proc from the library: then temporary files have names from the start, as they
   do on systems that have no others. */
int access(const char *path, int mode)
{
    return strncmp(path, "/proc/self/fd/", 14) == 0 ? -1 : faccessat(AT_FDCWD, path, mode, 0);
}

static int poll_by_forking(void *unused)
{
    (void)unused;
    if (child < 0)
        CHECK((child = fork()) >= 0);
    return 0;
}

int main(int count, char **arguments)
{
    static const char text[] = "all of the file";
    char path[4096], found[sizeof text] = "";
    hn_error error;
    hn_cancel cancel = {poll_by_forking, NULL};
    hn_cancel_scope scope;
    CHECK(count == 2 && snprintf(path, sizeof path, "%s/file", arguments[1]) < (int)sizeof path);
    hn_file_writer *writer = hn_file_writer_create(path, &error);
    CHECK(writer);
    hn_cancel_begin(&scope, &cancel);
    hn_status status = hn_file_writer_write(writer, text, sizeof text, &error);
    hn_cancel_end(&scope);
    if (child == 0) {
        hn_file_writer_free(writer);
        _exit(status == HN_CANCELLED ? 0 : 2);
    }
    int ended = -1;
    CHECK(waitpid(child, &ended, 0) == child && WIFEXITED(ended) && WEXITSTATUS(ended) == 0);
    CHECK(status == HN_OK && hn_file_writer_commit(writer, &error) == HN_OK);
    hn_file_writer_free(writer);
    FILE *file = fopen(path, "rb");
    CHECK(file && fread(found, 1, sizeof found, file) == sizeof text && memcmp(found, text, sizeof text) == 0);
    CHECK(fgetc(file) == EOF && fclose(file) == 0);
    CHECK(hn_memory_live_blocks() == 0);
    puts("1 checked");
    return 0;
}
