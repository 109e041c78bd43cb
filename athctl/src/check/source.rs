//! Where a configuration's lines come from: httpd itself where it can tell, else the file alone.

use std::path::Path;
use std::process::Command;

use super::lines::{Kind, Node, parse};
use crate::error::Error;

/// Its lines, and how they were read.
pub struct Source {
    pub nodes: Vec<Node>,
    /// In one line.
    pub how: String,
    /// What httpd itself refuses.
    pub refused: Option<String>,
}

/// Reads the configuration that begins with a file.
///
/// # Errors
/// The file cannot be read.
pub fn read(file: &Path) -> Result<Source, Error> {
    let unreadable = |error| Error::File {
        path: file.to_owned(),
        error,
    };
    let file = file.canonicalize().map_err(unreadable)?;
    let why = match dump(&file) {
        Ok(text) => {
            return Ok(Source {
                nodes: parse(&text, &file, Kind::Dump),
                how: "read by apachectl -t -D DUMP_CONFIG, with all that it includes".to_owned(),
                refused: None,
            });
        }
        Err(why) => why,
    };
    let text = std::fs::read(&file).map_err(unreadable)?;
    // Of a part of a configuration httpd lacks modules; that is no fault of the part.
    let is_broken = STRUCTURE.iter().any(|said| why.contains(said));
    let refused = is_broken || why.contains(SYNTAX_ERROR) || why.contains(OUR_REFUSAL);
    let part = !refused || why.contains("Invalid command");
    Ok(Source {
        nodes: parse(&String::from_utf8_lossy(&text), &file, Kind::File),
        how: format!(
            "read as this one file, without what it includes, conditions taken to hold and \
             variables as they stand: {why}"
        ),
        refused: (!part).then_some(why),
    })
}

/// httpd's number for a line that it refuses.
const SYNTAX_ERROR: &str = "AH00526";
/// What httpd says, without a number, of sections that do not fit together.
const STRUCTURE: [&str; 3] = ["> was not closed", "> without matching <", "Expected </"];
/// The module's, of what only shows in the whole.
const OUR_REFUSAL: &str = "ATH0010: ";

/// How lines begin that follow the fault, of apachectl and of httpd.
const NO_FAULT: [&str; 2] = ["Action '", "The Apache error log may have more information"];

/// Where distributions and httpd itself put modules: `mod_info` comes along where it is not loaded.
const MODULES: [&str; 4] = [
    "/usr/lib/apache2/modules",
    "/usr/lib64/httpd/modules",
    "/usr/lib/httpd/modules",
    "/usr/local/apache2/modules",
];

/// What `mod_info` prints of the parsed configuration, with the modules' list, or why it does not.
fn dump(file: &Path) -> Result<String, String> {
    let mut command = Command::new("apachectl");
    command
        .arg("-f")
        .arg(file)
        .args(["-t", "-D", "DUMP_CONFIG", "-D", "DUMP_MODULES"]);
    let info = MODULES.map(|place| format!("{place}/mod_info.so"));
    if let Some(info) = info.iter().find(|info| Path::new(info).exists()) {
        let load = format!("LoadModule info_module \"{info}\"");
        command.args(["-C", &load]);
    }
    let done = command
        .output()
        .map_err(|error| format!("apachectl: {error}"))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        let is_said = |line: &&str| !NO_FAULT.iter().any(|start| line.starts_with(start));
        let lines = || said.lines().filter(is_said);
        // The fault comes last, in two lines if it is one of syntax or ours; warnings stand before it.
        let count = 1 + usize::from(said.contains(SYNTAX_ERROR) || said.contains(OUR_REFUSAL));
        let skipped = lines().count().saturating_sub(count);
        let fault: Vec<_> = lines().skip(skipped).map(str::trim).collect();
        return Err(fault.join(" "));
    }
    if !text.contains("# In file: ") {
        return Err("apachectl -D DUMP_CONFIG needs mod_info".to_owned());
    }
    Ok(text)
}
