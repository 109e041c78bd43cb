//! `AthQos CLASS priority=N [farm=NAME] [reserve=PERCENT]`: classes of requests. A class says who
//! is served first while requests wait for a place, and how many places others must leave free.

use super::value::{self, Must};
use super::words;
use thiserror::Error;

/// The class of requests that name none, or one that is not declared.
pub const DEFAULT: &str = "default";

/// Longest name of a class, in bytes.
const NAME_MAX: usize = 32;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qos {
    /// The class's name.
    pub class: String,
    /// 1 is served first.
    pub priority: u16,
    /// The farm it holds for; `None`: every farm without a line of its own for this class.
    pub farm: Option<String>,
    /// Share of a member's places that is kept for the class, in percent.
    pub reserve: u8,
}

/// Why a line is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QosError {
    /// No class, or something that cannot be one's name.
    #[error("AthQos {0}: the class {1}")]
    Class(String, Must),
    /// The class has no priority.
    #[error("AthQos {0}: priority=N is missing, a whole number from 1 to 255, 1 is served first")]
    NoPriority(String),
    /// A value that is not allowed.
    #[error("AthQos {class}: {key}={value}: {must}")]
    Value {
        /// The line's class.
        class: String,
        /// The key.
        key: String,
        /// The value as written.
        value: String,
        /// What is allowed.
        must: Must,
    },
    /// A word that is no parameter.
    #[error("AthQos {0}: {1}: must be priority=N, farm=NAME or reserve=PERCENT")]
    Word(String, String),
    /// All classes of a farm together keep more than there is.
    #[error("AthQos: the classes of farm {0} reserve {1} percent together; must be at most 99")]
    Reserved(String, u32),
}

impl Qos {
    /// Reads the arguments of one `AthQos`.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn parse(args: &str) -> Result<Self, QosError> {
        let mut words = words::split(args);
        let first = words.next().unwrap_or_default();
        let class = value::name(&first, NAME_MAX)
            .map_err(|must| QosError::Class(first.into_owned(), must))?;
        let mut line = Self {
            class,
            priority: 0,
            farm: None,
            reserve: 0,
        };
        for word in words {
            line.set(&word)?;
        }
        if line.priority == 0 {
            return Err(QosError::NoPriority(line.class));
        }
        Ok(line)
    }

    fn set(&mut self, word: &str) -> Result<(), QosError> {
        let unknown = || QosError::Word(self.class.clone(), word.to_owned());
        let (key, text) = word.split_once('=').ok_or_else(unknown)?;
        let read = match key.to_ascii_lowercase().as_str() {
            "priority" => value::number(text, 1..=255).map(|n| self.priority = n),
            "reserve" => value::percent(text, 0..=99).map(|n| self.reserve = n),
            "farm" if text.is_empty() => Err("must be the name of a farm".to_owned()),
            "farm" => {
                self.farm = Some(text.to_ascii_lowercase());
                Ok(())
            }
            _ => return Err(unknown()),
        };
        read.map_err(|must| QosError::Value {
            class: self.class.clone(),
            key: key.to_owned(),
            value: text.to_owned(),
            must,
        })
    }
}

/// A class as it holds for one farm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Lower is served first.
    pub priority: u16,
    /// Share of a member's places that its requests must leave free for other classes, in percent.
    pub leaves: u8,
}

/// One of a farm's [`Classes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassId(usize);

/// The classes of one farm. The first is the one of requests that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes(Vec<Class>);

impl Default for Classes {
    /// No class is declared: all requests are equal.
    fn default() -> Self {
        Self(vec![Class::undeclared()])
    }
}

impl Class {
    /// The default class without a line of its own: behind all that have one.
    fn undeclared() -> Self {
        Self {
            name: DEFAULT.to_owned(),
            priority: u16::MAX,
            leaves: 0,
        }
    }
}

impl Classes {
    /// The classes that `lines` declare for a farm. Of the lines for one class, one that names the
    /// farm holds, else the last.
    ///
    /// # Errors
    /// Together they reserve all there is.
    pub fn of(lines: &[Qos], farm: &str) -> Result<Self, QosError> {
        let named = |named| {
            lines
                .iter()
                .filter(move |line| line.farm.as_deref() == named)
        };
        let mut holding: Vec<&Qos> = Vec::new();
        for line in named(None).chain(named(Some(farm))) {
            holding.retain(|earlier| earlier.class != line.class);
            holding.push(line);
        }
        let reserved: u32 = holding.iter().map(|line| u32::from(line.reserve)).sum();
        if reserved > 99 {
            return Err(QosError::Reserved(farm.to_owned(), reserved));
        }
        let leaves = |own: u8| u8::try_from(reserved - u32::from(own)).unwrap_or(99);
        let mut classes = vec![Class {
            leaves: leaves(0),
            ..Class::undeclared()
        }];
        for line in holding {
            let class = Class {
                name: line.class.clone(),
                priority: line.priority,
                leaves: leaves(line.reserve),
            };
            match classes.first_mut() {
                Some(first) if class.name == DEFAULT => *first = class,
                _ => classes.push(class),
            }
        }
        Ok(Self(classes))
    }

