//! Takes our own parameters off `mod_proxy`'s lines before `mod_proxy` reads them.
//!
//! Each line is read as `mod_proxy` reads it (httpd, `modules/proxy/mod_proxy.c`: `add_member`,
//! `set_proxy_param`, `add_pass`, `proxysection`), so that what is positional there is never taken
//! for a parameter here. What is left keeps its bytes.

use super::argument::arguments;
use super::param::{self, Whose};
use super::value::Must;
use super::words::{self, Word, word};
use super::{native, target};
use std::borrow::Cow;
use thiserror::Error;

/// A line of `mod_proxy`'s that may hold parameters of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// `BalancerMember [balancer://FARM] URL [key=value…]`
    BalancerMember,
    /// `ProxySet [URL] key=value…`
    ProxySet,
    /// `ProxyPass [[~] PATH] URL [key=value…]`
    ProxyPass,
    /// `ProxyPassMatch [REGEX] URL [key=value…]`
    ProxyPassMatch,
    /// `<Proxy URL [key=value…]>`
    Proxy,
}

/// What [`take`] made of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The arguments for `mod_proxy`; the very same text when nothing was taken.
    pub kept: String,
    /// The farm that the line speaks of, lower case.
    pub farm: Option<String>,
    /// The member's URL, on a `BalancerMember` line.
    pub member: Option<String>,
    /// Our parameters, in order: the member's on a `BalancerMember` line, else the farm's.
    pub params: Vec<(String, String)>,
    /// `mod_proxy`'s balancer parameters from a line that names the farm `http://FARM`, where
    /// `mod_proxy` would take them for a worker's: to be set as `ProxySet balancer://FARM`.
    pub for_farm: Vec<(String, String)>,
}

impl Taken {
    /// What is left to `mod_proxy` on the line of a worker has a parameter in it that only a farm can have.
    pub fn keeps_for_farm(&self) -> bool {
        let farms = |word: Cow<'_, str>| {
            let key = word.split_once('=').map(|(key, _)| native::whose(key));
            key.flatten() == Some(Whose::Farm)
        };
        self.farm.is_none() && words::split(&self.kept).any(farms)
    }

    /// Takes a parameter off what is left to `mod_proxy`, for the farm itself ([`Self::for_farm`]).
    /// `line` and `section` are those of [`take`].
    pub fn lift(&mut self, line: Line, section: Option<&str>, key: &str) {
        let (text, tail) = line.arguments(&self.kept);
        let mut cuts = Vec::new();
        for word in Parts::read(line, text, section).pairs {
            if let Some((found, value)) = word.pair()
                && found.eq_ignore_ascii_case(key)
            {
                self.for_farm.push((found.to_owned(), value.to_owned()));
                cuts.push(word.span.start..word.next);
            }
        }
        if !cuts.is_empty() {
            self.kept = without(text, &cuts) + tail;
        }
    }

    /// The parameters that the `line` gives the farm or its member for `mod_proxy` to read.
    pub fn native(&self, line: Line) -> Vec<(String, String)> {
        if self.farm.is_none() {
            return Vec::new();
        }
        let (args, _) = line.arguments(&self.kept);
        let kept = words::split(args).filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        });
        kept.chain(self.for_farm.iter().cloned()).collect()
    }
}

/// Looks at the values of `mod_proxy`'s parameters on a line that speaks of a farm.
///
/// # Errors
/// A value that is not allowed.
pub fn check(line: Line, taken: &Taken) -> Result<(), LineError> {
    for (key, value) in taken.native(line) {
        if let Err(must) = native::check(&key, &value) {
            let line = line.shown();
            return Err(LineError::Value {
                line,
                key,
                value,
                must,
            });
        }
    }
    Ok(())
}

/// Why a line is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LineError {
    /// A member without scheme.
    #[error("BalancerMember {0}: a member is a URL, for example {example}", example = example(.0))]
    MemberUrl(String),
    /// A parameter that nobody reads on this line.
    #[error("{line}: {key} {why}")]
    Key {
        /// The line's directive.
        line: &'static str,
        /// The key as written.
        key: String,
        /// Why nobody does, and what to do.
        why: String,
    },
    /// A parameter of ours without a value.
    #[error("{line}: {key}: needs a value, without blanks around the sign: {syntax}")]
    Bare {
        /// The line's directive.
        line: &'static str,
        /// The key as written.
        key: String,
        /// Its form.
        syntax: &'static str,
    },
    /// A value that its key cannot have.
    #[error("{line} {key}={value}: {must}")]
    Value {
        /// The line's directive.
        line: &'static str,
        /// The key as written.
        key: String,
        /// The value as written.
        value: String,
        /// What is allowed.
        must: Must,
    },
}

impl Line {
    /// The line of a directive as the parsed tree names it (`<Proxy` for the section), in any
    /// case; `None`: not one of these.
    pub fn from_directive(name: &str) -> Option<Self> {
        let lines = [
            Self::BalancerMember,
            Self::ProxySet,
            Self::ProxyPass,
            Self::ProxyPassMatch,
            Self::Proxy,
        ];
        lines
            .into_iter()
            .find(|line| line.directive().eq_ignore_ascii_case(name))
    }

