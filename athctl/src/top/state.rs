//! What `top` knows, and what comes of a key and of an answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::widgets::TableState;

use super::table::{Column, Row};
use crate::documents::Farm;

/// Rates that a member's sparkline is made of.
pub const HISTORY: usize = 30;
/// Rows that a page key moves by.
const PAGE: isize = 10;

/// What comes in.
pub enum Input {
    Key(KeyEvent),
    /// The terminal has another size.
    Redraw,
    /// The farms at a time since the beginning, or why they are not known.
    Farms(Result<Vec<Farm>, String>, Duration),
}

/// Everything that is shown.
#[derive(Default)]
pub struct State {
    pub farms: Vec<Farm>,
    /// Why the figures are old.
    pub error: Option<String>,
    pub sort: Column,
    pub reversed: bool,
    /// Rows with this text in them are shown.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    pub paused: bool,
    /// The rows as sorted and filtered.
    pub rows: Vec<Row>,
    /// Which row is selected, and the first one on the screen.
    pub table: TableState,
    done: bool,
    read_at: Duration,
    pasts: BTreeMap<(String, String), Past>,
}

/// What a member has done so far.
#[derive(Default)]
struct Past {
    elected: u64,
    failed: u64,
    rates: VecDeque<f64>,
    failures: f64,
}

impl State {
    /// Takes an input in.
    pub fn update(&mut self, input: Input) {
        match input {
            Input::Redraw => {}
            Input::Key(key) if self.typing => self.typed(key),
            Input::Key(key) => self.pressed(key),
            Input::Farms(..) if self.paused => {}
            Input::Farms(Ok(farms), at) => {
                self.error = None;
                self.measure(&farms, at);
                self.farms = farms;
                self.arrange();
            }
            Input::Farms(Err(error), _) => self.error = Some(error),
        }
    }

    /// Whether the user is done.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Requests a second of all members.
    pub fn rate(&self) -> f64 {
        self.pasts
            .values()
            .filter_map(|past| past.rates.back())
            // A sum of nothing is -0.0.
            .fold(0.0, |sum, rate| sum + rate)
    }

    /// Rates from the counters of two answers; counters that went back were set to 0.
    fn measure(&mut self, farms: &[Farm], at: Duration) {
        let seconds = at.saturating_sub(self.read_at).as_secs_f64();
        self.read_at = at;
        let mut pasts = BTreeMap::new();
        for farm in farms {
            for member in &farm.members {
                let key = (farm.full_name(), member.name.clone());
                let past = self.pasts.remove(&key).filter(|_| seconds > 0.0);
                let mut now = Past {
                    elected: member.elected,
                    failed: member.failed,
                    ..Past::default()
                };
                if let Some(past) = past {
                    // Counts of one interval are far below 2^52.
                    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
                    now.failures = rate(now.failed, past.failed);
                    let newest = rate(now.elected, past.elected);
                    now.rates = past.rates;
                    now.rates.push_back(newest);
                    if now.rates.len() > HISTORY {
                        now.rates.pop_front();
                    }
                }
                pasts.insert(key, now);
            }
        }
        self.pasts = pasts;
    }

