//! `athctl top`: farms and members live, full screen.
//!
//! * [`state`] is what is known and what keys do to it, without terminal or clock;
//! * [`table`] sorts and filters it into rows;
//! * [`view`] draws it.
//!
//! Nothing is drawn but when a key or an answer has come.

mod state;
mod table;
mod view;

use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyEventKind};

use crate::api::Api;
use crate::cli::Top;
use crate::documents::Farm;
use crate::error::Error;
use crate::look;
use state::{Input, State};

/// Shows the farms until `q`.
///
/// # Errors
/// The engine does not answer at the beginning, the board's file does not tell, or this is no terminal.
pub fn run(api: &Api, options: &Top) -> Result<(), Error> {
    let (api, board, farm) = (api.clone(), options.board.clone(), options.farm.clone());
    let look = move || look::farms(&api, board.as_deref(), farm.as_deref());
    // A wrong --url is told in one line rather than on a screen.
    let first = look()?;
    let mut state = State::default();
    let begin = Instant::now();
    state.update(Input::Farms(Ok(first), Duration::ZERO));

    let mut terminal = ratatui::try_init().map_err(Error::Terminal)?;
    let (sender, inputs) = mpsc::channel();
    let keys = sender.clone();
    thread::spawn(move || read_keys(&keys));
    let interval = options.interval;
    thread::spawn(move || watch(look, interval, begin, &sender));
    let shown = loop {
        if let Err(error) = terminal.draw(|frame| view::draw(frame, &mut state)) {
            break Err(Error::Terminal(error));
        }
        let Ok(input) = inputs.recv() else {
            break Ok(());
        };
        state.update(input);
        // One drawing for all that has come meanwhile.
        inputs.try_iter().for_each(|input| state.update(input));
        if state.is_done() {
            break Ok(());
        }
    };
    ratatui::restore();
    shown
}

/// Until the terminal or the screen is gone.
fn read_keys(sender: &Sender<Input>) {
    while let Ok(event) = event::read() {
        let input = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Input::Key(key),
            Event::Resize(..) => Input::Redraw,
            _ => continue,
        };
        if sender.send(input).is_err() {
            return;
        }
    }
}

fn watch(
    look: impl Fn() -> Result<Vec<Farm>, Error>,
    every: Duration,
    begin: Instant,
    sender: &Sender<Input>,
) {
    loop {
        thread::sleep(every);
        let farms = look().map_err(|error| error.to_string());
        if sender.send(Input::Farms(farms, begin.elapsed())).is_err() {
            return;
        }
    }
}