    /// The directive's name, as the parsed tree has it.
    pub fn directive(self) -> &'static str {
        match self {
            Self::BalancerMember => "BalancerMember",
            Self::ProxySet => "ProxySet",
            Self::ProxyPass => "ProxyPass",
            Self::ProxyPassMatch => "ProxyPassMatch",
            Self::Proxy => "<Proxy",
        }
    }

    /// The arguments, and behind them what is none: `proxysection` stops at the last `>`.
    fn arguments(self, args: &str) -> (&str, &str) {
        let end = args.rfind('>').filter(|_| self == Self::Proxy);
        end.and_then(|end| args.split_at_checked(end))
            .unwrap_or((args, ""))
    }

    /// How many arguments stand before all others.
    fn leading(self, section: Option<&str>) -> usize {
        match (self, section) {
            (Self::ProxyPass | Self::ProxyPassMatch, None) => 2,
            (Self::ProxyPass | Self::ProxyPassMatch, Some(_))
            | (Self::Proxy, _)
            | (Self::ProxySet, None) => 1,
            (Self::ProxySet, Some(_)) | (Self::BalancerMember, _) => 0,
        }
    }

    /// The directive's name for a message.
    pub fn shown(self) -> &'static str {
        if self == Self::Proxy {
            "<Proxy>"
        } else {
            self.directive()
        }
    }
}

/// Takes our parameters off `line`.
///
/// `section` is the name (first word) of the enclosing section that stands in for the line's first
/// argument: of `<Proxy>` for `BalancerMember` and `ProxySet`, of `<Location>` for `ProxyPass`;
/// `None` outside of such a section. The arguments of a `<Proxy>` line include its `>`, as in the
/// parsed tree. `farm_of` gives the farm that a URL names in any spelling
/// ([`super::target::farm_name`] of an existing farm), for this server. Lines that `mod_proxy` will
/// refuse are left to it.
///
/// # Errors
/// A parameter that does not belong on this line, or a member that is no URL.
pub fn take(
    line: Line,
    args: &str,
    section: Option<&str>,
    farm_of: impl Fn(&str) -> Option<String>,
) -> Result<Taken, LineError> {
    let (text, tail) = line.arguments(args);
    let parts = Parts::read(line, text, section);
    let Some(subject) = parts.subject(line, section) else {
        return Ok(Taken {
            kept: args.to_owned(),
            ..Taken::default()
        });
    };
    let passes = matches!(line, Line::ProxyPass | Line::ProxyPassMatch);
    let balancer = balancer_name(subject).filter(|name| !(passes && target::is_filled_in(name)));
    // Where the farm is not spelt balancer://, mod_proxy sees a worker.
    let seen_as_worker = balancer.is_none() && line != Line::BalancerMember;
    let mut taken = Taken {
        kept: args.to_owned(),
        farm: balancer.or_else(|| farm_of(subject)),
        member: parts.member(line, section)?,
        ..Taken::default()
    };

    if taken.farm.is_some() {
        parts.refuse_bare(line, section)?;
    }
    let mut cuts = Vec::new();
    for word in &parts.pairs {
        // Without a key it is for mod_proxy to refuse.
        let Some((key, value)) = word.pair().filter(|(key, _)| !key.is_empty()) else {
            continue;
        };
        let farm = taken.farm.is_some();
        let reader = reader(line, key, subject, farm, seen_as_worker);
        let refused = |why| LineError::Key {
            line: line.shown(),
            key: key.to_owned(),
            why,
        };
        let list = match reader.map_err(refused)? {
            Reader::Farm => &mut taken.for_farm,
            Reader::Us => &mut taken.params,
            Reader::ModProxy => continue,
        };
        list.push((key.to_owned(), value.to_owned()));
        cuts.push(word.span.start..word.next);
    }
    if !cuts.is_empty() {
        let mut kept = without(text, &cuts);
        if let (Line::ProxySet, None, true, Some(farm)) =
            (line, section, seen_as_worker, &taken.farm)
        {
            // Outside a section mod_proxy's ProxySet finds only what exists: the balancer.
            let others = word(&kept, 0).and_then(|name| kept.get(name.span.end..));
            kept = words::quote(&format!("balancer://{farm}")) + others.unwrap_or_default();
        }
        taken.kept = kept + tail;
    }
    Ok(taken)
}

/// Who reads a parameter.
enum Reader {
    ModProxy,
    Us,
    /// `mod_proxy`, but as the farm's.
    Farm,
}

