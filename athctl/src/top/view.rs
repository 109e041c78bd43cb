//! The screen: a line of totals, the table, a line of keys.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::state::{HISTORY, State};
use super::table::{Column, Row};

/// Blocks of a sparkline, from nothing to full.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, state: &mut State) {
    let parts = [
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ];
    let [top, middle, bottom] = Layout::vertical(parts).areas(frame.area());
    frame.render_widget(Paragraph::new(totals(state)), top);
    frame.render_widget(Paragraph::new(keys(state)), bottom);

    // Only what is on the screen is made: a farm may have thousands.
    let height = usize::from(middle.height.saturating_sub(1));
    let selected = state.table.selected().unwrap_or_default();
    let offset = state.table.offset_mut();
    *offset = (*offset)
        .max((selected + 1).saturating_sub(height))
        .min(selected);
    let first = *offset;
    let visible = state.rows.iter().skip(first).take(height);
    let rows = visible.enumerate().map(|(at, row)| {
        let mark = Style::default().add_modifier(Modifier::REVERSED);
        let style = if first + at == selected {
            mark
        } else {
            Style::default()
        };
        let cells = Column::ALL.iter().map(|column| cell(*column, row));
        // Where there is little room, the newest are seen.
        let past = Text::from(sparkline(&row.rates)).alignment(Alignment::Right);
        TableRow::new(cells.chain([Cell::new(past)])).style(style)
    });
    let titles = Column::ALL.iter().map(|column| {
        let mark = match (*column == state.sort, state.reversed) {
            (true, false) => "▾",
            (true, true) => "▴",
            (false, _) => "",
        };
        Cell::new(aligned(*column, format!("{}{mark}", column.title())))
    });
    let header = TableRow::new(titles).style(Style::default().add_modifier(Modifier::BOLD));
    let history = u16::try_from(HISTORY).unwrap_or_default();
    let names = state
        .farms
        .iter()
        .map(|farm| farm.full_name().chars().count());
    let longest = u16::try_from(names.max().unwrap_or_default()).unwrap_or(u16::MAX);
    let widths = Column::ALL.iter().map(|column| width(*column, longest));
    let table = Table::new(rows, widths.chain([Constraint::Max(history)])).header(header);
    frame.render_widget(table, middle);
}

fn totals(state: &State) -> Line<'static> {
    let members: usize = state.farms.iter().map(|farm| farm.members.len()).sum();
    let usable: usize = state.farms.iter().map(|farm| farm.usable).sum();
    let all = state.farms.iter().flat_map(|farm| &farm.members);
    let in_flight: u64 = all.map(|member| member.inflight).sum();
    let mut spans = vec![Span::raw(format!(
        "{} farms, {usable} of {members} members usable, {:.1} req/s, {in_flight} in flight",
        state.farms.len(),
        state.rate()
    ))];
    let queued: u64 = state.farms.iter().map(|farm| farm.queued).sum();
    if queued > 0 {
        spans.push(Span::raw(format!(", {queued} queued")));
    }
    if state.paused {
        spans.push(Span::raw(", paused"));
    }
    if let Some(error) = &state.error {
        let red = Style::default().fg(Color::Red);
        spans.push(Span::styled(format!("  {error}"), red));
    }
    Line::from(spans)
}

fn keys(state: &State) -> String {
    if state.typing {
        return format!("filter: {}_   Enter keeps it, Esc ends it", state.filter);
    }
    let filter = match state.filter.as_str() {
        "" => String::new(),
        text => format!(" [{text}]"),
    };
    format!("q quit  ←→ sort  r reverse  / filter{filter}  ↑↓ PgUp PgDn move  Space pause")
}

fn cell(column: Column, row: &Row) -> Cell<'_> {
    let text = match column {
        Column::Farm => return Cell::new(row.farm.as_str()),
        Column::Member => return Cell::new(row.member.as_str()),
        Column::State => {
            let color = if row.usable { Color::Green } else { Color::Red };
            return Cell::new(row.state).style(Style::default().fg(color));
        }
        Column::Weight => row.weight.to_string(),
        Column::Rate => format!("{:.1}", row.rate()),
        Column::InFlight => row.inflight.to_string(),
        Column::Failures => format!("{:.1}", row.failures),
        Column::FirstByte => row
            .first_byte
            .map_or_else(String::new, |ms| format!("{ms:.1}")),
    };
    Cell::new(aligned(column, text))
}

/// Figures end at the right.
fn aligned(column: Column, text: String) -> Text<'static> {
    let names = matches!(column, Column::Farm | Column::Member | Column::State);
    let side = if names {
        Alignment::Left
    } else {
        Alignment::Right
    };
    Text::from(text).alignment(side)
}

