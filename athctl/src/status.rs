//! `athctl status`: farms and members, for a person or a script.

use athena_engine::query::quoted;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::{Api, FARMS, farm_path};
use crate::cli::Status;
use crate::documents::{Farm, Member};
use crate::error::Error;
use crate::look;
use crate::output;

/// Prints what the options ask for.
pub fn run(api: &Api, options: &Status) -> Result<(), Error> {
    let farm = options.farm.as_deref();
    if options.json {
        let path = farm.map_or_else(|| FARMS.to_owned(), farm_path);
        return output::line(api.get(&path)?.text.trim_end());
    }
    if let Some(format) = &options.format {
        let query = query(farm, format);
        let path = format!("/status/{}/?{query}", options.of.path());
        return output::text(&api.get(&path)?.text);
    }
    let farms = look::farms(api, options.board.as_deref(), farm)?;
    if farms.is_empty() {
        return output::line("This engine has no farms.");
    }
    let each = farms
        .iter()
        .map(|farm| format!("{}\n{}\n", headline(farm), table(farm)));
    output::text(&each.collect::<Vec<_>>().join("\n"))
}

/// What the engine's status path is asked, with all of it escaped.
fn query(farm: Option<&str>, format: &str) -> String {
    let mut query = format!("f={}", quoted(format));
    if let Some(farm) = farm {
        query = format!("n={},{query}", quoted(farm));
    }
    format!("E{}", utf8_percent_encode(&query, NON_ALPHANUMERIC))
}

fn headline(farm: &Farm) -> String {
    let state = if farm.on { "" } else { ", off" };
    format!(
        "{}: {}{state}, {} of {} members usable, {} requests, {} refused",
        farm.full_name(),
        farm.method,
        farm.usable,
        farm.members.len(),
        farm.elected,
        farm.refused
    )
}

fn table(farm: &Farm) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header([
        "member",
        "state",
        "route",
        "weight",
        "set",
        "in flight",
        "elected",
        "served",
        "failed",
        "first byte ms",
    ]);
    table.add_rows(farm.members.iter().map(row));
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(member: &Member) -> [String; 10] {
    [
        member.name.clone(),
        member.told(),
        member.route.clone(),
        member.weight.to_string(),
        member.lbset.to_string(),
        member.inflight.to_string(),
        member.elected.to_string(),
        member.served.to_string(),
        member.failed.to_string(),
        member
            .ttfb_ewma_ms
            .map_or_else(String::new, |ms| format!("{ms:.1}")),
    ]
}
