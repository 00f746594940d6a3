//! What a state has been through: tokens read and edits made.

/// Edits that are kept word for word; of more, the oldest are only counted.
const KEPT: usize = 32;

/// The history of a state. It does not take part in comparisons: numbers alone make states equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Tokens read since the empty state.
    pub tokens: u64,
    /// What was done besides reading, oldest first, and how often in a row.
    edits: Vec<(String, usize)>,
    /// Edits before those.
    forgotten: usize,
}

impl Past {
    /// A history as a file tells it.
    pub fn told(tokens: u64, edits: Vec<String>) -> Self {
        let mut past = Self { tokens, ..Self::default() };
        edits.iter().for_each(|edit| past.edit(edit));
        past
    }

    /// Notes an edit; the same one again is counted.
    pub fn edit(&mut self, what: &str) {
        match self.edits.last_mut() {
            Some((last, times)) if last == what => *times += 1,
            _ => self.edits.push((what.to_string(), 1)),
        }
        if self.edits.len() > KEPT {
            self.forgotten += self.edits.remove(0).1;
        }
    }

    /// The edits in words, oldest first: `set wkv of layer 1 (3 times)`.
    pub fn edits(&self) -> Vec<String> {
        let earlier = (self.forgotten > 0).then(|| format!("{} earlier edits", self.forgotten));
        let words = |(what, times): &(String, usize)| match times {
            1 => what.clone(),
            times => format!("{what} ({times} times)"),
        };
        earlier.into_iter().chain(self.edits.iter().map(words)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_edits_are_counted_and_old_ones_forgotten() {
        let mut past = Past::default();
        ["scale", "scale", "set"].iter().for_each(|what| past.edit(what));
        assert_eq!(past.edits(), ["scale (2 times)", "set"]);
        (0..KEPT).for_each(|i| past.edit(&i.to_string()));
        assert_eq!(past.edits()[..2], ["3 earlier edits".to_string(), "0".to_string()]);
        assert_eq!(Past::told(3, past.edits()).edits().last(), past.edits().last());
    }
}
