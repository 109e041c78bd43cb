/* The shim's own functions, for the binding generator and for the compiler to check shim.c by. */
#ifndef ATHENA_SHIM_H
#define ATHENA_SHIM_H

#include "httpd.h"
#include "http_config.h"
#include "util_filter.h"

int ath_shim_rlog_wanted(const request_rec *r, int level);
void ath_shim_log(int level, const server_rec *s, const char *text);
void ath_shim_rlog(int level, const request_rec *r, const char *text);
void *ath_shim_get_config(const ap_conf_vector_t *vector, const module *m);
void ath_shim_set_config(ap_conf_vector_t *vector, const module *m, void *value);
int ath_shim_error(const apr_bucket_brigade *brigade);
int ath_shim_has_eos(const apr_bucket_brigade *brigade);
int ath_shim_is_empty(const apr_bucket_brigade *brigade);
void ath_shim_concat(apr_bucket_brigade *to, apr_bucket_brigade *from);

#endif