    /// There is but one, whatever a request names.
    pub fn is_single(&self) -> bool {
        self.0.len() <= 1
    }

    /// The class of that name, if it is declared.
    pub fn find(&self, name: &[u8]) -> Option<ClassId> {
        let found = self
            .0
            .iter()
            .position(|class| class.name.as_bytes() == name);
        found.map(ClassId)
    }

    /// The class behind an id of this farm.
    pub fn get(&self, id: ClassId) -> Option<&Class> {
        self.0.get(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &str) -> Qos {
        Qos::parse(args).unwrap()
    }

    #[test]
    fn lines() {
        assert_eq!(
            line("gold priority=1 Farm=Shop RESERVE=20"),
            Qos {
                class: "gold".into(),
                priority: 1,
                farm: Some("shop".into()),
                reserve: 20
            }
        );
        let table = [
            ("", "AthQos : the class must be 1 to 32"),
            ("a,b priority=1", "AthQos a,b: the class must be 1 to 32"),
            ("gold", "AthQos gold: priority=N is missing"),
            (
                "gold priority=0",
                "AthQos gold: priority=0: must be a whole number from 1 to 255",
            ),
            (
                "gold priority=256",
                "AthQos gold: priority=256: must be a whole number from 1 to 255",
            ),
            (
                "gold priority=1 reserve=100",
                "AthQos gold: reserve=100: must be a whole percentage from 0 to 99",
            ),
            (
                "gold priority=1 farm=",
                "AthQos gold: farm=: must be the name of a farm",
            ),
            (
                "gold priority=1 fast",
                "AthQos gold: fast: must be priority=N, farm=NAME or reserve=PERCENT",
            ),
            (
                "gold weight=1",
                "AthQos gold: weight=1: must be priority=N, farm=NAME or reserve=PERCENT",
            ),
        ];
        for (args, error) in table {
            let text = Qos::parse(args).unwrap_err().to_string();
            assert!(text.starts_with(error), "{args:?}: {text}");
        }
    }

    #[test]
    fn a_farms_own_line_holds_before_the_general_one() {
        let lines = [
            line("gold priority=3 farm=shop"),
            line("gold priority=1"),
            line("gold priority=2 reserve=10"),
            line("bronze priority=9 farm=other"),
        ];
        let of = |farm| Classes::of(&lines, farm).unwrap();
        let priority = |farm, name: &str| {
            let classes: Classes = of(farm);
            let id = classes.find(name.as_bytes());
            id.map(|id| classes.get(id).unwrap().priority)
        };
        assert_eq!(priority("shop", "gold"), Some(3));
        assert_eq!(priority("other", "gold"), Some(2));
        assert_eq!(priority("shop", "bronze"), None);
        assert_eq!(priority("other", "bronze"), Some(9));
    }

    #[test]
    fn requests_without_a_class_come_last_unless_a_line_says_otherwise() {
        let without = Classes::of(&[line("gold priority=255")], "f").unwrap();
        let nameless = without.get(ClassId::default()).unwrap();
        assert_eq!(nameless.name, DEFAULT);
        assert!(nameless.priority > 255);
        assert_eq!(
            Classes::default().get(ClassId::default()),
            Some(&Class::undeclared())
        );
        let with = Classes::of(&[line("gold priority=9"), line("default priority=3")], "f");
        assert_eq!(with.unwrap().get(ClassId::default()).unwrap().priority, 3);
    }

    #[test]
    fn a_class_leaves_what_the_others_reserve() {
        let lines = [
            line("gold priority=1 reserve=20"),
            line("silver priority=2 reserve=10"),
            line("bronze priority=3"),
        ];
        let classes = Classes::of(&lines, "f").unwrap();
        let leaves = |name: &str| {
            let id = classes.find(name.as_bytes()).unwrap();
            classes.get(id).unwrap().leaves
        };
        let all = ["gold", "silver", "bronze", "default"].map(leaves);
        assert_eq!(all, [10, 20, 30, 30]);

        let lines = [
            line("a priority=1 reserve=60"),
            line("b priority=2 reserve=40"),
        ];
        assert_eq!(
            Classes::of(&lines, "f").unwrap_err().to_string(),
            "AthQos: the classes of farm f reserve 100 percent together; must be at most 99"
        );
    }
}
