/* Preloaded into httpd by tests/sqlite.rs: whoever opens a file named db.sqlite3 waits first, so that
 * what happens in between can be made to happen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static void wait_first(const char *path)
{
    static const char name[] = "/db.sqlite3";
    size_t length = strlen(path);
    if (length > sizeof name && !strcmp(path + length - (sizeof name - 1), name)) {
        usleep(2000 * 1000);
    }
}

#define OPEN(function)                                                  \
    int function(const char *path, int flags, ...)                      \
    {                                                                   \
        int (*real)(const char *, int, ...) =                           \
            (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #function); \
        va_list rest;                                                   \
        va_start(rest, flags);                                          \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                   \
        wait_first(path);                                               \
        return real(path, flags, mode);                                 \
    }

OPEN(open)
OPEN(open64)
