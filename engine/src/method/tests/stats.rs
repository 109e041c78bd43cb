//! `stats`: scores decide, ties rotate.

use super::*;
use crate::stats::Report;

impl Farm {
    fn scored(weights: &[u32], formula: &str) -> Self {
        Self {
            score: Some(Score::read(formula).unwrap()),
            ..Self::new(weights)
        }
    }

    fn push(&self, position: usize, name: &str, value: f64) {
        let stats = &self.members[position].stats;
        let mut report = Report::default();
        report.add(name, &value.to_string()).unwrap();
        report.push(stats, NOW, || Some(())).unwrap();
        self.score.as_ref().unwrap().keep(stats);
    }
}

#[test]
fn the_lowest_score_wins_and_an_update_moves_the_choice() {
    let farm = Farm::scored(&[100; 4], "0.7*load + queue/100");
    for (position, load) in [0.9, 0.2, 0.5, 0.3].into_iter().enumerate() {
        farm.push(position, "load", load);
        farm.push(position, "queue", 12.0);
    }
    assert_eq!(farm.shares("stats", 50), [0, 50, 0, 0]);
    farm.push(1, "queue", 20.0);
    assert_eq!(farm.shares("stats", 50), [0, 0, 0, 50]);
    farm.tried(&[3]);
    assert_eq!(farm.pick("stats"), Some(1));
}

#[test]
fn ties_share_exactly_by_weight_whoever_stands_between_them() {
    let farm = Farm::scored(&[100, 400, 300, 100], "load");
    for (position, load) in [0.5, 0.9, 0.5, 0.7].into_iter().enumerate() {
        farm.push(position, "load", load);
    }
    assert_eq!(farm.shares("stats", 400), [100, 0, 300, 0]);
}

#[test]
fn members_without_a_score_come_last_and_take_turns() {
    let farm = Farm::scored(&[100, 200, 100], "load");
    assert_eq!(farm.shares("stats", 400), [100, 200, 100]);
    farm.push(2, "load", 1e9);
    farm.push(1, "queue", 0.0);
    assert_eq!(farm.shares("stats", 10), [0, 0, 10]);
    farm.tried(&[2]);
    assert_eq!(farm.shares("stats", 300), [100, 200, 0]);
}

#[test]
fn measurements_count_at_once() {
    let farm = Farm::scored(&[100; 3], "inflight + load");
    for position in 0..3 {
        farm.push(position, "load", 0.0);
    }
    farm.busy(&[2, 1, 3]);
    assert_eq!(farm.pick("stats"), Some(1));
    farm.push(0, "load", -5.0);
    assert_eq!(farm.pick("stats"), Some(0));
}

#[test]
fn without_a_formula_all_take_turns() {
    let farm = Farm::new(&[100, 300]);
    assert_eq!(farm.shares("stats", 400), [100, 300]);
}
