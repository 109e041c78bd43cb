use super::super::Report;
use super::*;
use proptest::prelude::*;

const NOW: Micros = 1_000_000;
const HALF_LIFE: Micros = 10_000_000;

fn push(member: &MemberRecord, score: &Score, pairs: &[(&str, &str)]) {
    let mut report = Report::default();
    for (name, value) in pairs {
        report.add(name, value).unwrap();
    }
    report.push(&member.stats, NOW, || Some(())).unwrap();
    score.keep(&member.stats);
}

fn score(formula: &str) -> Score {
    Score::read(formula).unwrap()
}

fn of(score: &Score, member: &MemberRecord) -> Option<f64> {
    score.of(member, NOW, HALF_LIFE)
}

#[test]
fn a_formula_over_statistics_is_kept_with_each_push() {
    let member = MemberRecord::default();
    let score = score("0.7*load + queue/100");
    assert_eq!(of(&score, &member), None);
    push(&member, &score, &[("load", "2")]);
    assert_eq!(of(&score, &member), None, "the queue is not known yet");
    push(&member, &score, &[("queue", "60"), ("other", "1")]);
    assert_eq!(of(&score, &member), Some(2.0));
    push(&member, &score, &[("load", "0"), ("queue", "0")]);
    assert_eq!(of(&score, &member), Some(0.0));
}

#[test]
fn what_the_farm_measures_is_read_at_the_choice() {
    let member = MemberRecord::default();
    member.admin.weight.store(250, Ordering::Relaxed);
    let score = score("inflight + 10*errors + 100*weight + ewma_ms - load");
    push(&member, &score, &[("load", "1"), ("weight", "77")]);
    assert_eq!(of(&score, &member), Some(249.0));
    member.hot.inflight.0.store(3, Ordering::Relaxed);
    member.health.streak.store(2, Ordering::Relaxed);
    ewma::observe(&member.hot, 4000.0, NOW, HALF_LIFE);
    assert_eq!(of(&score, &member), Some(276.0));
}

