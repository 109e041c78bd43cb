//! Turns `AthFarm`, `LBServerCluster` and `LBProxyPass` into lines that `mod_proxy` knows. They
//! still hold parameters of ours, and go through [`super::line::take`] like all others.

use super::argument::arguments;
use super::param::{self, FarmParams, Whose};
use super::words::{self, Word};
use super::{native, target};
use thiserror::Error;

/// A line or a section, in the terms of httpd's parsed tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain {
    /// The directive; a section's with `<`.
    pub name: &'static str,
    /// Its arguments; a section's with the closing `>`.
    pub args: String,
    /// What is inside of a section.
    pub children: Vec<Plain>,
}

impl Plain {
    const fn line(name: &'static str, args: String) -> Self {
        let children = Vec::new();
        Self {
            name,
            args,
            children,
        }
    }
}

/// Why a line is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RewriteError {
    /// Fewer or more arguments than the directive takes.
    #[error("{line}: {said}: write {form}")]
    Arguments {
        /// The directive.
        line: &'static str,
        /// What is missing, or too many.
        said: String,
        /// The directive's form.
        form: &'static str,
    },
    /// An argument that the directive cannot have.
    #[error("{line} {about}: {said}")]
    Argument {
        /// The directive.
        line: &'static str,
        /// The farm, or the first argument as written.
        about: String,
        /// What is wrong, and what is allowed.
        said: String,
    },
}

const ATH_FARM: Form = Form {
    line: "AthFarm",
    form: "AthFarm NAME URL [URL...] [key=value...]",
};
const CLUSTER: Form = Form {
    line: "LBServerCluster",
    form: "LBServerCluster NAME URL",
};
const PASS: Form = Form {
    line: "LBProxyPass",
    form: "LBProxyPass PATH NAME",
};

/// `AthFarm NAME URL [URL…] [key=value…]`: the farm's section, its members and one `ProxySet`.
/// Without a URL it sets parameters of a farm whose members stand elsewhere.
///
/// # Errors
/// A bad name or URL, nothing but a name, or a parameter that belongs to members.
pub fn ath_farm(args: &str) -> Result<Vec<Plain>, RewriteError> {
    let mut arguments = arguments(args, 0);
    let name = ATH_FARM.farm_name(arguments.next().map(|word| word.text))?;
    let (params, urls): (Vec<_>, Vec<_>) = arguments.partition(is_parameter);
    if params.is_empty() && urls.is_empty() {
        return Err(ATH_FARM.missing("the URL of a member"));
    }
    let mut children = Vec::new();
    for url in &urls {
        children.push(ATH_FARM.member(&name, &url.text)?);
    }
    let mut set = Vec::new();
    for param in &params {
        ATH_FARM.farm_parameter(&name, param)?;
        set.push(words::quote(&param.text));
    }
    if !set.is_empty() {
        children.push(Plain::line("ProxySet", set.join(" ")));
    }
    Ok(vec![section(&name, children)])
}

/// `LBServerCluster NAME URL`: one member of a farm; repeated, members in file order.
///
/// # Errors
/// A bad name or URL, or not exactly these two arguments.
pub fn lb_server_cluster(args: &str) -> Result<Vec<Plain>, RewriteError> {
    let mut words = words::split(args);
    let name = CLUSTER.farm_name(words.next())?;
    let url = words
        .next()
        .ok_or_else(|| CLUSTER.missing("the URL of a member"))?;
    CLUSTER.no_more(words.next())?;
    Ok(vec![section(&name, vec![CLUSTER.member(&name, &url)?])])
}

