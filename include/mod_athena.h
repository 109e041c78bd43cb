/* mod_athena.h: balancing methods of other modules.
 *
 * A module that includes this header and registers a method is all it takes:
 *
 *     static const athena_method method = { "mymethod", NULL, pick, report };
 *
 *     static void register_hooks(apr_pool_t *pool)
 *     {
 *         ap_register_provider(pool, ATHENA_METHOD_GROUP, method.name,
 *                              ATHENA_METHOD_VERSION, &method);
 *     }
 *
 * The configuration then says `ProxySet lbmethod=mymethod`, with AthEngine On, or Off for
 * mod_proxy_balancer. The LoadModule lines may stand in either order; nothing is linked against
 * mod_athena.so. Register in register_hooks: mod_athena looks for methods in pre_config.
 *
 * Names: at most 15 characters (mod_proxy's limit for lbmethod=), and not one that another method
 * or lbmethod provider has. A method that breaks either rule is left out, and
 * the error log says so (ATH0152).
 *
 * Ownership and lifetimes
 *   - The athena_method and its name belong to the registering module and live as long as its
 *     configuration: static, or from the pool that register_hooks gets. mod_athena never writes to
 *     them, and uses them no longer than that pool lives. A graceful restart unloads and loads both
 *     modules; register anew each time, as register_hooks does by itself.
 *   - An athena_view, athena_member or athena_report belongs to mod_athena. The view and the report
 *     are valid until the callback returns; a member until the request's pool goes. Their strings
 *     live as long as the configuration. Everything is read only.
 *   - Keep figures of your own by athena_member.id. It is the same in every child and after a
 *     graceful restart, and small enough to index an array that grows.
 *
 * Threads and processes
 *   - Callbacks run in children, in the thread that serves the request, any number of them at once,
 *     also for one farm: no lock is held. Static data of a module is one process's; what all
 *     children are to know needs shared memory (apr_shm, mod_slotmem_shm) and atomics.
 *   - Do not block: the request waits.
 *   - Callbacks return normally: no longjmp, no C++ exception.
 *
 * Order of calls
 *   - pick runs when a request (or its next attempt) needs a member and neither its session nor a
 *     probe of a member in error decides. It may run without an attempt following.
 *   - report runs once for each attempt that came to an end in mod_athena's sight, whoever chose the
 *     member: a probe's result is news as well. It does not run for an attempt whose request was
 *     torn down, nor for what another process did.
 *
 * Within a version of the group, structures that mod_athena hands out only grow at their ends, and
 * athena_method stays as it is: a method compiled against an older header goes on working.
 */
#ifndef MOD_ATHENA_H
#define MOD_ATHENA_H

#include "httpd.h"
#include "ap_provider.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ATHENA_METHOD_GROUP "athena_method"
#define ATHENA_METHOD_VERSION "0"

/* pick: none of these members is to be used. The request gets what a farm without a usable member
 * gives: its fallback, or 503. */
#define ATHENA_NOBODY (-1)

/* A member as it was when it was asked for. */
typedef struct athena_member {
    unsigned int id;              /* its own number on this server */
    const char *name;             /* host:port, or what name= says */
    const char *url;              /* BalancerMember's URL */
    const char *route;            /* route=; "" for none */
    double weight;                /* loadfactor= in force: 0.01 to 100 */
    unsigned int lbset;           /* lbset= in force */
    apr_uint64_t inflight;        /* requests under way, all children together */
    apr_uint64_t elected;         /* attempts given to it so far */
    apr_uint64_t served;          /* attempts that ended with an answer */
    apr_uint64_t failed;          /* attempts that ended without one */
    apr_uint64_t bytes_in;        /* bytes of request bodies sent to it */
    apr_uint64_t bytes_out;       /* bytes of answers received from it */
    double ewma_us;               /* moving average of its time to first byte in microseconds;
                                     negative: not known yet */
} athena_member;

/* The members that a request can have: of the lowest usable lbset, not in error, not disabled,
 * stopped or draining, and not tried by this request before. In the order of the configuration. */
typedef struct athena_view athena_view;
struct athena_view {
    const char *farm;             /* NAME of balancer://NAME */
    int count;                    /* how many there are; at least one */
    /* The member at an index from 0 to count-1; NULL outside. Only members that are asked for are
     * read, so that a choice among thousands need not cost thousands. */
    const athena_member *(*member)(const athena_view *view, int index);
};

/* How an attempt ended. */
typedef enum {
    ATHENA_ANSWERED = 0,          /* the member answered; `status` says what */
    ATHENA_NOT_CONNECTED = 1,     /* no connection could be made */
    ATHENA_TURNED_AWAY = 2,       /* all connections that max= allows were taken, or the member was
                                   * disabled before one was made: no failure */
    ATHENA_BROKEN = 3,            /* the connection broke before the first byte of an answer */
    ATHENA_TIMED_OUT = 4,         /* nothing came within the timeout */
    ATHENA_BROKEN_IN_BODY = 5,    /* the answer broke off; `status` is the one it began with */
    ATHENA_CLIENT_GONE = 6,       /* the client went away before an answer began: says nothing about
                                   * the member */
    ATHENA_NOT_THE_MEMBER = 7     /* the request itself was at fault */
} athena_outcome;

/* The result of one attempt at one member. */
typedef struct athena_report {
    const char *farm;             /* NAME of balancer://NAME */
    const athena_member *member;  /* as it is now, this attempt counted */
    athena_outcome outcome;
    int status;                   /* the answer's HTTP status; 0 where there was none */
    apr_int64_t ttfb_us;          /* time to first byte in microseconds; -1 where none came */
    apr_int64_t took_us;          /* the whole attempt in microseconds */
} athena_report;

/* A balancing method. */
typedef struct athena_method athena_method;
struct athena_method {
    const char *name;             /* what stands behind lbmethod= */
    void *context;                /* the module's own */
    /* Gives the index of a member of the view, or ATHENA_NOBODY. Any other number is a mistake of
     * the method: mod_athena then takes the first usable member. */
    int (*pick)(const athena_method *method, const athena_view *view, request_rec *r);
    /* Learns what became of an attempt. May be NULL. */
    void (*report)(const athena_method *method, const athena_report *report, request_rec *r);
};

#ifdef __cplusplus
}
#endif

#endif /* MOD_ATHENA_H */
