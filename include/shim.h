/* What only C's preprocessor can say of httpd's API (apache/shim.c). */
#ifndef AUTHNZ_DJANGO_SHIM_H
#define AUTHNZ_DJANGO_SHIM_H

#include "httpd.h"

/* Whether a line of this level would be logged: level tests are macros in http_log.h. */
int authnz_django_logs_request(const request_rec *r, int level);
int authnz_django_logs_server(const server_rec *s, int level);

/* One line under this module's own index. The text is never a format. */
void authnz_django_log_request(const char *file, int line, int level,
                               const request_rec *r, const char *text);
void authnz_django_log_server(const char *file, int line, int level,
                              const server_rec *s, const char *text);

#endif
