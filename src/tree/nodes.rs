//! Lines of the parsed tree: reading, replacing and adding them.

use std::ffi::CStr;

use athena_engine::config::rewrite::Plain;
use athena_engine::config::words;

use super::{Node, ServerId, Walk};
use crate::naming::text;
use crate::{directives, ffi, pool};

impl Walk {
    /// Replaces a line by others, in place.
    ///
    /// # Safety
    /// `node` is of the tree that is being read, by this thread alone.
    pub(super) unsafe fn replace(&self, node: *mut Node, lines: Vec<Plain>) {
        // SAFETY: the tree's own links; new nodes live in the configuration's pool.
        unsafe {
            let mut last = node;
            for (index, line) in lines.into_iter().enumerate() {
                if index > 0 {
                    last = self.insert_after(last, "", "");
                }
                self.write(last, line);
            }
        }
    }

    unsafe fn write(&self, node: *mut Node, line: Plain) {
        // SAFETY: as `replace`.
        unsafe {
            (*node).directive = pool::text(self.pool, line.name);
            (*node).args = pool::text(self.pool, &line.args);
            (*node).first_child = std::ptr::null_mut();
            let mut last: *mut Node = std::ptr::null_mut();
            for child in line.children {
                last = if last.is_null() {
                    self.first_child(node, "", "")
                } else {
                    self.insert_after(last, "", "")
                };
                self.write(last, child);
            }
        }
    }

    /// Adds a line at the end of a server's list, under the file and line of `origin`.
    ///
    /// # Safety
    /// As [`Self::replace`], of `origin`.
    pub(super) unsafe fn append(
        &self,
        server: ServerId,
        name: &str,
        args: &str,
        origin: *mut Node,
    ) -> Option<*mut Node> {
        let server = self.servers.get(server)?;
        // SAFETY: the caller's promise.
        unsafe {
            let mut last = *server.head;
            while !last.is_null() && !(*last).next.is_null() {
                last = (*last).next;
            }
            if last.is_null() {
                return None;
            }
            let node = self.insert_after(last, name, args);
            (*node).filename = (*origin).filename;
            (*node).line_num = (*origin).line_num;
            Some(node)
        }
    }

    /// A new line behind another.
    ///
    /// # Safety
    /// As [`Self::replace`].
    pub(super) unsafe fn insert_after(&self, node: *mut Node, name: &str, args: &str) -> *mut Node {
        // SAFETY: the caller's promise.
        unsafe {
            let new = self.line_like(node, name, args);
            (*new).parent = (*node).parent;
            (*new).next = (*node).next;
            (*node).next = new;
            new
        }
    }

    /// A new line at the top of a section.
    ///
    /// # Safety
    /// As [`Self::replace`].
    pub(super) unsafe fn first_child(&self, node: *mut Node, name: &str, args: &str) -> *mut Node {
        // SAFETY: the caller's promise.
        unsafe {
            let new = self.line_like(node, name, args);
            (*new).parent = node;
            (*new).next = (*node).first_child;
            (*node).first_child = new;
            new
        }
    }

    /// A new line that stands where `node` stands in its file.
    unsafe fn line_like(&self, node: *mut Node, name: &str, args: &str) -> *mut Node {
        // SAFETY: the pool gives memory for a node, written whole before use; all-zero is the
        // node httpd itself starts from.
        unsafe {
            let new: *mut Node = ffi::apr_palloc(self.pool, size_of::<Node>()).cast();
            new.write(std::mem::zeroed());
            (*new).directive = pool::text(self.pool, name);
            (*new).args = pool::text(self.pool, args);
            (*new).filename = (*node).filename;
            (*new).line_num = (*node).line_num;
            new
        }
    }

    /// Puts an error in a line's place.
    ///
    /// # Safety
    /// As [`Self::replace`].
    pub(super) unsafe fn refuse(&self, node: *mut Node, message: &str) {
        // SAFETY: the caller's promise.
        unsafe {
            (*node).directive = pool::text(self.pool, to_str(directives::ERROR));
            (*node).args = pool::text(self.pool, &words::quote(message));
            (*node).first_child = std::ptr::null_mut();
        }
    }
}

/// Calls `visit` with each line of a list, not of the sections in it.
///
/// # Safety
/// `first` is NULL or as in [`Walk::replace`].
pub(super) unsafe fn each(first: *mut Node, visit: &mut dyn FnMut(*mut Node)) {
    let mut node = first;
    while !node.is_null() {
        visit(node);
        // SAFETY: the tree's own links.
        node = unsafe { (*node).next };
    }
}

/// What stands behind the last directive of a name, outside of sections.
///
/// # Safety
/// `first` is httpd's own tree, or null.
pub unsafe fn last_value(first: *mut Node, name: &str) -> Option<String> {
    let mut value = None;
    // SAFETY: the caller's promise; lines' texts are NUL-terminated.
    unsafe {
        each(first, &mut |node| {
            if text((*node).directive).eq_ignore_ascii_case(name) {
                value = Some(text((*node).args));
            }
        });
    }
    value
}

pub(super) fn to_str(name: &'static CStr) -> &'static str {
    name.to_str().unwrap_or_default()
}