/// `longest` is that of the farms' names.
fn width(column: Column, longest: u16) -> Constraint {
    match column {
        Column::Farm => Constraint::Length(longest.clamp(5, 20)),
        Column::Member => Constraint::Min(15),
        Column::State => Constraint::Length(8),
        Column::FirstByte => Constraint::Length(14),
        _ => Constraint::Length(10),
    }
}

/// The rates as blocks, the greatest of them full, the newest at the right.
fn sparkline(rates: &[f64]) -> String {
    let most = rates.iter().copied().fold(0.0, f64::max);
    let block = |rate: &f64| {
        // At most 8: `rate` is at most `most`.
        let step = if most > 0.0 {
            (rate / most * 8.0).ceil()
        } else {
            0.0
        };
        BLOCKS.get(step as usize).copied().unwrap_or(' ')
    };
    let blocks: String = rates.iter().map(block).collect();
    format!("{blocks:>HISTORY$}")
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyCode;

    use super::super::state::tests::{farm, press, seen};
    use super::super::state::{Input, State};
    use super::*;

    fn screen(state: &mut State, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| {
            (0..width)
                .map(|x| buffer[(x, y)].symbol())
                .collect::<String>()
        };
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn farms_on_a_screen() {
        let mut state = State::default();
        seen(
            &mut state,
            0,
            vec![farm("shop", &[("m1:80", 0, 3), ("m2:80", 0, 0)])],
        );
        seen(
            &mut state,
            1,
            vec![farm("shop", &[("m1:80", 40, 3), ("m2:80", 5, 0)])],
        );
        let screen = screen(&mut state, 130, 6);
        assert_eq!(
            screen[0],
            "1 farms, 2 of 2 members usable, 45.0 req/s, 3 in flight"
        );
        let words: Vec<_> = screen[2].split_whitespace().collect();
        assert_eq!(
            words,
            ["shop", "m1:80", "ok", "1", "40.0", "3", "0.0", "1.5", "█"]
        );
        assert!(screen[1].starts_with("farm▾"));
        assert!(screen[5].starts_with("q quit"));
    }

    #[test]
    fn names_are_whole_and_the_newest_rates_seen_on_a_narrow_screen() {
        let mut state = State::default();
        for turn in 0..40 {
            let elected = turn * (turn + 1) / 2;
            let farms = vec![farm("shop-of-the-week", &[("10.0.0.1:8080", elected, 0)])];
            seen(&mut state, turn, farms);
        }
        let row = &screen(&mut state, 112, 5)[2];
        assert!(row.starts_with("shop-of-the-week 10.0.0.1:8080"), "{row}");
        assert!(row.ends_with('█'), "{row}");
    }

    #[test]
    fn the_selected_row_is_on_the_screen() {
        let mut state = State::default();
        let names: Vec<String> = (0..1000).map(|n| format!("m{n:03}")).collect();
        let members: Vec<_> = names.iter().map(|name| (name.as_str(), 0, 0)).collect();
        seen(&mut state, 0, vec![farm("f", &members)]);
        press(&mut state, KeyCode::End);
        let last = screen(&mut state, 100, 12);
        assert!(
            last[2].contains("m991") && last[10].contains("m999"),
            "{last:?}"
        );
        press(&mut state, KeyCode::Up);
        assert!(
            screen(&mut state, 100, 12)[10].contains("m999"),
            "no need to scroll"
        );
        press(&mut state, KeyCode::Home);
        assert!(screen(&mut state, 100, 12)[2].contains("m000"));
    }

    #[test]
    fn any_size_will_do() {
        let mut state = State::default();
        screen(&mut state, 80, 24);
        seen(&mut state, 0, vec![farm("f", &[("m", 0, 0)])]);
        state.update(Input::Farms(
            Err("gone".to_owned()),
            std::time::Duration::ZERO,
        ));
        press(&mut state, KeyCode::Char('/'));
        for (width, height) in [(1, 1), (3, 2), (20, 3), (300, 100)] {
            screen(&mut state, width, height);
        }
        let shown = screen(&mut state, 100, 5);
        assert!(shown[0].ends_with("gone") && shown[4].starts_with("filter: _"));
    }

    #[test]
    fn sparklines() {
        assert_eq!(sparkline(&[]).trim(), "");
        assert_eq!(sparkline(&[0.0, 4.0, 8.0, 0.1]).trim_start(), "▄█▁");
        assert_eq!(sparkline(&[5.0]).chars().count(), HISTORY);
    }
}
