//! The client of a request that waits: whether there is still one.

use crate::ffi;

/// The client has closed its connection, or reset the stream.
///
/// # Safety
/// `r` is live.
pub unsafe fn is_gone(r: *mut ffi::request_rec) -> bool {
    // SAFETY: the caller's promise; a connection's socket lives as long as it does, and `poll` only
    // writes the one structure.
    unsafe {
        let connection = (*r).connection;
        if (*connection).aborted != 0 {
            return true;
        }
        // A stream of HTTP/2 has no socket of its own: mod_http2 marks it.
        if !(*connection).master.is_null() {
            return (*(*connection).master).aborted != 0;
        }
        let socket = ffi::ap_get_conn_socket(connection);
        let mut fd = -1;
        if socket.is_null() || ffi::apr_os_sock_get(&raw mut fd, socket) != ffi::APR_SUCCESS {
            return false;
        }
        let mut state = libc::pollfd {
            fd,
            events: libc::POLLRDHUP,
            revents: 0,
        };
        libc::poll(&raw mut state, 1, 0) == 1
    }
}
