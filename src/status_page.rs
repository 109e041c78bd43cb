//! The section in mod_status's page, in both of its forms.

use std::ffi::c_int;
use std::fmt::Write;

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
            // Writing to a String cannot fail.
            let _ = if short {
                view.write_short(&mut text)
            } else {
                view.write_html(&mut text)
            };
        }
        let length = c_int::try_from(text.len()).unwrap_or(c_int::MAX);
        // SAFETY: mod_status calls with a live request.
        unsafe { ffi::ap_rwrite(text.as_ptr().cast(), length, r) };
        OK
    })
}

impl FarmView {
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

    fn write_html(&self, to: &mut String) -> std::fmt::Result {
        let name = html_escape::encode_text(&self.name);
        let server = html_escape::encode_text(&self.server);
        writeln!(
            to,
            "<h3>Farm {name} ({server}), {}</h3>",
            html_escape::encode_text(&self.method)
        )?;
        to.push_str(
            "<table border=\"0\"><tr><th>Member</th><th>State</th><th>Weight</th><th>Set</th>\
             <th>In flight</th><th>Elected</th><th>Served</th><th>Failed</th>\
             <th>First byte, ms</th></tr>\n",
        );
        for member in &self.members {
            let first_byte = member
                .ttfb_ewma_ms
                .map_or(String::new(), |ms| ms.to_string());
            writeln!(
                to,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
                 <td>{}</td><td>{}</td><td>{first_byte}</td></tr>",
                html_escape::encode_text(&member.name),
                member.state(),
                member.weight,
                member.lbset,
                member.inflight,
                member.elected,
                member.served,
                member.failed
            )?;
        }
        to.push_str("</table>\n");
        Ok(())
    }
}