/// `LBProxyPass PATH NAME`: the farm's members are asked for the same path.
///
/// # Errors
/// A path without a leading slash, a bad name, or not exactly these two arguments.
pub fn lb_proxy_pass(args: &str) -> Result<Vec<Plain>, RewriteError> {
    let mut words = words::split(args);
    let path = words.next().ok_or_else(|| PASS.missing("the path"))?;
    if !path.starts_with('/') {
        return Err(PASS.wrong(&path, "the path must begin with /"));
    }
    let name = PASS.farm_name(words.next())?;
    PASS.no_more(words.next())?;
    let url = format!("balancer://{name}{path}");
    let args = [words::quote(&path), words::quote(&url)].join(" ");
    Ok(vec![Plain::line("ProxyPass", args)])
}

/// A directive and its form, for messages.
struct Form {
    line: &'static str,
    form: &'static str,
}

impl Form {
    fn arguments(&self, said: String) -> RewriteError {
        RewriteError::Arguments {
            line: self.line,
            said,
            form: self.form,
        }
    }

    fn missing(&self, what: &str) -> RewriteError {
        self.arguments(format!("{what} is missing"))
    }

    fn no_more(&self, word: Option<impl AsRef<str>>) -> Result<(), RewriteError> {
        word.map_or(Ok(()), |extra| {
            Err(self.arguments(format!("{} is one too many", extra.as_ref())))
        })
    }

    fn wrong(&self, about: &str, said: impl Into<String>) -> RewriteError {
        RewriteError::Argument {
            line: self.line,
            about: about.to_owned(),
            said: said.into(),
        }
    }

    /// The name in lower case, as `mod_proxy` keeps it.
    fn farm_name(&self, word: Option<impl AsRef<str>>) -> Result<String, RewriteError> {
        let name = word.ok_or_else(|| self.missing("the name of the farm"))?;
        let name = name.as_ref();
        if target::is_farm_name(name) {
            return Ok(name.to_ascii_lowercase());
        }
        let most = target::FARM_NAME_MAX;
        let rule = format!(
            "a farm's name has 1 to {most} letters, digits, '.', '-' or '_', begins with a letter \
             or digit, and is neither an address nor localhost"
        );
        Err(self.wrong(name, rule))
    }

    fn member(&self, farm: &str, url: &str) -> Result<Plain, RewriteError> {
        // mod_proxy wants a host, and would name another directive.
        let hostless =
            |(_, rest): (&str, &str)| rest.is_empty() || rest.starts_with(['/', ':', '?', '#']);
        let hostless = !url.contains('|') && url.split_once("://").is_some_and(hostless);
        let why = if hostless || !target::has_scheme(url) {
            "a member is a URL, for example http://127.0.0.1:80"
        } else if url.contains('=') {
            // mod_proxy would read it as a parameter.
            "a member's URL cannot hold '='"
        } else {
            return Ok(Plain::line("BalancerMember", words::quote(url)));
        };
        Err(self.wrong(farm, format!("{url}: {why}")))
    }

    fn farm_parameter(&self, farm: &str, param: &Word<'_>) -> Result<(), RewriteError> {
        let (key, value) = param.pair().unwrap_or_default();
        let read = match param::whose(key).or_else(|| native::whose(key)) {
            // A default for members is ours alone: mod_proxy's ProxySet would refuse its own.
            Some(Whose::Member) => Err(format!(
                "{key} belongs to the member: write it on BalancerMember"
            )),
            None => Err(format!("{key} is no parameter of farms")),
            Some(_) if param::whose(key).is_some() => {
                let set = FarmParams::default().set(key, value);
                set.map_err(|error| error.to_string())
            }
            Some(_) => native::check(key, value).map_err(|must| format!("{key}={value}: {must}")),
        };
        read.map_err(|said| self.wrong(farm, said))
    }
}

/// Whether an argument is `key=value` rather than a URL with a query.
fn is_parameter(argument: &Word<'_>) -> bool {
    argument
        .pair()
        .is_some_and(|(key, _)| !key.contains([':', '/']))
}

fn section(farm: &str, children: Vec<Plain>) -> Plain {
    let args = words::quote(&format!("balancer://{farm}")) + ">";
    Plain {
        name: "<Proxy",
        args,
        children,
    }
}

#[cfg(test)]
mod tests;
