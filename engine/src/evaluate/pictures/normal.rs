//! Two texts as one answer: what the official evaluations take away before they compare.

/// What the VQA evaluation takes for punctuation; periods and apostrophes are another matter.
const PUNCTUATION: &str = ";/[]\"{}()=+\\_-><@`,?!";

const NUMBERS: [(&str, &str); 12] = [
    ("none", "0"),
    ("zero", "0"),
    ("one", "1"),
    ("two", "2"),
    ("three", "3"),
    ("four", "4"),
    ("five", "5"),
    ("six", "6"),
    ("seven", "7"),
    ("eight", "8"),
    ("nine", "9"),
    ("ten", "10"),
];

/// The official table has each of these with one apostrophe left out. The rest of that table is out
/// of reach, as it is in capitals, or changes nothing; but for `somebody'd`, which loses its own.
const CONTRACTIONS: &str = "\
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't \
    haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't \
    mightn't've might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've \
    should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've \
    someone'll someone's something'd something'd've something'll that's there'd there'd've \
    there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't \
    what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's \
    who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd \
    you'd've you'll you're you've";

/// As the VQA evaluation compares answers.
pub fn plain(text: &str) -> String {
    let text = without_punctuation(text);
    let number =
        |word: &str| NUMBERS.iter().find(|(name, _)| *name == word).map(|(_, digit)| *digit);
    let text = text.to_lowercase();
    let words = text.split_whitespace().map(|word| number(word).unwrap_or(word));
    let words = words.filter(|word| !["a", "an", "the"].contains(word));
    words.map(|word| contraction(word).unwrap_or(word)).collect::<Vec<_>>().join(" ")
}

/// As answers are handed in to the servers, and as TextVQA compares them: a `'s` becomes a word.
pub fn handed_in(text: &str) -> String {
    let text = text.to_lowercase().replace([',', '?'], "").replace("'s", " 's");
    plain(&in_one_line(&text))
}

/// The text without line breaks and tabulators.
pub fn in_one_line(text: &str) -> String {
    text.replace(['\n', '\t'], " ").trim().into()
}

/// Punctuation becomes a blank; it vanishes where a blank is beside it somewhere, or where digits
/// have a comma between them. A period vanishes unless a digit follows.
fn without_punctuation(text: &str) -> String {
    let bytes = text.as_bytes();
    let in_number = |three: &[u8]| matches!(three, [b'0'..=b'9', b',', b'0'..=b'9']);
    let numbers = bytes.windows(3).any(in_number);
    let beside_blank = |mark: char| {
        let mark = mark as u8;
        bytes.windows(2).any(|two| two == [mark, b' '] || two == [b' ', mark])
    };
    let marks = PUNCTUATION.chars();
    let vanishing: String = marks.filter(|&mark| numbers || beside_blank(mark)).collect();
    let mut clean = text.to_string();
    clean.retain(|letter| !vanishing.contains(letter));
    without_periods(&clean.replace(|letter| PUNCTUATION.contains(letter), " "))
}

/// The official code hands a flag over where the number of replacements belongs; so no more than 32
/// periods vanish.
fn without_periods(text: &str) -> String {
    let mut left = 32;
    let mut letters = text.chars().peekable();
    let mut clean = String::new();
    while let Some(letter) = letters.next() {
        let digit = letters.peek().is_some_and(char::is_ascii_digit);
        if letter == '.' && !digit && left > 0 {
            left -= 1;
        } else {
            clean.push(letter);
        }
    }
    clean
}

/// How a word is written that lacks an apostrophe.
fn contraction(word: &str) -> Option<&'static str> {
    let lacks_one = |full: &&str| {
        let mut places = full.match_indices('\'');
        places.any(|(at, _)| word.strip_prefix(&full[..at]) == Some(&full[at + 1..]))
    };
    if word == "somebody'd" {
        return Some("somebodyd");
    }
    CONTRACTIONS.split(' ').find(lacks_one)
}

/// Of ten people, how many say this: all is well from three on, each in turn left out, so that
/// people can be measured in the same way.
pub fn agreement(said: &str, answers: &[String]) -> f64 {
    let same = answers.iter().filter(|answer| *answer == said).count() as f64;
    let all = answers.len() as f64;
    let (without_one, without_other) = ((same - 1.0).clamp(0.0, 3.0) / 3.0, same.min(3.0) / 3.0);
    (same * without_one + (all - same) * without_other) / all
}
