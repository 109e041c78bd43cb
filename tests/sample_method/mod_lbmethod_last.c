/* A provider of mod_proxy's own kind (proxylbmethod), as third parties write them: the last usable
 * member of the configuration, by a loop of its own over mod_proxy's structures. With the request
 * header X-Last, the member at that position whatever its state. It logs what mod_proxy's structures
 * say, and fails the request if it is ever called twice at a time within a process: the balancer's
 * thread lock is promised to be held.
 */
#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "apr_atomic.h"
#include "apr_time.h"
#include "mod_proxy.h"

module AP_MODULE_DECLARE_DATA lbmethod_last_module;
APLOG_USE_MODULE(lbmethod_last);

static volatile apr_uint32_t inside;

static proxy_worker *find_last(proxy_balancer *balancer, request_rec *r)
{
    proxy_worker **workers = (proxy_worker **)balancer->workers->elts;
    const char *wanted = apr_table_get(r->headers_in, "X-Last");
    proxy_worker *last = NULL;
    int i;

    if (apr_atomic_inc32(&inside) != 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "last: called without the lock");
    }
    apr_sleep(200);
    if (wanted) {
        i = atoi(wanted);
        last = i >= 0 && i < balancer->workers->nelts ? workers[i] : NULL;
    }
    else {
        for (i = 0; i < balancer->workers->nelts; i++) {
            if (PROXY_WORKER_IS_USABLE(workers[i]) && !PROXY_WORKER_IS_DRAINING(workers[i])) {
                last = workers[i];
            }
        }
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  "last: %s busy=%" APR_SIZE_T_FMT " elected=%" APR_SIZE_T_FMT,
                  last ? last->s->name_ex : "nobody", last ? last->s->busy : 0,
                  last ? last->s->elected : 0);
    apr_atomic_dec32(&inside);
    return last;
}

static apr_status_t nothing(proxy_balancer *balancer, server_rec *s)
{
    return APR_SUCCESS;
}

static const proxy_balancer_method last = { "last", find_last, NULL, nothing, nothing, NULL };

static void register_hooks(apr_pool_t *pool)
{
    ap_register_provider(pool, PROXY_LBMETHOD, "last", "0", &last);
}

module AP_MODULE_DECLARE_DATA lbmethod_last_module = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