#[test]
fn what_is_not_finite_is_no_score() {
    let member = MemberRecord::default();
    let score = score("1/load");
    push(&member, &score, &[("load", "0")]);
    assert_eq!(of(&score, &member), None);
    push(&member, &score, &[("load", "4")]);
    assert_eq!(of(&score, &member), Some(0.25));
    for damaged in [f64::NAN, f64::INFINITY] {
        let kept = &member.stats.score;
        kept.store(damaged.to_bits(), Ordering::Relaxed);
        assert_eq!(of(&score, &member), None);
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let name = "n".repeat(33);
    let huge = "9".repeat(400);
    let [many, deep, signs] = ["1+", "(", "-"].map(|part| part.repeat(33));
    let table = [
        ("", 1, "a name, a number or '(' must stand"),
        ("aa +", 5, "a name, a number or '(' must stand"),
        ("aa ++ bb", 5, "a name, a number or '(' must stand"),
        ("aa bb", 4, "an operator must stand: + - * /"),
        ("2aa", 2, "an operator must stand: + - * /"),
        ("1e3", 2, "an operator must stand: + - * /"),
        ("max(aa,bb)", 4, "an operator must stand: + - * /"),
        ("aa # bb", 4, "an operator must stand: + - * /"),
        ("aa)", 3, "an operator must stand: + - * /"),
        ("aa\tbb", 3, "an operator must stand: + - * /"),
        ("{aa}", 1, "a name, a number or '(' must stand"),
        ("()", 2, "a name, a number or '(' must stand"),
        ("ä", 1, "a name, a number or '(' must stand"),
        ("(aa", 4, "an operator or ')' must stand"),
        ("1.2.3", 1, "1.2.3 is no number"),
        (&huge, 1, "999"),
        (&name, 1, "\"nnn"),
        (
            "load + q",
            8,
            "\"q\": a statistic's name has 2 to 32 letters",
        ),
        ("agent", 1, "\"agent\": a statistic's name"),
        ("load + Unset", 8, "unset must stand alone"),
        (&many, 65, "it has more than 32 names and numbers"),
        (&deep, 33, "it is nested too deeply"),
        (&signs, 33, "it is nested too deeply"),
    ];
    for (text, at, wrong) in table {
        let told = Score::read(text).unwrap_err();
        let expected = format!("; at position {at} {wrong}");
        assert!(told.contains(&expected), "{text}: {told}");
    }
}

/// Threads that push different statistics of one member at a time: the score kept last is that of
/// all of them.
#[test]
fn the_score_kept_last_is_of_all_that_was_pushed() {
    let score = score("aa + 1000*bb");
    for _ in 0..200 {
        let member = MemberRecord::default();
        push(&member, &score, &[("aa", "0"), ("bb", "0")]);
        std::thread::scope(|scope| {
            for name in ["aa", "bb"] {
                let (member, score) = (&member, &score);
                scope.spawn(move || {
                    for value in 1..=9 {
                        push(member, score, &[(name, &value.to_string())]);
                    }
                });
            }
        });
        assert_eq!(of(&score, &member), Some(9009.0));
    }
}

/// A formula as a tree, written with random blanks and needless parentheses.
#[derive(Clone, Debug)]
enum Tree {
    Number(u16),
    Name(usize),
    Minus(Box<Tree>),
    Pair(char, Box<Tree>, Box<Tree>),
}

const NAMES: [&str; 3] = ["aa", "b_2", "inflight_max"];

impl Tree {
    fn value(&self, values: [f64; 3]) -> f64 {
        match self {
            Self::Number(number) => f64::from(*number) / 8.0,
            Self::Name(index) => values[*index],
            Self::Minus(tree) => -tree.value(values),
            Self::Pair(operator, left, right) => {
                let (left, right) = (left.value(values), right.value(values));
                match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        }
    }

    /// `binds`: how strongly what is around it binds.
    fn write(&self, binds: u8) -> String {
        let (own, text) = match self {
            Self::Number(number) => (9, format!("{}", f64::from(*number) / 8.0)),
            Self::Name(index) => (9, NAMES[*index].to_owned()),
            Self::Minus(tree) => (9, format!("-{}", tree.write(9))),
            Self::Pair(operator, left, right) => {
                let own = if "+-".contains(*operator) { 1 } else { 3 };
                let text = format!("{}{operator} {}", left.write(own), right.write(own + 1));
                (own, text)
            }
        };
        if own < binds {
            format!("( {text})")
        } else {
            text
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        any::<u16>().prop_map(Tree::Number),
        (0..3_usize).prop_map(Tree::Name),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let pair = ("[-+*/]", inner.clone(), inner.clone());
        prop_oneof![
            3 => pair.prop_map(|(operator, left, right)| {
                let operator = operator.chars().next().unwrap_or('+');
                Tree::Pair(operator, Box::new(left), Box::new(right))
            }),
            1 => inner.prop_map(|tree| Tree::Minus(Box::new(tree))),
        ]
    })
}

proptest! {
    #![proptest_config(crate::testing::seeded())]

    #[test]
    fn formulas_mean_what_arithmetic_says(
        tree in tree(),
        values in prop::array::uniform3(-100_i16..100),
    ) {
        let text = tree.write(0);
        let score = Score::read(&text).map_err(|told| TestCaseError::fail(format!("{text}: {told}")))?;
        let member = MemberRecord::default();
        let texts = values.map(|value| value.to_string());
        let pairs: Vec<_> = NAMES.iter().zip(&texts).map(|(name, text)| (*name, text.as_str())).collect();
        push(&member, &score, &pairs);
        let expected = tree.value(values.map(f64::from));
        match of(&score, &member) {
            Some(found) => {
                let near = (found - expected).abs() <= 1e-9 * expected.abs().max(1.0);
                prop_assert!(near, "{}: {} not {}", text, found, expected);
            }
            None => prop_assert!(!expected.is_finite(), "{}", text),
        }
    }

    #[test]
    fn any_text_is_refused_or_compiled(text in "[-+*/(). a-c0-9_{},^#ä]{0,40}") {
        if let Ok(score) = Score::read(&text) {
            of(&score, &MemberRecord::default());
        }
    }
}
