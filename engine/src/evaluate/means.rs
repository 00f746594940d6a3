//! A mean and how sure it is, without keeping the numbers.

/// The mean of numbers that come one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    count: u64,
    sum: f64,
    /// Sum of the squared distances from the mean (Welford).
    spread: f64,
}

impl Mean {
    /// One number more.
    pub fn add(&mut self, number: f64) {
        let before = if self.count == 0 { number } else { self.value() };
        self.count += 1;
        self.sum += number;
        self.spread += (number - before) * (number - self.value());
    }

    /// The mean of these numbers and those of `other`.
    pub fn joined(self, other: Self) -> Self {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let count = self.count + other.count;
        let share = self.count as f64 * other.count as f64 / count as f64;
        let apart = (other.value() - self.value()).powi(2) * share;
        Self { count, sum: self.sum + other.sum, spread: self.spread + other.spread + apart }
    }

    /// How many numbers there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; NaN of nothing.
    pub fn value(&self) -> f64 {
        if self.count == 0 { f64::NAN } else { self.sum / self.count as f64 }
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