/// Who reads a parameter on a line about `subject`, a `farm` or not.
///
/// # Errors
/// Why nobody does.
fn reader(
    line: Line,
    key: &str,
    subject: &str,
    farm: bool,
    seen_as_worker: bool,
) -> Result<Reader, String> {
    let members_line = line == Line::BalancerMember;
    let why = match (param::whose(key), native::whose(key)) {
        (Some(Whose::Farm), _) if members_line => FARMS,
        (Some(Whose::Member), _) if !members_line => MEMBERS,
        (Some(_), _) if farm => return Ok(Reader::Us),
        (Some(_), _) => {
            return Err(format!(
                "is for farms and their members, and {subject} is none"
            ));
        }
        (None, Some(Whose::Farm)) if farm && members_line => FARMS,
        (None, Some(Whose::Member)) if farm && !members_line => MEMBERS,
        (None, Some(_)) if farm && seen_as_worker => return Ok(Reader::Farm),
        // `ProxyPass` takes this one for itself. Any other would be set on a worker that is not used.
        (None, None) if farm && seen_as_worker && !key.eq_ignore_ascii_case("mapping") => {
            "is no parameter of farms"
        }
        (None, _) => return Ok(Reader::ModProxy),
    };
    Err(why.to_owned())
}

const FARMS: &str = "belongs to the farm: write it on ProxySet";
const MEMBERS: &str = "belongs to the member: write it on BalancerMember";

/// A line's arguments, sorted as `mod_proxy` sorts them.
struct Parts<'a> {
    positional: Vec<Word<'a>>,
    pairs: Vec<Word<'a>>,
}

impl<'a> Parts<'a> {
    fn read(line: Line, text: &'a str, section: Option<&str>) -> Self {
        let mut parts = Self {
            positional: Vec::new(),
            pairs: Vec::new(),
        };
        let leading = line.leading(section);
        let takes_tilde = line == Line::ProxyPass && section.is_none();
        let mut at = 0;
        while let Some(plain) = word(text, at).filter(|_| parts.positional.len() < leading) {
            at = plain.next;
            if !(takes_tilde && parts.positional.is_empty() && plain.text == "~") {
                parts.positional.push(plain);
            }
        }
        for word in arguments(text, at) {
            let list = if word.pair().is_some() {
                &mut parts.pairs
            } else {
                &mut parts.positional
            };
            list.push(word);
        }
        parts
    }

    fn positional(&self, at: usize) -> Option<&str> {
        self.positional
            .get(at)
            .map(|argument| argument.text.as_ref())
    }

    /// The URL (or section name) that parameters of a farm on this line belong to.
    fn subject<'s>(&'s self, line: Line, section: Option<&'s str>) -> Option<&'s str> {
        match (line, section) {
            (Line::ProxySet | Line::BalancerMember, Some(name)) => Some(name),
            (Line::ProxyPass | Line::ProxyPassMatch, None) => self.positional(1),
            _ => self.positional(0),
        }
    }

    /// Refuses a parameter of ours that stands alone: mod_proxy would not say which.
    fn refuse_bare(&self, line: Line, section: Option<&str>) -> Result<(), LineError> {
        let members = usize::from(line == Line::BalancerMember) * (members_place(section) + 1);
        let others = self
            .positional
            .iter()
            .skip(line.leading(section).max(members));
        for word in others {
            if let Some(param) = param::find(&word.text) {
                return Err(LineError::Bare {
                    line: line.shown(),
                    key: word.text.to_string(),
                    syntax: param.syntax,
                });
            }
        }
        Ok(())
    }

    fn member(&self, line: Line, section: Option<&str>) -> Result<Option<String>, LineError> {
        let at = members_place(section);
        let url = self.positional(at).filter(|_| line == Line::BalancerMember);
        match url {
            Some(url) if !target::has_scheme(url) => Err(LineError::MemberUrl(url.to_owned())),
            url => Ok(url.map(str::to_owned)),
        }
    }
}

/// Where a member's URL stands among what is positional: behind the farm, if that is named there.
fn members_place(section: Option<&str>) -> usize {
    usize::from(section.is_none())
}

/// The name of a farm spelt as `mod_proxy`'s balancer, by its own rule: all up to the next slash,
/// in lower case.
fn balancer_name(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let name = rest.split('/').next().unwrap_or_default();
    let is_balancer = scheme.eq_ignore_ascii_case("balancer") && !name.is_empty();
    is_balancer.then(|| name.to_ascii_lowercase())
}

/// `text` without the ranges `cuts`, which are in order and do not overlap.
fn without(text: &str, cuts: &[std::ops::Range<usize>]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for cut in cuts {
        kept.push_str(text.get(at..cut.start).unwrap_or_default());
        at = cut.end;
    }
    let rest = text.get(at..).unwrap_or_default();
    if rest.is_empty() {
        kept.truncate(kept.trim_end().len());
    }
    kept + rest
}

/// The URL that a member without scheme was probably meant to be.
fn example(written: &str) -> String {
    if written.contains(":/") || written.starts_with(['/', ':']) {
        "http://127.0.0.1:80".to_owned()
    } else {
        format!("http://{written}")
    }
}

#[cfg(test)]
mod tests;
