//! What the board's tests share.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use athena_engine::board::{
    Board, FarmExtras, FarmSpec, MemberExtras, MemberSpec, Settings, Storage,
};
use athena_engine::plan::Compiled;

/// A farm with one member for each URL: weight 1, no flags, set 0.
pub fn farm(name: &str, urls: &[&str]) -> FarmSpec {
    let member = |url: &&str| MemberSpec {
        url: (*url).to_owned(),
        name: url.trim_start_matches("http://").to_owned(),
        extras: MemberExtras::default(),
        settings: Settings::default(),
        stored: None,
    };
    FarmSpec {
        server: "main".into(),
        name: name.into(),
        members: urls.iter().map(member).collect(),
        spares: 0,
        seats: 0,
        extras: FarmExtras::default(),
        hashed: false,
        waiters: 0,
    }
}

/// A plan without a table.
pub fn plan(eligible: &[u32], turns: &[u32]) -> Compiled {
    Compiled {
        eligible: eligible.to_vec(),
        turns: turns.to_vec(),
        ..Compiled::default()
    }
}

/// An empty directory of the test's own.
pub fn directory(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The names in a directory.
pub fn names(directory: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The board as a later module of this process finds it after a graceful restart.
pub fn restarted(board: Board) -> Board {
    let retained = board.retain();
    drop(board);
    Board::resume(&retained).unwrap()
}

/// A board in a file of that directory.
pub fn storage(directory: &std::path::Path) -> Storage {
    Storage::File(directory.join("athena.board"))
}

/// A small reproducible generator (splitmix64).
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
