//! Whom a request should go to, for methods that go by a key of it (`hashkey=`, `hashbalance=`).

use std::ffi::CStr;

use athena_engine::hashkey::Spoken;
use athena_engine::method::Affinity;

use crate::record::Record;
use crate::rule::Asked;
use crate::{ffi, pool};

/// The request's affinity; none where the farm's rule does not ask for it.
pub fn of(asked: &Asked<'_>) -> Affinity {
    if !asked.method().wants_key() {
        return Affinity::default();
    }
    let r = asked.r;
    // SAFETY: the request is live as long as `asked`; its strings are NULL or NUL-terminated.
    let key = unsafe {
        // What the member is asked for; mod_proxy_balancer (engine off) keeps it to itself.
        let target = Record::of(r).map(|record| record.raw_path);
        let path = target.filter(|path| !path.is_null()).unwrap_or((*r).uri);
        let header = |name: &CStr| pool::bytes(ffi::apr_table_get((*r).headers_in, name.as_ptr()));
        asked.farm.params.hash_key.of(&Spoken {
            ip: pool::bytes((*r).useragent_ip),
            path: pool::bytes(path),
            query: pool::bytes((*r).args),
            header: &header,
        })
    };
    Affinity {
        key,
        balance: asked.farm.params.hash_balance,
    }
}
