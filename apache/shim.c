/* What only C's preprocessor can say of httpd's API: the level tests and log calls of http_log.h. */
#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "shim.h"

/* The record itself is Rust's (src/httpd.rs): symbols of a C archive are not exported from a cdylib. */
APLOG_USE_MODULE(authnz_django);

int authnz_django_logs_request(const request_rec *r, int level)
{
    return APLOG_R_IS_LEVEL(r, level);
}

int authnz_django_logs_server(const server_rec *s, int level)
{
    return APLOG_IS_LEVEL(s, level);
}

void authnz_django_log_request(const char *file, int line, int level,
                               const request_rec *r, const char *text)
{
    ap_log_rerror(file, line, APLOG_MODULE_INDEX, level, 0, r, "%s", text);
}

void authnz_django_log_server(const char *file, int line, int level,
                              const server_rec *s, const char *text)
{
    ap_log_error(file, line, APLOG_MODULE_INDEX, level, 0, s, "%s", text);
}
