/* A protocol's module that has no connection, says so to the client itself, and to mod_proxy as well. */
#include "httpd.h"
#include "http_config.h"
#include "http_request.h"
#include "mod_proxy.h"

module AP_MODULE_DECLARE_DATA dies_module;

static int scheme_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf, char *url,
                          const char *proxyname, apr_port_t proxyport)
{
    if (strncmp(url, "h2c:", 4)) {
        return DECLINED;
    }
    ap_die(HTTP_SERVICE_UNAVAILABLE, r);
    return HTTP_SERVICE_UNAVAILABLE;
}

static void register_hooks(apr_pool_t *pool)
{
    static const char *const before[] = { "mod_proxy_http2.c", NULL };
    proxy_hook_scheme_handler(scheme_handler, NULL, before, APR_HOOK_FIRST);
}

module AP_MODULE_DECLARE_DATA dies_module = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
