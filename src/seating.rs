//! Seats on the board: opened at a start, resumed at a graceful restart.

use std::path::PathBuf;

use athena_engine::board::{Board, BoardError, FarmSeat, FarmSpec, Notice, Storage};

use crate::conf::{BoardFile, ServerConf};
use crate::log::{self, Level};
use crate::naming::text;
use crate::{clock, ffi, retained};

/// Children of this and of older generations that may live at a time, as a multiple of those httpd
/// may start: during a graceful restart old ones finish while new ones serve.
const SLOTS_PER_CHILD: u32 = 3;

/// Refuses a place that `AthSHMFile` names and that no board can have.
///
/// # Safety
/// Called with a pool and the configuration read.
pub unsafe fn check_board(pool: *mut ffi::apr_pool_t) -> Result<(), String> {
    // The default directory may be made by what starts httpd.
    if ServerConf::main().is_none_or(|conf| conf.board_file.is_none()) {
        return Ok(());
    }
    // SAFETY: the caller's promise.
    unsafe { storage(pool)? }.check().map_err(said)
}

fn said(error: BoardError) -> String {
    format!("AthSHMFile: {error}{}", error.advice())
}

/// The board, at a start or as it was before, and the seats of the farms.
///
/// # Safety
/// Called in post_config with the configuration's pool and the main server.
pub unsafe fn open_board(
    pool: *mut ffi::apr_pool_t,
    main: *mut ffi::server_rec,
    specs: &[FarmSpec],
) -> Result<(Board, Vec<FarmSeat>), String> {
    // SAFETY: the caller's promise.
    let storage = unsafe { storage(pool)? };
    let mut children = 0;
    // SAFETY: a query into an integer.
    unsafe { ffi::ap_mpm_query(ffi::AP_MPMQ_HARD_LIMIT_DAEMONS, &raw mut children) };
    let slots = children
        .unsigned_abs()
        .clamp(1, 20_000)
        .saturating_mul(SLOTS_PER_CHILD);
    let (board, attached) = match resume(main) {
        Some(mut board) => {
            if *board.storage() != storage {
                log::server(
                    Level::Warning,
                    main,
                    "ATH0014: AthSHMFile has changed: the board stays where it is until httpd is \
                     stopped and started",
                );
            }
            let attached = board.attach(specs, clock::now()).map_err(said)?;
            (board, attached)
        }
        None => Board::open(storage, slots, specs, clock::now()).map_err(said)?,
    };
    for notice in &attached.notices {
        let (level, text) = match notice {
            Notice::SetAside { .. } => (Level::Warning, format!("ATH0011: {notice}")),
            Notice::ConfigurationWins { .. } => (Level::Notice, format!("ATH0385: {notice}")),
            Notice::LeftBehind { .. } => (Level::Notice, format!("ATH0440: {notice}")),
        };
        log::server(level, main, &text);
    }
    retained::keep(&board.retain());
    Ok((board, attached.farms))
}

/// The board of the configuration pass before, at a graceful restart. A board that this version of
/// the module cannot go on with (it was replaced in between) is left, and its file read anew.
pub fn resume(main: *mut ffi::server_rec) -> Option<Board> {
    let board = match Board::resume(&retained::take()?) {
        Ok(board) => board,
        Err(error) => {
            log::server(Level::Warning, main, &format!("ATH0012: {error}"));
            return None;
        }
    };
    // Children that ended between two configuration passes, and owners that never were.
    let repaired = board.sweep(|pid| {
        libc::pid_t::try_from(pid).is_ok_and(|pid| {
            // SAFETY: signal 0 only asks whether the process is there.
            let there = unsafe { libc::kill(pid, 0) } == 0;
            there || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
        })
    });
    if repaired.requests > 0 {
        let text = format!(
            "ATH0013: {} requests of children that are gone",
            repaired.requests
        );
        log::server(Level::Notice, main, &text);
    }
    Some(board)
}

/// `AthSHMFile`, resolved.
///
/// # Safety
/// `pool` is live.
pub unsafe fn storage(pool: *mut ffi::apr_pool_t) -> Result<Storage, String> {
    let file = ServerConf::main().and_then(|conf| conf.board_file.as_ref());
    let name = match file {
        Some(BoardFile::None) => return Ok(Storage::Memory),
        Some(BoardFile::Path(path)) => path,
        None => "athena.board",
    };
    // SAFETY: the caller's promise; httpd reads the name and gives a path in the pool, or NULL.
    unsafe {
        let name_c = crate::pool::text(pool, name);
        let path = ffi::ap_runtime_dir_relative(pool, name_c);
        if path.is_null() {
            return Err(format!("AthSHMFile {name}: not a valid path"));
        }
        Ok(Storage::File(PathBuf::from(text(path))))
    }
}
