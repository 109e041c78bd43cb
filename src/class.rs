//! A request's class, among those that `AthQos` declares for its farm.

use std::ffi::CStr;

use crate::farm::Farm;
use crate::ffi;
use crate::record::Record;

/// The variable that names the class, set by `SetEnvIf`, `SetEnvIfExpr`, `RewriteRule` and the like.
const VARIABLE: &CStr = c"ATH_CLASS";

/// Takes the class that the request's environment names, if the farm has it: the administrator's
/// word holds before any other.
///
/// # Safety
/// `r` is live and `record` its own.
pub unsafe fn read(r: *mut ffi::request_rec, record: &Record, farm: &Farm) {
    if farm.classes.is_single() {
        return;
    }
    // SAFETY: the caller's promise; values of tables are NUL-terminated.
    let name = unsafe {
        let value = ffi::apr_table_get((*r).subprocess_env, VARIABLE.as_ptr());
        if value.is_null() {
            return;
        }
        CStr::from_ptr(value)
    };
    if let Some(class) = farm.classes.find(name.to_bytes()) {
        record.class.set(class);
    }
}
