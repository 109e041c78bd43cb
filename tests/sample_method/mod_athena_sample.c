/* A balancing method in C for mod_athena: fewest requests per weight since the beginning, except that
 * a member whose last attempt failed is passed over while another one's has not.
 *
 *     apxs -c -I include mod_athena_sample.c
 *
 *     LoadModule athena_sample_module mod_athena_sample.so
 *     <Proxy "balancer://farm">
 *         ...
 *         ProxySet lbmethod=sample
 *     </Proxy>
 *
 * `LogLevel athena_sample:debug` shows each choice and each report.
 */
#include "httpd.h"
#include "http_config.h"
#include "http_log.h"
#include "apr_atomic.h"
#include "apr_shm.h"
#include "mod_athena.h"

module AP_MODULE_DECLARE_DATA athena_sample_module;
APLOG_USE_MODULE(athena_sample);

/* 1 for a member whose last attempt failed, by its number, for all children: memory that they share,
 * written atomically. Where two members share a place, a choice is worse and nothing is wrong. */
#define PLACES 1024
static volatile apr_uint32_t *failed;

static int is_failure(const athena_report *report)
{
    switch (report->outcome) {
    case ATHENA_ANSWERED:
        return report->status >= 500;
    case ATHENA_NOT_CONNECTED:
    case ATHENA_BROKEN:
    case ATHENA_BROKEN_IN_BODY:
    case ATHENA_TIMED_OUT:
        return 1;
    default:
        return 0;
    }
}

static int pick(const athena_method *method, const athena_view *view, request_rec *r)
{
    int best = ATHENA_NOBODY;
    int best_failed = 0;
    double best_load = 0;
    int i;

    if (apr_table_get(r->headers_in, "X-Sample-Nobody")) {
        return ATHENA_NOBODY;
    }
    if (apr_table_get(r->headers_in, "X-Sample-Mistake")) {
        return view->count;
    }
    for (i = 0; i < view->count; i++) {
        const athena_member *member = view->member(view, i);
        int has_failed = apr_atomic_read32(&failed[member->id % PLACES]) != 0;
        double load = (double)member->elected / member->weight;

        if (best == ATHENA_NOBODY || has_failed < best_failed
            || (has_failed == best_failed && load < best_load)) {
            best = i;
            best_failed = has_failed;
            best_load = load;
        }
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, "sample: picks %s of %d in %s (%s)",
                  view->member(view, best)->name, view->count, view->farm,
                  (const char *)method->context);
    return best;
}

static void report(const athena_method *method, const athena_report *report, request_rec *r)
{
    const athena_member *member = report->member;
    int failure = is_failure(report);

    apr_atomic_set32(&failed[member->id % PLACES], (apr_uint32_t)failure);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  "sample: %s outcome=%d status=%d first_byte=%s took=%s failure=%d "
                  "served=%" APR_UINT64_T_FMT " failed=%" APR_UINT64_T_FMT,
                  member->name, (int)report->outcome, report->status,
                  report->ttfb_us >= 0 ? "yes" : "no", report->took_us >= 0 ? "yes" : "no",
                  failure, member->served, member->failed);
}

static char context[] = "a sample";

static const athena_method sample = { "sample", context, pick, report };

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_shm_t *memory;
    apr_size_t size = PLACES * sizeof(apr_uint32_t);
    apr_status_t status = apr_shm_create(&memory, size, NULL, pconf);

    if (status != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, status, s, "sample: no shared memory");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    failed = apr_shm_baseaddr_get(memory);
    memset((void *)failed, 0, size);
    return OK;
}

static void register_hooks(apr_pool_t *pool)
{
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_register_provider(pool, ATHENA_METHOD_GROUP, sample.name, ATHENA_METHOD_VERSION, &sample);
}

module AP_MODULE_DECLARE_DATA athena_sample_module = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
