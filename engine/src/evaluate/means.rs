//! A mean and how sure it is, without keeping the numbers.

/// The mean of numbers that come one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    count: u64,
    mean: f64,
    /// Sum of the squared distances from the mean (Welford).
    spread: f64,
}

impl Mean {
    /// One number more.
    pub fn add(&mut self, number: f64) {
        self.count += 1;
        let before = number - self.mean;
        if !before.is_finite() {
            return self.set_infinite(self.mean + number);
        }
        self.mean += before / self.count as f64;
        self.spread += before * (number - self.mean);
    }

    /// The mean of these numbers and those of `other`.
    pub fn joined(self, other: Self) -> Self {
        let count = self.count + other.count;
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let (share, apart) = (other.count as f64 / count as f64, other.mean - self.mean);
        let spread = self.spread + other.spread + apart * apart * share * self.count as f64;
        let mut joined = Self { count, mean: self.mean + apart * share, spread };
        if !apart.is_finite() {
            joined.set_infinite(self.mean + other.mean);
        }
        joined
    }

    /// From here on nobody can say how sure the mean is.
    fn set_infinite(&mut self, mean: f64) {
        (self.mean, self.spread) = (mean, f64::NAN);
    }

    /// How many numbers there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; NaN of nothing.
    pub fn value(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.mean }
    }

    /// The standard error of the mean, taking the numbers as independent; NaN of less than two.
    pub fn standard_error(&self) -> f64 {
        let count = self.count as f64;
        if self.count < 2 { f64::NAN } else { (self.spread / (count - 1.0) / count).sqrt() }
    }
}

impl FromIterator<f64> for Mean {
    fn from_iter<I: IntoIterator<Item = f64>>(numbers: I) -> Self {
        let mut mean = Self::default();
        numbers.into_iter().for_each(|number| mean.add(number));
        mean
    }
}

/// Of yes and no: the share of yes.
impl FromIterator<bool> for Mean {
    fn from_iter<I: IntoIterator<Item = bool>>(answers: I) -> Self {
        answers.into_iter().map(|yes| f64::from(u8::from(yes))).collect()
    }
}
