//! A request's class, among those that `AthQos` declares for its farm.

use std::ffi::CStr;

use athena_engine::config::qos::ClassId;

use crate::farm::Farm;
use crate::ffi;
use crate::record::Record;

/// The variable that names the class, set by `SetEnvIf`, `SetEnvIfExpr`, `RewriteRule` and the like.
const VARIABLE: &CStr = c"ATH_CLASS";

/// Takes the class that the request's environment names, or else its signed cookie, if the farm has
/// it: the administrator's word holds before any other.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn read(r: *mut ffi::request_rec, record: &Record, farm: &Farm) {
    if farm.classes.is_single() {
        // Another farm's, where the request came from, says nothing here.
        record.class.set(ClassId::default());
        return;
    }
    // SAFETY: the caller's promise; values of tables are NUL-terminated.
    let variable = unsafe {
        let value = ffi::apr_table_get((*r).subprocess_env, VARIABLE.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    };
    let cookie = || record.claims()?.class.as_deref().map(str::as_bytes);
    let find = |name| farm.classes.find(name);
    let class = variable.and_then(find).or_else(|| cookie().and_then(find));
    record.class.set(class.unwrap_or_default());
}
