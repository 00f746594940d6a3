//! Stop strings in streamed text: what could become one is held back until it is decided.

/// Watches a stream of text for strings that end it.
#[derive(Clone, Debug)]
pub struct Stop {
    strings: Vec<String>,
    /// The end of the text so far that may be the start of a stop string.
    held: String,
    stopped: bool,
}

impl Stop {
    /// Watches for these strings; empty ones are ignored, none means nothing stops.
    pub fn new(mut strings: Vec<String>) -> Self {
        strings.retain(|string| !string.is_empty());
        Self { strings, held: String::new(), stopped: false }
    }

    /// Takes more text and returns what is safe to show, and whether a stop string is complete.
    ///
    /// The string that is complete first decides, whatever the sizes of the pieces; it is not shown,
    /// nor is anything after it.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        if self.stopped {
            return (String::new(), true);
        }
        self.held.push_str(text);
        if let Some(start) = self.found() {
            self.stopped = true;
            self.held.truncate(start);
            return (std::mem::take(&mut self.held), true);
        }
        let tail = self.held.split_off(self.held.len() - self.undecided());
        (std::mem::replace(&mut self.held, tail), false)
    }

    /// Ends the stream and returns what was still held back.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string that ends first starts; of two with the same end, the longer one.
    fn found(&self) -> Option<usize> {
        let places = self.strings.iter().filter_map(|string| {
            let start = self.held.find(string)?;
            Some((start + string.len(), start))
        });
        places.min().map(|(_, start)| start)
    }

    /// The length of the longest end of the held text that begins a stop string.
    fn undecided(&self) -> usize {
        let beginnings = self
            .strings
            .iter()
            .flat_map(|string| string.char_indices().map(|(length, _)| &string[..length]));
        let ends = beginnings.filter(|beginning| self.held.ends_with(beginning));
        ends.map(str::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Stop;

    /// Feeds pieces until one stops; what was shown and whether it stopped.
    fn run(strings: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut stop = Stop::new(strings.iter().map(|s| s.to_string()).collect());
        let mut shown = String::new();
        for piece in pieces {
            let (text, stopped) = stop.push(piece);
            shown.push_str(&text);
            if stopped {
                return (shown + &stop.finish(), true);
            }
        }
        (shown + &stop.finish(), false)
    }

    #[test]
    fn holds_back_only_what_may_become_a_stop() {
        let mut stop = Stop::new(vec!["\n\nUser:".into()]);
        assert_eq!(stop.push("Hi.\n"), ("Hi.".into(), false));
        assert_eq!(stop.push("\nUs"), (String::new(), false));
        assert_eq!(stop.push("ed"), ("\n\nUsed".into(), false));
        assert_eq!(stop.push(" it\n\n\nUser"), (" it\n".into(), false));
        assert_eq!(stop.push(": next"), (String::new(), true));
        assert_eq!(stop.push("more"), (String::new(), true), "after the end nothing is shown");
        assert_eq!(stop.finish(), "");
    }

    #[test]
    fn gives_back_a_beginning_that_never_ended() {
        assert_eq!(run(&["\n\n"], &["a\n"]), ("a\n".into(), false));
        assert_eq!(run(&[], &["a", "b"]), ("ab".into(), false));
        assert_eq!(run(&[""], &["a", "b"]), ("ab".into(), false));
    }

    #[test]
    fn the_string_complete_first_decides() {
        assert_eq!(run(&["abc", "b"], &["xabc"]), ("xa".into(), true));
        assert_eq!(run(&["b", "ab"], &["xab"]), ("x".into(), true), "same end: the longer one");
        assert_eq!(run(&["aab"], &["aaab"]), ("a".into(), true), "a second start inside the first");
    }

    #[test]
    fn the_cut_into_pieces_does_not_matter() {
        let text = "añb日日\n\nUser: xab";
        for strings in [vec!["\n\n", "日\n"], vec!["日日日", "User:"], vec!["xa", "ab"], vec!["q"]]
        {
            let whole = run(&strings, &[text]);
            for cut in text.char_indices().map(|(at, _)| at) {
                assert_eq!(
                    run(&strings, &[&text[..cut], &text[cut..]]),
                    whole,
                    "{strings:?} {cut}"
                );
            }
            let letters: Vec<String> = text.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            assert_eq!(run(&strings, &letters), whole, "{strings:?}");
        }
    }
}
