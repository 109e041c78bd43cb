//! A configuration's text as lines and sections, each with its place: a file as httpd reads one
//! (`ap_cfg_getline`: comments, continued lines), or what `-D DUMP_CONFIG` prints of all of them.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

/// What the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file; conditional sections are taken as if their condition held.
    File,
    /// `mod_info`'s dump: files included, variables set, conditions decided. It says in comments
    /// where a line stands.
    Dump,
}

/// Heads the list of modules in a dump.
const MODULES: &str = "Loaded Modules:";

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub file: Rc<str>,
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A line, or a section with what is in it; names as httpd's parsed tree has them: `<Proxy`, and
/// the arguments of a section with the closing `>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub name: String,
    pub args: String,
    pub place: Place,
    pub children: Vec<Node>,
}

impl Node {
    /// Whether it is of this directive.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Reads the text. Sections that are not closed end with it: httpd says so better.
pub fn parse(text: &str, file: &Path, kind: Kind) -> Vec<Node> {
    let mut place = Place {
        file: file.to_string_lossy().into(),
        line: 0,
    };
    let mut open: Vec<Node> = Vec::new();
    let mut top = Vec::new();
    let mut lines = text.lines();
    let mut number = 0;
    while let Some(first) = lines.next() {
        number += 1;
        let begin = number;
        let mut line = first.to_owned();
        while let Some(start) = line.strip_suffix('\\') {
            line = start.to_owned();
            line.push_str(lines.next().unwrap_or_default());
            number += 1;
        }
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if kind == Kind::Dump {
                moved(&mut place, comment.trim());
            }
            continue;
        }
        if kind == Kind::File {
            place.line = begin;
        }
        if let Some(name) = line.strip_prefix("</") {
            if !is_condition(name)
                && let Some(done) = open.pop()
            {
                put(done, &mut open, &mut top);
            }
            continue;
        }
        let (name, args) = loaded(line)
            .filter(|_| kind == Kind::Dump)
            .unwrap_or_else(|| line.split_once(char::is_whitespace).unwrap_or((line, "")));
        if name.is_empty() || line == MODULES || name.strip_prefix('<').is_some_and(is_condition) {
            continue;
        }
        let node = Node {
            name: name.to_owned(),
            args: args.trim_start().to_owned(),
            place: place.clone(),
            children: Vec::new(),
        };
        if name.starts_with('<') {
            open.push(node);
        } else {
            put(node, &mut open, &mut top);
        }
    }
    while let Some(done) = open.pop() {
        put(done, &mut open, &mut top);
    }
    top
}

/// `NAME_module (shared)`, as `-D DUMP_MODULES` lists it behind the dump, as its `LoadModule` line.
fn loaded(line: &str) -> Option<(&str, &str)> {
    let (name, how) = line.split_once(' ')?;
    let is_module = name.ends_with("_module") && matches!(how, "(shared)" | "(static)");
    is_module.then_some(("LoadModule", name))
}

/// Into the innermost section that is open, or beside all.
fn put(node: Node, open: &mut [Node], top: &mut Vec<Node>) {
    let nodes = open.last_mut().map_or(top, |section| &mut section.children);
    nodes.push(node);
}

/// `<IfModule` and its kin are no part of httpd's tree.
fn is_condition(name: &str) -> bool {
    name.get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("if"))
        && [
            "module",
            "define",
            "version",
            "file",
            "directive",
            "section",
        ]
        .iter()
        .any(|what| {
            let word = name.get(2..2 + what.len());
            word.is_some_and(|word| word.eq_ignore_ascii_case(what))
        })
}

/// `In file: PATH`, `  12:`.
fn moved(place: &mut Place, comment: &str) {
    if let Some(file) = comment.strip_prefix("In file: ") {
        place.file = file.into();
    } else if let Some(Ok(line)) = comment.strip_suffix(':').map(str::parse) {
        place.line = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nodes: &[Node]) -> Vec<String> {
        let one = |node: &Node| {
            let inner = shown(&node.children).join(" ; ");
            format!("{} {} {} {{{inner}}}", node.place, node.name, node.args)
        };
        nodes.iter().map(one).collect()
    }

    #[test]
    fn a_file() {
        let text = "# c\nServerName x\n<Proxy \"balancer://a\">\n BalancerMember http://m \\\n  \
                    route=a\n <IfModule !x>\n  ProxySet nofailover=On\n </IfModule>\n</Proxy>\n\
                    <If \"1\">\nA b\n";
        assert_eq!(
            shown(&parse(text, Path::new("f"), Kind::File)),
            [
                "f:2 ServerName x {}",
                "f:3 <Proxy \"balancer://a\"> {f:4 BalancerMember http://m   route=a {} ; \
                 f:7 ProxySet nofailover=On {}}",
                "f:10 <If \"1\"> {f:11 A b {}}",
            ]
        );
    }

    #[test]
    fn a_dump() {
        let text = "# In file: /e/a.conf\n#   7:\nServerName x\n#  9:\n<VirtualHost *:80>\n\
                    # In file: /e/b.conf\n  #   3:\n  ProxyPass / http://a/\n</VirtualHost>\n\
                    Loaded Modules:\n core_module (static)\n proxy_module (shared)\n";
        assert_eq!(
            shown(&parse(text, Path::new("f"), Kind::Dump)),
            [
                "/e/a.conf:7 ServerName x {}",
                "/e/a.conf:9 <VirtualHost *:80> {/e/b.conf:3 ProxyPass / http://a/ {}}",
                "/e/b.conf:3 LoadModule core_module {}",
                "/e/b.conf:3 LoadModule proxy_module {}",
            ]
        );
    }
}
