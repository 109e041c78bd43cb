//! The manual and the table of parameters say the same.

use athena_engine::config::param::{PARAMS, Param, Whose};
use athena_engine::query::{LETTERS, Of};
use std::collections::BTreeMap;

const MANUAL: &str = include_str!("../../docs/mod_athena.md");

/// One entry of the manual: what its little table says.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    description: String,
    syntax: String,
    default: String,
    context: String,
}

/// The text of the section `## title`; empty without such a section.
fn section(title: &str) -> &'static str {
    let heading = format!("\n## {title}\n");
    let (_, behind) = MANUAL.split_once(&heading).unwrap_or_default();
    behind.split("\n## ").next().unwrap_or_default()
}

/// The entries (`### key`) of a section.
fn entries(title: &str) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for text in section(title).split("\n### ").skip(1) {
        let key = text.lines().next().unwrap_or_default().to_owned();
        let row = |name: &str| {
            let start = format!("| {name}: | ");
            let line = text.lines().find_map(|line| line.strip_prefix(&start));
            let cell = line.and_then(|line| line.strip_suffix(" |"));
            let text = cell.unwrap_or("no such row").trim_matches('`');
            // Within a table a bar is escaped.
            text.replace("\\|", "|")
        };
        let entry = Entry {
            description: row("Description"),
            syntax: row("Syntax"),
            default: row("Default"),
            context: row("Context"),
        };
        assert!(
            entries.insert(key.clone(), entry).is_none(),
            "{key} stands twice"
        );
    }
    entries
}

/// The entry that a parameter should have.
fn entry(param: &Param) -> (String, Entry) {
    let mut about = param.about.chars();
    let first = about.next().map(|c| c.to_ascii_uppercase());
    let context = match param.whose() {
        Whose::Farm => "farm",
        Whose::Member => "member",
        Whose::Both => "farm, member",
    };
    let entry = Entry {
        description: first.into_iter().chain(about).collect(),
        syntax: param.syntax.to_owned(),
        default: param.default.to_owned(),
        context: context.to_owned(),
    };
    (param.key.to_owned(), entry)
}

#[test]
fn each_parameter_has_its_entry_and_no_other_has() {
    let (mut written, members) = (
        entries("Parameters of farms"),
        entries("Parameters of members"),
    );
    assert!(written.values().all(|entry| entry.context != "member"));
    assert!(members.values().all(|entry| entry.context != "farm"));
    let all = written.len() + members.len();
    written.extend(members);
    assert_eq!(written.len(), all, "one stands in both");
    let table: BTreeMap<_, _> = PARAMS.iter().map(entry).collect();
    assert_eq!(written, table);
}

/// The lines of the table of letters: what is said of each, and of what it is.
#[test]
fn each_letter_has_its_line_and_no_other_has() {
    let lines = section("Queries").lines();
    let listed: Vec<_> = lines.filter(|line| line.starts_with("| `%")).collect();
    let word = |of: &Of| match of {
        Of::Phys => "phys",
        Of::Farm => "farm",
        Of::Engine => "engine",
    };
    let line = |letter: &athena_engine::query::Letter| {
        let of: Vec<_> = letter.of.iter().map(word).collect();
        let (about, of) = (letter.about, of.join(", "));
        format!(
            "| `%{}` | {about} | {of} | {} |",
            letter.letter, letter.sets
        )
    };
    let table: Vec<_> = LETTERS.iter().map(line).collect();
    assert_eq!(listed, table);
}

/// Links within the manual lead to a heading (GitHub's anchors).
#[test]
fn links_lead_somewhere() {
    let anchor = |heading: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let spaced: String = heading.to_lowercase().chars().filter(kept).collect();
        spaced.replace(' ', "-")
    };
    let headings: Vec<_> = MANUAL
        .lines()
        .filter_map(|line| {
            line.strip_prefix("## ")
                .or_else(|| line.strip_prefix("### "))
        })
        .map(anchor)
        .collect();
    let links: Vec<_> = MANUAL
        .split("](#")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect();
    assert!(!links.is_empty());
    for link in links {
        assert!(headings.iter().any(|heading| heading == link), "#{link}");
    }
}

/// The tags that the edge's sources hold.
fn tags_in_sources() -> std::io::Result<std::collections::BTreeSet<String>> {
    let mut tags = std::collections::BTreeSet::new();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../src");
    let mut left = vec![std::path::PathBuf::from(sources)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                left.push(entry?.path());
            }
            continue;
        }
        let text = std::fs::read_to_string(path)?;
        let messages = text.split("\"ATH").skip(1);
        let numbers = messages
            .filter_map(|message| message.split_once(':'))
            .map(|(number, _)| number)
            .filter(|number| number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()));
        tags.extend(numbers.map(|number| format!("ATH{number}")));
    }
    Ok(tags)
}

#[test]
fn each_log_tag_has_its_line_in_order_and_no_other_has() {
    let lines = section("Log messages").lines();
    let listed: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("| ATH"))
        .filter_map(|line| line.split(' ').next())
        .map(|number| format!("ATH{number}"))
        .collect();
    let tags: Vec<_> = tags_in_sources().unwrap().into_iter().collect();
    assert_eq!(tags, listed);
}
