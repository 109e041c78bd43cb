//! How many requests a member may have when another is added to them: a number, a share of all in
//! its farm, or whichever is less. Whoever adds one keeps to it ([`super::inflight`]).

/// See the module; the other request is counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// So many; `None`: any number.
    pub most: Option<u32>,
    /// A share of the farm's; `None`: any.
    pub share: Option<Share>,
}

impl Limit {
    /// This limit, and so many.
    #[must_use]
    pub fn and(self, most: Option<u32>) -> Self {
        let most = match (self.most, most) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { most, ..self }
    }

    /// What it comes to where the farm has so many.
    pub fn among(self, all: u64) -> Option<u32> {
        self.and(self.share.map(|share| share.of(all))).most
    }
}

impl From<Option<u32>> for Limit {
    fn from(most: Option<u32>) -> Self {
        Self { most, share: None }
    }
}

/// A share of a farm's requests, rounded up: `ceil(balance × all × weight / weights)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    parts: u64,
    whole: u64,
}

impl Share {
    /// `balance` (in hundredths) times the share of a weight among all weights.
    pub fn new(balance: u32, weight: u32, weights: u64) -> Self {
        Self {
            parts: u64::from(balance) * u64::from(weight),
            whole: weights.saturating_mul(100),
        }
    }

    /// How many that is of so many.
    pub fn of(self, all: u64) -> u32 {
        let parts = u128::from(self.parts) * u128::from(all);
        u32::try_from(parts.div_ceil(u128::from(self.whole.max(1)))).unwrap_or(u32::MAX)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_up() {
        // 1.25 times the mean of 20, and a member of double weight.
        for (all, expected) in [(0, 0), (1, 1), (16, 1), (17, 2), (160, 10), (161, 11)] {
            assert_eq!(Share::new(125, 100, 2_000).of(all), expected);
            assert_eq!(Share::new(125, 200, 4_000).of(all), expected);
        }
        assert_eq!(Share::new(u32::MAX, u32::MAX, 0).of(u64::MAX), u32::MAX);
    }

    #[test]
    fn the_lesser_limit_holds() {
        let share = Some(Share::new(100, 100, 200));
        let limit = Limit { most: None, share };
        assert_eq!((limit.among(8), Limit::default().among(8)), (Some(4), None));
        assert_eq!(limit.and(Some(3)).among(8), Some(3));
        assert_eq!(limit.and(Some(9)).and(None).among(8), Some(4));
        assert_eq!(Limit::from(Some(9)).and(Some(2)).among(8), Some(2));
    }
}
