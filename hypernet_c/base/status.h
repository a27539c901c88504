/* Status codes and error messages: what every fallible function returns and fills. */
#ifndef HN_BASE_STATUS_H
#define HN_BASE_STATUS_H

typedef enum hn_status {
    HN_OK = 0,
    HN_ERROR_VALUE,           /* a wrong size, shape or number (Python: ValueError) */
    HN_ERROR_TYPE,            /* a wrong kind of thing (TypeError) */
    HN_ERROR_MEMORY,          /* an allocation failed (MemoryError) */
    HN_ERROR_OS,              /* a file could not be read or written (OSError) */
    HN_ERROR_RUNTIME,         /* the right call at the wrong time (RuntimeError) */
    HN_ERROR_BUFFER,          /* memory is still in use by somebody else (BufferError) */
    HN_ERROR_NOT_IMPLEMENTED, /* a known feature that this version has not (NotImplementedError) */
    HN_CANCELLED              /* the caller's cancel callback asked to stop (KeyboardInterrupt) */
} hn_status;

/* What went wrong, in words: what was expected, what came, where. Filled only when a call fails. `number` is the errno
   of the system's call that failed, with HN_ERROR_OS, and 0 where none did. */
typedef struct hn_error {
    hn_status status;
    int number;
    char message[1000];
} hn_error;

/* Formats `message` into `error` (which may be NULL) and returns `status`, so that a check reads
   `return hn_error_set(error, HN_ERROR_VALUE, "...", ...)`. A message that is too long is cut. */
hn_status hn_error_set(hn_error *error, hn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
