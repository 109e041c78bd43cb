//! Members that people add over the API, and remove again, while requests run. The board has seats
//! for them ([`athena_engine::board::added`]): what is written there holds for all children and over
//! restarts. Each process makes a worker of its own for each ([`crate::worker`]), whose shared part
//! lies in a slot of this generation; a worker is never another host's.

use std::ffi::c_int;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use athena_engine::board::added::Added as Noted;
use athena_engine::board::record::flags;
use athena_engine::board::{FarmLock, FarmSeat, MemberSeat};
use athena_engine::change::MemberChange;
use athena_engine::check::Check;
use athena_engine::config::addition;
use athena_engine::config::forward::Forward;
use athena_engine::config::param::MemberParams;
use athena_engine::drain;
use athena_engine::method::Anew;
use athena_engine::stats::expect;
use serde::Serialize;

use crate::change::{self, Author, Change, Refusal, Wish};
use crate::conf::ServerConf;
use crate::farm::{Farm, Member, member};
use crate::growth::Slot;
use crate::log::{self, Level};
use crate::worker::{self, Draft};
use crate::{agent, check, clock, connection, ffi, forward, naming, refresh, runtime, sticky};

/// How many members people may add to a farm that `AthMemberAllow` lets them add any to.
pub const SEATS: u32 = 64;
/// How long a member that is removed goes on serving its sessions without `draintimeout`.
const DRAIN: Duration = Duration::from_secs(300);

/// A farm's seats for members that are added, and the slots of their workers. Empty where nobody may
/// add any.
pub struct Seats {
    seats: Vec<(MemberSeat, Slot)>,
    /// The board's roster when this process last looked.
    seen: AtomicU64,
    /// Members that this process cannot make workers for, one a seat.
    unused: Mutex<Vec<Unused>>,
}

/// A member that was added and is not used, because `AthMemberAllow` does not name it any more, say. It
/// keeps its seat until people remove it.
#[derive(Clone, Serialize)]
pub struct Unused {
    /// Which of the farm's seats it has, and as which of the seat's members.
    #[serde(skip)]
    place: (usize, u32),
    pub name: String,
    pub url: String,
    pub reason: String,
}

// SAFETY: slots are shared memory of this generation, which every process and thread may write.
unsafe impl Sync for Seats {}
// SAFETY: as above.
unsafe impl Send for Seats {}

impl Seats {
    /// A slot for each seat.
    pub fn new(seat: &FarmSeat, slots: Vec<Slot>) -> Self {
        Self {
            seats: seat.seats.iter().copied().zip(slots).collect(),
            seen: AtomicU64::new(u64::MAX),
            unused: Mutex::default(),
        }
    }
}

/// How many seats a farm of a server has. With the engine off as well: those that were added wait
/// there until it is on again.
pub fn wanted(s: *const ffi::server_rec) -> u32 {
    let allowed = ServerConf::of(s).and_then(|conf| conf.allowed.as_ref());
    let some = allowed.is_some_and(|allowed| !allowed.is_none());
    if some { SEATS } else { 0 }
}

/// Follows who was added and removed, by whichever child. Costs a load and a branch where nobody may
/// be, two loads elsewhere.
pub fn follow(farm: &Farm, patience: Duration) {
    if !farm.added.seats.is_empty() && has_news(farm) {
        take_in(farm, patience);
    }
}

#[cold]
fn take_in(farm: &Farm, patience: Duration) {
    // A request does not wait for it: it is served by the members there are. Children of an older
    // generation end soon, and the slots are not theirs.
    let held = runtime::board().map(|board| board.lock_to_change(farm.seat.id, patience));
    if let Some(Ok(held)) = held {
        catch_up(farm, &held);
    }
}

fn has_news(farm: &Farm) -> bool {
    let roster = farm.seat.record.cold.roster.load(Ordering::Acquire);
    farm.added.seen.load(Ordering::Relaxed) != roster
}

/// As [`follow`], under the farm's lock.
pub fn catch_up(farm: &Farm, _held: &FarmLock<'_>) {
    if !farm.added.seats.is_empty() && has_news(farm) {
        make_all(farm);
    }
}

