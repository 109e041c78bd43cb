//! The farms of a configuration as mod_proxy has read them, before they have seats on the board.

use std::collections::HashMap;
use std::ffi::{CString, c_int};
use std::sync::atomic::AtomicU32;

use athena_engine::board::{FarmExtras, FarmSeat, FarmSpec, MemberExtras, MemberSpec};
use athena_engine::config::param::{FarmParams, MemberParams};
use athena_engine::config::qos::Classes;
use athena_engine::config::target::is_filled_in;

use crate::added::{self, Seats};
use crate::conf::ServerConf;
use crate::farm::{Farm, Member, Members, Roll, member};
use crate::ffi;
use crate::front::front;
use crate::growth::{self, Copied, Growth, Slot};
use crate::naming::{self, check_names, farm_name, name_members};
use crate::proxy::{self, Proxy};
use crate::rule::Rule;
use crate::sticky::Sessions;
use crate::{method, provider, stored};

/// A farm on its way: what mod_proxy has of it.
pub struct Draft {
    pub name: String,
    pub server: String,
    pub server_rec: *mut ffi::server_rec,
    pub balancer: *mut ffi::proxy_balancer,
    /// That and its copies in other servers.
    pub copies: Vec<Copied>,
    pub members: Vec<MemberDraft>,
    /// Free slots for members that are added at run time.
    pub slots: Vec<Slot>,
    pub params: FarmParams,
    pub classes: Classes,
    pub provider: Provider,
}

pub struct MemberDraft {
    pub worker: *mut ffi::proxy_worker,
    pub name: String,
    pub params: MemberParams,
    pub extras: MemberExtras,
}

pub type Provider = (*const ffi::proxy_balancer_method, Rule);

/// What a server's name stands for.
pub struct Named {
    pub name: String,
    /// `AthFarm` or `LBServerCluster` declared it, in this server or where the farm is inherited from.
    pub declared: bool,
    /// Index into the list of drafts.
    pub draft: usize,
    pub balancer: *mut ffi::proxy_balancer,
}

/// The farms of a server.
pub type Names = Vec<Named>;

/// Those of each server.
pub type Tables = Vec<(*mut ffi::server_rec, Names)>;

/// Finds the farms of all servers; virtual hosts' copies of a balancer are the same farm.
///
/// # Safety
/// Called in the parent, with the main server, when the configuration has been read.
pub unsafe fn all(
    main: *mut ffi::server_rec,
    proxy: &Proxy,
    engine: bool,
) -> Result<(Vec<Draft>, Tables), String> {
    let mut drafts: Vec<Draft> = Vec::new();
    let mut by_members: HashMap<*mut ffi::apr_array_header_t, usize> = HashMap::new();
    let mut tables: Tables = Vec::new();
    // SAFETY: httpd's list of servers and mod_proxy's list of balancers.
    unsafe {
        for (s, server_name) in naming::servers(main) {
            let mut names = Vec::new();
            for balancer in proxy::elements::<ffi::proxy_balancer>((*proxy.conf(s)).balancers) {
                let workers = (*balancer).workers;
                let name = farm_name(balancer);
                let index = match by_members.get(&workers) {
                    Some(index) => {
                        if let Some(draft) = drafts.get_mut(*index) {
                            draft.copies.push(Copied {
                                server: s,
                                balancer,
                            });
                            if engine {
                                // mod_proxy's merge gives it httpd's default.
                                let (provider, rule) = draft.provider;
                                method::give(balancer, provider.cast_mut(), &rule.name());
                            }
                        }
                        *index
                    }
                    None if is_empty(workers) && (is_filled_in(&name) || name.contains(':')) => {
                        continue;
                    }
                    None => {
                        let Some(rule) = chosen_rule(balancer, &name, engine)? else {
                            continue;
                        };
                        by_members.insert(workers, drafts.len());
                        drafts.push(Draft::of(balancer, s, &server_name, name.clone(), rule)?);
                        drafts.len() - 1
                    }
                };
                let declares = |s: *mut ffi::server_rec| {
                    ServerConf::written_in(s).is_some_and(|conf| conf.declared.contains(&name))
                };
                let origin = drafts.get(index).map(|draft| draft.server_rec);
                names.push(Named {
                    declared: declares(s) || origin.is_some_and(declares),
                    name,
                    draft: index,
                    balancer,
                });
            }
            tables.push((s, names));
        }
        for draft in &mut drafts {
            draft.slots = growth::free_slots(&draft.copies);
        }
    }
    Ok((drafts, tables))
}

/// Whether a balancer has no members: mod_proxy also makes one of `balancer://farm$1` and
/// `balancer://farm:80`, whose requests then go to others.
unsafe fn is_empty(workers: *mut ffi::apr_array_header_t) -> bool {
    // SAFETY: null, or a live balancer's list of workers.
    unsafe { workers.as_ref() }.is_none_or(|workers| workers.nelts == 0)
}

/// The rule of a balancer: what `lbmethod=` names, or httpd's default. With the engine off, only
/// farms that name a method of ours are looked at.
unsafe fn chosen_rule(
    balancer: *mut ffi::proxy_balancer,
    farm: &str,
    engine: bool,
) -> Result<Option<Provider>, String> {
    // SAFETY: a live balancer.
    let provider = unsafe { (*balancer).lbmethod.cast_const() };
    if !engine && !provider::is_ours(provider) {
        return Ok(None);
    }
    match Rule::of(provider) {
        Some(rule) => Ok(Some((provider, rule))),
        None => Err(format!(
            "farm {farm}: lbmethod: the module that provides it has no function that chooses"
        )),
    }
}

