//! Unix sockets whose host is a farm's name.

use athena_engine::config::target::Target;
use athena_engine::config::words;

use super::nodes::each;
use super::{Node, ServerId, Walk};
use crate::naming::text;

/// The `ProxyPass` lines of a server: each with a URL on it.
type Passes = Vec<(*mut Node, String)>;

impl Walk {
    /// mod_proxy tells `unix:/PATH|http://NAME/` and `http://NAME/` apart by what its first line says: of
    /// both, only one would be served.
    ///
    /// # Safety
    /// The lists that were collected are still the tree's.
    pub(super) unsafe fn refuse_shared_hosts(&self) {
        for (id, server) in self.servers.iter().enumerate() {
            let mut passes = Passes::new();
            // SAFETY: the caller's promise.
            unsafe { collect(*server.head, &mut passes) };
            for (node, word) in &passes {
                if let Some(farm) = self.farm_of_socket(word, id)
                    && passes
                        .iter()
                        .any(|(_, other)| self.is_host(other, &farm, id))
                {
                    let error = format!(
                        "{word}: http://{farm}/ on another line of this server is the farm {farm}, and \
                         mod_proxy would take both for one: give the socket's host another name, or write \
                         balancer://{farm}/ for the farm"
                    );
                    // SAFETY: a node of the tree.
                    unsafe { self.refuse(*node, &error) };
                }
            }
        }
    }

    /// The farm that has the name of a unix socket's host.
    fn farm_of_socket(&self, word: &str, server: ServerId) -> Option<String> {
        let (_, url) = word.split_once('|').filter(|_| is_socket(word))?;
        let host = Target::parse(url.as_bytes())?.host.to_ascii_lowercase();
        self.known(&host, server).then_some(host)
    }

    /// A URL selects a farm as if that were a host.
    fn is_host(&self, url: &str, farm: &str, server: ServerId) -> bool {
        Target::parse(url.as_bytes()).is_some_and(|target| !target.is_balancer())
            && self.farm_of(url, server).as_deref() == Some(farm)
    }
}

fn is_socket(word: &str) -> bool {
    let scheme = word.get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("unix:"))
}

/// Adds what stands on the `ProxyPass` lines of a list and of the sections in it, but for virtual hosts.
unsafe fn collect(first: *mut Node, passes: &mut Passes) {
    // SAFETY: the tree's own links.
    unsafe {
        each(
            first,
            &mut |node| match text((*node).directive).to_ascii_lowercase().as_str() {
                "proxypass" | "proxypassmatch" => {
                    let args = text((*node).args);
                    let words = words::split(&args).map(|word| (node, word.into_owned()));
                    passes.extend(words);
                }
                "<virtualhost" => {}
                _ => collect((*node).first_child, passes),
            },
        );
    }
}