/// Makes the members that this process does not know yet. The caller holds the farm's lock, or is the
/// parent before there are children.
pub fn make_all(farm: &Farm) {
    let roster = farm.seat.record.cold.roster.load(Ordering::Acquire);
    for (index, (seat, _)) in farm.added.seats.iter().enumerate() {
        let Some(noted) = seat.added() else { continue };
        let known = |unused: &Unused| unused.place == (index, noted.tenure);
        if farm.members.get(place_of(farm, index)).is_some() || unused(farm).iter().any(known) {
            continue;
        }
        let made = newcomer(farm, &noted.url, &noted.line)
            .map_err(|refusal| refusal.reason)
            .and_then(|newcomer| make(farm, index, newcomer, &noted));
        if let Err(reason) = made {
            let text = format!(
                "ATH0380: farm {}: member {} that was added is not used: {reason}",
                farm.name,
                noted.name.escape_default()
            );
            log::server(Level::Warning, farm.server_rec, &text);
            if let Ok(mut unused) = farm.added.unused.lock() {
                unused.retain(|unused| unused.place.0 != index);
                unused.push(Unused {
                    place: (index, noted.tenure),
                    name: noted.name,
                    url: noted.url,
                    reason,
                });
            }
        }
    }
    farm.added.seen.store(roster, Ordering::Relaxed);
}

/// The parameters that a member was added with, as a `BalancerMember` line has them.
pub fn line(member: &Member) -> Option<String> {
    // Of thousands that are configured, nobody need read the texts.
    if member.tenure == 0 {
        return None;
    }
    let noted = member.seat.added()?;
    (noted.tenure == member.tenure).then_some(noted.line)
}

/// Members that have seats and are not used.
pub fn unused(farm: &Farm) -> Vec<Unused> {
    let known = farm.added.unused.lock();
    let mut unused = known.map_or_else(|_| Vec::new(), |known| known.clone());
    unused.retain(|unused| seat_of(farm, unused).is_some());
    unused
}

/// The seat of a member that is not used, unless somebody has removed it.
fn seat_of(farm: &Farm, unused: &Unused) -> Option<MemberSeat> {
    let (index, tenure) = unused.place;
    let (seat, _) = farm.added.seats.get(index)?;
    seat.is_still(tenure).then_some(*seat)
}

/// The place of a seat's member among the farm's.
fn place_of(farm: &Farm, index: usize) -> usize {
    farm.members.before_seats() + index
}

/// A member that has no seat yet.
struct Newcomer {
    draft: Draft,
    /// Its own.
    params: MemberParams,
    check: Option<Check>,
}

/// Of what the board, or somebody who asks, says: hostile until it is checked here.
fn newcomer(farm: &Farm, url: &str, line: &str) -> Result<Newcomer, Refusal> {
    addition::check_url(url).map_err(Refusal::invalid)?;
    change::allowed(farm, url)?;
    let line = addition::read(line).map_err(Refusal::invalid)?;
    if let Some(Forward::Url(url)) = &line.params.forward {
        change::allowed(farm, url)?;
    }
    if let Some(agent) = &line.params.agent {
        change::allowed_agent(farm, url, agent)?;
    }
    let draft = Draft::new(farm, url, &line.native).map_err(Refusal::invalid)?;
    // What mod_proxy has read in the URL is where requests go.
    // SAFETY: the draft's worker is nobody else's yet.
    let (name_ex, socket) = unsafe {
        let shared = &*(*draft.worker).s;
        (
            naming::text(shared.name_ex.as_ptr()),
            naming::text(shared.uds_path.as_ptr()),
        )
    };
    if !socket.is_empty() {
        return Err(Refusal::invalid("url: must be no unix socket's"));
    }
    change::allowed(farm, &name_ex)?;
    Ok(Newcomer {
        check: check::plan(farm, &draft, line.check).map_err(Refusal::invalid)?,
        params: line.params,
        draft,
    })
}

/// Puts a member in its place in this process.
fn make(farm: &Farm, index: usize, newcomer: Newcomer, noted: &Noted) -> Result<(), String> {
    let Newcomer {
        draft,
        params,
        check,
    } = newcomer;
    let (seat, slot) = farm
        .added
        .seats
        .get(index)
        .ok_or("there is no seat for it")?;
    let params = params.or(&farm.params.members);
    // SAFETY: the draft's worker is nobody else's yet.
    let extras = unsafe { member::extras(draft.worker, &params) };
    let number = c_int::try_from(index).unwrap_or(c_int::MAX);
    // SAFETY: the seat's own slot; whoever gave the seat to this member zeroed it.
    let worker = unsafe { draft.share(*slot, number) }.ok_or("its worker cannot be shared")?;
    let mut member = Member::new(worker, *seat, noted.name.clone(), params, extras);
    member.tenure = noted.tenure;
    member.check = check;
    member.push();
    // The parent, before its farms are in force, makes what its children make ready ([`ready`]).
    if let Some(runtime) = runtime::get() {
        // SAFETY: shared above.
        unsafe { worker::initialise(worker, farm.server_rec) };
        runtime.give_cell(&member);
    }
    let place = place_of(farm, index);
    if let Some(before) = farm.members.last(place) {
        // SAFETY: made here, too; no process has a request at it any more, or its seat were not free.
        unsafe { connection::close_idle(before) };
    }
    farm.members.join(place, member);
    Ok(())
}