impl Draft {
    unsafe fn of(
        balancer: *mut ffi::proxy_balancer,
        s: *mut ffi::server_rec,
        server: &str,
        name: String,
        provider: Provider,
    ) -> Result<Self, String> {
        let conf = ServerConf::of(s);
        let params = ServerConf::written_in(s)
            .and_then(|conf| conf.farms.get(&name).cloned())
            .unwrap_or_default();
        // SAFETY: mod_proxy's own structures of a configuration that has been read.
        let members = unsafe {
            let workers: Vec<_> = proxy::elements::<*mut ffi::proxy_worker>((*balancer).workers)
                .map(|worker| *worker)
                .collect();
            let own = |worker: *mut ffi::proxy_worker| {
                conf.as_ref().and_then(|conf| conf.members.get(&worker))
            };
            let names = name_members(&workers, own);
            check_names(&name, &names, &workers, |worker| {
                own(worker).is_some_and(|params| params.name.is_some())
            })?;
            names
                .into_iter()
                .zip(workers)
                .map(|(name, worker)| {
                    let params = own(worker).cloned().unwrap_or_default().or(&params.members);
                    MemberDraft {
                        worker,
                        name,
                        extras: member::extras(worker, &params),
                        params,
                    }
                })
                .collect::<Vec<_>>()
        };
        for member in &members {
            // SAFETY: as above.
            unsafe {
                let times = stored::times_of(member.worker, s).within(params.try_timeout);
                times.give((*member.worker).s);
            }
        }
        let server = server.to_owned();
        let lines = conf.map(|conf| conf.qos.as_slice()).unwrap_or_default();
        let classes = Classes::of(lines, &name).map_err(|error| error.to_string())?;
        Ok(Self {
            name,
            server,
            server_rec: s,
            balancer,
            copies: vec![Copied {
                server: s,
                balancer,
            }],
            members,
            slots: Vec::new(),
            params,
            classes,
            provider,
        })
    }

    pub fn sessions(&self) -> Sessions<'_> {
        let route = |member: &MemberDraft| {
            // SAFETY: a worker of a configuration that has been read.
            naming::read(unsafe { &(*(*member.worker).s).route }).to_bytes()
        };
        let members = self.members.iter();
        Sessions {
            farm: &self.name,
            server: self.server_rec,
            balancer: self.balancer,
            params: &self.params,
            routes: members
                .map(|member| (route(member), member.name.as_str()))
                .collect(),
        }
    }

    pub fn spec(&self, engine: bool, may_wait: usize) -> FarmSpec {
        let members = self.members.iter().map(MemberDraft::spec);
        FarmSpec {
            server: self.server.clone(),
            name: self.name.clone(),
            members: members.collect(),
            spares: u32::try_from(self.slots.len()).unwrap_or(0),
            waiters: u32::try_from(if engine { may_wait } else { 0 }).unwrap_or(u32::MAX),
            seats: added::wanted(self.server_rec),
            extras: self.extras(),
            hashed: matches!(self.provider.1, Rule::Menu(method) if method.wants_key()),
        }
    }

    fn extras(&self) -> FarmExtras {
        let (params, text) = (&self.params, |text: Option<String>| {
            text.unwrap_or_default()
        });
        FarmExtras {
            method: self.provider.1.name().into_owned(),
            forward: text(params.forward.as_ref().map(ToString::to_string)),
            fallback: text(params.fallback.as_ref().map(ToString::to_string)),
        }
    }

    /// The farm, in its seat.
    ///
    /// # Safety
    /// `pool` is the configuration's; the workers' shared parts are where they stay, and `slots` of this
    /// generation.
    pub unsafe fn finish(
        self,
        pool: *mut ffi::apr_pool_t,
        seat: FarmSeat,
        slots: Vec<Slot>,
        observed: bool,
    ) -> Farm {
        let extras = self.extras();
        let method = seat.record.changed.method.version();
        let members: Vec<Member> = self
            .members
            .into_iter()
            .zip(&seat.members)
            .map(|(draft, seat)| {
                Member::new(draft.worker, *seat, draft.name, draft.params, draft.extras)
            })
            .collect();
        // SAFETY: the caller's promise; `errstatuses` is an array of int.
        let (front, fail_on_status, fail_on_timeout) = unsafe {
            let balancer = &*self.balancer;
            let statuses = proxy::elements::<c_int>(balancer.errstatuses)
                .filter_map(|status| u16::try_from(*status).ok())
                .collect();
            (
                front(pool, &self.name),
                statuses,
                balancer.failontimeout != 0,
            )
        };
        Farm {
            c_name: CString::new(self.name.as_str()).unwrap_or_default(),
            name: self.name,
            server: self.server,
            server_rec: self.server_rec,
            observed,
            roll: Roll::of(&seat),
            members: Members::new(members, seat.spares.len(), seat.seats.len()),
            growth: Growth::new(self.copies, self.slots, &seat),
            added: Seats::new(&seat, slots),
            seat,
            params: self.params,
            classes: self.classes,
            extras,
            method_seen: AtomicU32::new(method),
            fail_on_status,
            fail_on_timeout,
            balancer: self.balancer,
            provider: self.provider,
            front,
        }
    }
}

impl MemberDraft {
    pub fn spec(&self) -> MemberSpec {
        let (worker, params) = (self.worker, &self.params);
        let (name, extras) = (self.name.clone(), self.extras.clone());
        // SAFETY: a worker of a configuration that has been read.
        unsafe {
            let (configured, stored) = stored::settings_of(worker);
            member::spec(worker, name, extras, params, configured, stored)
        }
    }
}
