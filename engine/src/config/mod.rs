//! What a user writes: the parameters of farms and members, the lines they stand on, the names
//! that select a farm, and who may ask the engine. Text in, values out; nothing here knows httpd.
//!
//! * [`words`] splits and quotes text as httpd's own configuration reader does.
//! * [`argument`] is one word of a line: a plain word or `key=value`.
//! * [`param`] is the table of our parameters, [`value`] how their values are read, [`native`]
//!   the keys of `mod_proxy` itself.
//! * [`mod@line`] takes our parameters off `mod_proxy`'s lines before `mod_proxy` reads them.
//! * [`rewrite`] turns `AthFarm`, `LBServerCluster` and `LBProxyPass` into `mod_proxy`'s lines.
//! * [`mark`] keeps `mod_proxy`'s own hands off `ProxyPassReverse` lines of farms.
//! * [`forward`] says where requests go instead.
//! * [`target`] reads a proxy URL and says which farm it names, [`farms`] finds that farm, [`section`]
//!   says which `<Proxy>` sections hold for it.
//! * [`worker`] says which member `mod_proxy` takes a URL for.
//! * [`named`] finds the farms that `NAME@SERVER` means.
//! * [`addition`] is a member as people add it at run time.
//! * [`own`] reads the directives that say one thing each.
//! * [`qos`] is the classes of requests.
//! * [`allow`] says what people may make this server send requests to.
//! * [`trust`] and [`host`] guard the engine's own paths.

#[cfg(not(loom))]
pub mod addition;
pub mod allow;
pub mod argument;
pub mod farms;
pub mod forward;
pub mod host;
pub mod line;
pub mod mark;
pub mod named;
pub mod native;
pub mod own;
pub mod param;
pub mod qos;
pub mod rewrite;
pub mod section;
pub mod target;
pub mod trust;
pub mod value;
pub mod words;
pub mod worker;