/// In a new child: the workers that the parent made are made ready.
pub fn ready(farm: &Farm) {
    for member in farm.members.added() {
        // SAFETY: made by `make`; one thread runs.
        unsafe { worker::initialise(member.worker, farm.server_rec) };
    }
}

/// Adds a member; it is the farm's in all children with their next request.
pub fn add<'a>(
    farm: &'a Farm,
    url: &str,
    line: &str,
    author: &Author,
) -> Result<&'a Member, Refusal> {
    let newcomer = newcomer(farm, url, line)?;
    let worker = newcomer.draft.worker;
    // SAFETY: the draft's worker is nobody else's yet.
    let (name_ex, route) = unsafe {
        let shared = &*(*worker).s;
        (
            naming::text(shared.name_ex.as_ptr()),
            naming::text(shared.route.as_ptr()),
        )
    };
    if !route.is_empty() {
        sticky::check_route(farm, route.as_bytes()).map_err(Refusal::invalid)?;
    }
    let held = change::hold(farm)?;
    make_all(farm);
    if newcomer.params.forward.is_some() {
        // As if the farm itself did: a new circle would lead through it.
        let planned = |of: &Farm, member: Option<&Member>| {
            (std::ptr::eq(of, farm) && member.is_none()).then(|| newcomer.params.forward.clone())
        };
        forward::check_all(planned).map_err(Refusal::invalid)?;
    }
    let name = free_name(farm, &newcomer, &name_ex)?;
    let board = runtime::board();
    let vacant = |seat: MemberSeat| board.is_some_and(|board| board.is_vacant(seat));
    let seats = || farm.added.seats.iter().enumerate();
    // One that nobody had, else any.
    let fresh = seats().find(|(_, (seat, _))| seat.is_new() && vacant(*seat));
    let Some((index, (seat, slot))) =
        fresh.or_else(|| seats().find(|(_, (seat, _))| vacant(*seat)))
    else {
        let reason = format!(
            "farm {}: no seat is free: {} members can be added to it",
            farm.name,
            farm.added.seats.len()
        );
        return Err(Refusal::new(ffi::HTTP_INSUFFICIENT_STORAGE, reason));
    };
    let params = newcomer.params.clone().or(&farm.params.members);
    // SAFETY: the draft's worker is nobody else's; the slot's last one has no request any more, and
    // whoever still knows it finds that its tenure is over.
    let spec = unsafe {
        std::ptr::write_bytes(*slot, 0, 1);
        let configured = Member::settings_of((*worker).s);
        let extras = member::extras(worker, &params);
        member::spec(worker, name, extras, &params, configured, None)
    };
    let place = place_of(farm, index);
    let position = u32::try_from(place).unwrap_or(u32::MAX);
    let admitted = board.map(|board| board.admit(&held, &farm.key(), *seat, position, &spec, line));
    if let Some(Err(error)) = admitted {
        return Err(Refusal::invalid(error));
    }
    let made = seat.added().ok_or("its seat is gone".to_owned());
    let made = made.and_then(|noted| make(farm, index, newcomer, &noted));
    let seated = || {
        farm.members
            .get(place)
            .ok_or("it did not take its seat".to_owned())
    };
    let member = made.and_then(|()| seated()).map_err(|reason| {
        // No other child is to have it either.
        if let Some(board) = board {
            board.dismiss(&held, *seat);
        }
        Refusal::new(ffi::HTTP_INTERNAL_SERVER_ERROR, reason)
    })?;
    expect::begin(member.record(), farm.expected(member), clock::now());
    agent::begin(farm, member);
    drop(held);
    settle(farm, "ATH0381:", member, "added", author);
    Ok(member)
}

/// The name of a newcomer, other than those of the members there are.
fn free_name(farm: &Farm, newcomer: &Newcomer, url: &str) -> Result<String, Refusal> {
    let conflict = |what: &str, value: &str| {
        let reason = format!("farm {} has a member of this {what}: {value}", farm.name);
        Err(Refusal::new(ffi::HTTP_CONFLICT, reason))
    };
    let same = |member: &Member| {
        let known = member.url().to_string_lossy();
        known.trim_end_matches('/') == url.trim_end_matches('/')
    };
    if farm.members.iter().any(same) {
        return conflict("URL", url);
    }
    let name = match &newcomer.params.name {
        Some(name) => name.clone(),
        None => naming::newcomers_name(newcomer.draft.worker, farm),
    };
    if farm.members.iter().any(|member| member.name == name) {
        return conflict("name", &name);
    }
    Ok(name)
}

