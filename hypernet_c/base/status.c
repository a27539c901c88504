#include "status.h"

#include <stdarg.h>
#include <stdio.h>

hn_status hn_error_set(hn_error *error, hn_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        error->status = status;
        error->number = 0;
    }
    return status;
}
