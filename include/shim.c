/* Macros and inline functions of httpd and APR that no binding generator can see. No logic. */
#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mod_proxy.h"
#include "util_filter.h"
#include "shim.h"

APLOG_USE_MODULE(athena);

int ath_shim_rlog_wanted(const request_rec *r, int level)
{
    return APLOG_R_IS_LEVEL(r, level);
}

void ath_shim_log(int level, const server_rec *s, const char *text)
{
    ap_log_error(APLOG_MARK, level, 0, s, "%s", text);
}

void ath_shim_rlog(int level, const request_rec *r, const char *text)
{
    ap_log_rerror(APLOG_MARK, level, 0, r, "%s", text);
}

void *ath_shim_get_config(const ap_conf_vector_t *vector, const module *m)
{
    return ap_get_module_config(vector, m);
}

void ath_shim_set_config(ap_conf_vector_t *vector, const module *m, void *value)
{
    ap_set_module_config(vector, m, value);
}

int ath_shim_error(const apr_bucket_brigade *brigade)
{
    const apr_bucket *first;

    if (APR_BRIGADE_EMPTY(brigade)) {
        return 0;
    }
    first = APR_BRIGADE_FIRST(brigade);
    return AP_BUCKET_IS_ERROR(first) ? ((const ap_bucket_error *)first->data)->status : 0;
}

int ath_shim_has_eos(const apr_bucket_brigade *brigade)
{
    return !APR_BRIGADE_EMPTY(brigade) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(brigade));
}

int ath_shim_is_empty(const apr_bucket_brigade *brigade)
{
    return APR_BRIGADE_EMPTY(brigade);
}

void ath_shim_concat(apr_bucket_brigade *to, apr_bucket_brigade *from)
{
    APR_BRIGADE_CONCAT(to, from);
}