/// Frees the seat of a member that is not used.
pub fn discard(farm: &Farm, unused: &Unused, author: &Author) -> Result<(), Refusal> {
    let held = change::hold(farm)?;
    let (Some(board), Some(seat)) = (runtime::board(), seat_of(farm, unused)) else {
        return Ok(());
    };
    board.dismiss(&held, seat);
    drop(held);
    let said = format!("member {}, which was not used, removed", unused.name);
    change::tell("ATH0382:", farm, None, &said, author);
    Ok(())
}

/// Removes a member that was added, if `agreed` says so while nobody else can change anything: at once, or
/// when its sessions and requests have ended. True when it is gone.
pub fn remove(
    farm: &Farm,
    member: &Member,
    force: bool,
    author: &Author,
    agreed: impl Fn() -> Result<(), Refusal>,
) -> Result<bool, Refusal> {
    if member.tenure == 0 {
        let reason = format!(
            "member {} was not added over the API: take its line out if it is configured, or drain it",
            member.name
        );
        return Err(Refusal::new(ffi::HTTP_CONFLICT, reason));
    }
    let begins = !force && !is_leaving(member);
    if begins {
        let mut change = MemberChange::default();
        change.flag(flags::DRAIN, true);
        let change = Change::Member(member, &change);
        change::apply_if(&[Wish { farm, change }], author, &agreed)?;
        let held = change::hold(farm)?;
        let admin = &member.record().admin;
        // Unless somebody has ended the draining already.
        if member.is_current() && admin.flags() & flags::DRAIN != 0 {
            admin.leaving.store(1, Ordering::Relaxed);
        }
        drop(held);
    }
    let agreed = || {
        if !force {
            still_leaves(member)?;
        }
        // What has just begun was agreed to.
        if begins { Ok(()) } else { agreed() }
    };
    if force || has_left(farm, member) {
        return dismiss(farm, member, "removed", author, agreed).map(|()| true);
    }
    let _held = change::hold(farm)?;
    agreed().map(|()| false)
}

/// Whether a member is to be removed when it has drained. Who ends the draining calls that off
/// ([`athena_engine::change::MemberState::store`]).
fn is_leaving(member: &Member) -> bool {
    let admin = &member.record().admin;
    admin.leaving.load(Ordering::Relaxed) != 0 && admin.flags() & flags::DRAIN != 0
}

/// Whether that still holds for one that is still there; under the farm's lock.
fn still_leaves(member: &Member) -> Result<(), Refusal> {
    if !member.is_current() || is_leaving(member) {
        return Ok(());
    }
    let reason = format!("member {}: its draining was ended meanwhile", member.name);
    Err(Refusal::new(ffi::HTTP_CONFLICT, reason))
}

/// Whether a member that is leaving has nothing left to do.
fn has_left(farm: &Farm, member: &Member) -> bool {
    if !is_leaving(member) {
        return false;
    }
    // Whether sessions have ended, only their clients know.
    let idle = !sticky::has_sessions(farm)
        && runtime::board().is_some_and(|board| board.inflight(member.seat.id) == 0);
    let time = member.drain_timeout().unwrap_or(DRAIN);
    idle || drain::is_over(&member.record().admin, time, clock::wall())
}

fn dismiss(
    farm: &Farm,
    member: &Member,
    said: &str,
    author: &Author,
    agreed: impl FnOnce() -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let held = change::hold(farm)?;
    agreed()?;
    if !member.is_current() {
        return Ok(());
    }
    if let Some(board) = runtime::board() {
        board.dismiss(&held, member.seat);
    }
    drop(held);
    settle(farm, "ATH0382:", member, said, author);
    Ok(())
}

/// From the watch: members that have left are gone.
pub fn let_go(farm: &Farm) {
    for member in farm.members.added() {
        if has_left(farm, member) {
            let author = Author::unattended("the end of its draining", "api");
            let agreed = || still_leaves(member);
            // Should the farm be locked: at the next look.
            let _ = dismiss(farm, member, "removed after draining", &author, agreed);
        }
    }
}

/// The farm has other members now.
fn settle(farm: &Farm, tag: &str, member: &Member, said: &str, author: &Author) {
    refresh::request(farm);
    farm.start_anew(Anew::Return);
    change::tell(tag, farm, Some(member), said, author);
}