    /// Makes the rows anew, and keeps the selection on one of them.
    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let mut rows: Vec<Row> = Vec::new();
        for farm in &self.farms {
            let name = farm.full_name();
            for member in &farm.members {
                let past = self.pasts.get(&(name.clone(), member.name.clone()));
                let rates = past.map(|past| past.rates.iter().copied().collect());
                let failures = past.map_or(0.0, |past| past.failures);
                let row = Row::of(&name, member, rates.unwrap_or_default(), failures);
                if row.holds(&filter) {
                    rows.push(row);
                }
            }
        }
        rows.sort_by(|a, b| {
            let order = self.sort.compare(a, b);
            if self.reversed {
                order.reverse()
            } else {
                order
            }
        });
        self.rows = rows;
        self.select(self.table.selected().unwrap_or_default());
    }

    fn select(&mut self, row: usize) {
        let last = self.rows.len().checked_sub(1);
        self.table.select(last.map(|last| row.min(last)));
    }

    fn moved(&mut self, by: isize) {
        let row = self.table.selected().unwrap_or_default();
        self.select(row.saturating_add_signed(by));
    }

    fn typed(&mut self, key: KeyEvent) {
        match key.code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(letter) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.filter.push(letter);
            }
            _ => return,
        }
        self.arrange();
    }

    fn pressed(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => self.done = true,
            KeyCode::Char('q') => self.done = true,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char(' ') => self.paused = !self.paused,
            KeyCode::Char('r') => self.reversed = !self.reversed,
            KeyCode::Left => self.sort = self.sort.before(),
            KeyCode::Right | KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Down | KeyCode::Char('j') => return self.moved(1),
            KeyCode::Up | KeyCode::Char('k') => return self.moved(-1),
            KeyCode::PageDown => return self.moved(PAGE),
            KeyCode::PageUp => return self.moved(-PAGE),
            KeyCode::Home => return self.select(0),
            KeyCode::End => return self.select(usize::MAX),
            _ => return,
        }
        self.arrange();
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn farm(name: &str, members: &[(&str, u64, u64)]) -> Farm {
        let members: Vec<_> = members
            .iter()
            .map(|(name, elected, inflight)| {
                serde_json::json!({
                    "name": name, "route": "r", "weight": 1.0, "lbset": 0, "on": true, "up": true,
                    "in": true, "drain": false, "standby": false, "usable": true, "error": null,
                    "inflight": inflight, "elected": elected, "served": elected, "failed": 0,
                    "ttfb_ewma_ms": 1.5,
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "name": name, "server": "main", "method": "roundrobin", "on": true,
            "usable": members.len(), "elected": 0, "members": members,
        }))
        .unwrap()
    }

    pub fn seen(state: &mut State, seconds: u64, farms: Vec<Farm>) {
        state.update(Input::Farms(Ok(farms), Duration::from_secs(seconds)));
    }

    pub fn press(state: &mut State, code: KeyCode) {
        state.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }

    fn names(state: &State) -> Vec<&str> {
        state.rows.iter().map(|row| row.member.as_str()).collect()
    }

    #[test]
    fn rates_are_counts_per_second() {
        let mut state = State::default();
        seen(
            &mut state,
            0,
            vec![farm("f", &[("a", 100, 0), ("b", 7, 0)])],
        );
        assert!(state.rows.iter().all(|row| row.rates.is_empty()));
        seen(
            &mut state,
            2,
            vec![farm("f", &[("a", 120, 0), ("b", 7, 0), ("c", 50, 0)])],
        );
        assert_eq!(
            state.rows.iter().map(Row::rate).collect::<Vec<_>>(),
            [10.0, 0.0, 0.0]
        );
        assert_eq!(state.rate(), 10.0);
        // Counters that were set to 0; a member that is gone and comes back.
        seen(&mut state, 3, vec![farm("f", &[("a", 5, 0)])]);
        seen(&mut state, 4, vec![farm("f", &[("a", 6, 0), ("b", 7, 0)])]);
        assert_eq!(state.rows[0].rates, [10.0, 0.0, 1.0]);
        assert!(state.rows[1].rates.is_empty());
        for second in 5..100 {
            seen(&mut state, second, vec![farm("f", &[("a", 6, 0)])]);
        }
        assert_eq!(state.rows[0].rates.len(), HISTORY);
    }

    #[test]
    fn keys_sort_and_filter() {
        let mut state = State::default();
        let farms = vec![
            farm("f", &[("a", 0, 1), ("b", 0, 3)]),
            farm("g", &[("c", 0, 2)]),
        ];
        seen(&mut state, 0, farms);
        assert_eq!(names(&state), ["a", "b", "c"]);
        while state.sort != Column::InFlight {
            press(&mut state, KeyCode::Right);
        }
        assert_eq!(names(&state), ["b", "c", "a"], "most first");
        press(&mut state, KeyCode::Char('r'));
        assert_eq!(names(&state), ["a", "c", "b"]);
        for code in ['/', 'G'].map(KeyCode::Char) {
            press(&mut state, code);
        }
        assert_eq!(names(&state), ["c"]);
        press(&mut state, KeyCode::Char('q'));
        assert_eq!(
            (names(&state).len(), state.is_done()),
            (0, false),
            "q is a letter here"
        );
        press(&mut state, KeyCode::Backspace);
        press(&mut state, KeyCode::Enter);
        assert_eq!(names(&state), ["c"]);
        press(&mut state, KeyCode::Esc);
        assert_eq!(names(&state).len(), 3);
        press(&mut state, KeyCode::Char('q'));
        assert!(state.is_done());
    }

    #[test]
    fn the_selection_stays_on_a_row() {
        let mut state = State::default();
        press(&mut state, KeyCode::Down);
        assert_eq!(state.table.selected(), None);
        seen(
            &mut state,
            0,
            vec![farm("f", &[("a", 0, 0), ("b", 0, 0), ("c", 0, 0)])],
        );
        let table = [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 2),
            (KeyCode::Down, 2),
            (KeyCode::Home, 0),
            (KeyCode::End, 2),
            (KeyCode::PageUp, 0),
            (KeyCode::End, 2),
        ];
        for (key, row) in table {
            press(&mut state, key);
            assert_eq!(state.table.selected(), Some(row), "{key:?}");
        }
        seen(&mut state, 1, vec![farm("f", &[("a", 0, 0)])]);
        assert_eq!(state.table.selected(), Some(0));
    }

    #[test]
    fn an_error_stays_until_the_next_answer() {
        let mut state = State::default();
        seen(&mut state, 0, vec![farm("f", &[("a", 0, 0)])]);
        state.update(Input::Farms(
            Err("refused".to_owned()),
            Duration::from_secs(1),
        ));
        assert_eq!(
            (state.error.as_deref(), state.rows.len()),
            (Some("refused"), 1)
        );
        press(&mut state, KeyCode::Char(' '));
        seen(&mut state, 2, vec![]);
        assert_eq!(state.rows.len(), 1, "paused");
        press(&mut state, KeyCode::Char(' '));
        seen(&mut state, 3, vec![]);
        assert_eq!((state.error.as_deref(), state.rows.len()), (None, 0));
    }
}
