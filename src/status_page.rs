//! The section in mod_status's page, in both of its forms.

use std::ffi::c_int;
use std::fmt::Write;

use maud::{Markup, html};

use crate::api::FarmView;
use crate::ffi::{self, OK};
use crate::guard::guard;
use crate::runtime;

/// The `status_hook` of mod_status.
pub unsafe extern "C" fn status(r: *mut ffi::request_rec, flags: c_int) -> c_int {
    guard!("status_hook", OK, {
        let Some(runtime) = runtime::get() else {
            return OK;
        };
        let short = flags & ffi::AP_STATUS_SHORT != 0;
        let mut text = String::new();
        if !short {
            text.push_str("<hr>\n<h2>mod_athena</h2>\n");
        }
        for farm in &runtime.farms {
            let view = FarmView::of(farm);
            if short {
                // Writing to a String cannot fail.
                let _ = view.write_short(&mut text);
            } else {
                text.push_str(&view.html().into_string());
            }
        }
        let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        // SAFETY: mod_status calls with a live request.
        unsafe { ffi::ap_rwrite(text.as_ptr().cast(), length, r) };
        OK
    })
}

impl FarmView<'_> {
    fn write_short(&self, to: &mut String) -> std::fmt::Result {
        for member in &self.members {
            let key = format!("Athena[{}@{}/{}]", self.name, self.server, member.name);
            writeln!(
                to,
                "{key}: {} inflight={} elected={} served={} failed={}",
                member.state(),
                member.inflight,
                member.elected,
                member.served,
                member.failed
            )?;
        }
        Ok(())
    }

    fn html(&self) -> Markup {
        html! {
            h3 { "Farm " (self.name) " (" (self.server) "), " (self.method) }
            table border="0" {
                tr {
                    th { "Member" } th { "State" } th { "Weight" } th { "Set" } th { "In flight" }
                    th { "Elected" } th { "Served" } th { "Failed" } th { "First byte, ms" }
                }
                @for member in &self.members {
                    tr {
                        td { (member.name) } td { (member.state()) } td { (member.weight) }
                        td { (member.lbset) } td { (member.inflight) } td { (member.elected) }
                        td { (member.served) } td { (member.failed) }
                        td { @if let Some(ms) = member.ttfb_ewma_ms { (ms) } }
                    }
                }
            }
        }
    }
}
