//! What the official code makes of answers; it was run on each of these.

use super::super::normal::*;

#[test]
fn answers_of_vqa_are_brought_into_one_form() {
    let cases = [
        ("The Two dogs!", "2 dogs"),
        ("A man, an apple and the sea", "man apple and sea"),
        ("None", "0"),
        ("ten", "10"),
        ("twelve", "twelve"),
        // A blank beside a mark anywhere takes this mark out everywhere, else it becomes a blank.
        ("t-shirt", "t shirt"),
        ("t-shirt - red", "tshirt red"),
        ("yes/no", "yes no"),
        // A comma between digits takes out all marks.
        ("1,000", "1000"),
        ("1,000 t-shirts/caps", "1000 tshirtscaps"),
        // A period stays only before a digit.
        ("3.5", "3.5"),
        (".5 m.", ".5 m"),
        ("u.s.a.", "usa"),
        ("10:30", "10:30"),
        ("it's", "it's"),
        ("dont", "don't"),
        ("Wont", "won't"),
        ("couldnt've couldn'tve", "couldn't've couldn't've"),
        ("somebody'd", "somebodyd"),
        ("im ive lets shes", "im ive lets shes"),
        ("'ow'sat twas yall'll", "'ow's'at 'twas y'all'll"),
        ("the", ""),
    ];
    for (text, wanted) in cases {
        assert_eq!(plain(text), wanted, "{text}");
    }
    // 32 periods go, the others stay.
    assert_eq!(plain(&"a.".repeat(34)), format!("{}a.a.", "a".repeat(32)));
}

#[test]
fn answers_are_handed_in_in_their_own_form() {
    let cases = [
        ("Yes.", "yes"),
        ("1,000", "1000"),
        ("1,000 t-shirts", "1000 t shirts"),
        ("The woman's hat", "woman 's hat"),
        ("what?\tno\n", "what no"),
        ("red, white", "red white"),
        ("one-two", "1 2"),
        ("a cant", "can't"),
    ];
    for (text, wanted) in cases {
        assert_eq!(handed_in(text), wanted, "{text}");
    }
}

#[test]
fn agreement_is_the_mean_over_nine_of_ten() {
    for (same, wanted) in [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)] {
        let answers: Vec<String> =
            (0..10).map(|at| if at < same { "a" } else { "b" }.into()).collect();
        assert!((agreement("a", &answers) - wanted).abs() < 1e-12, "{same}");
    }
    // By hand: of three answers one is the same: nobody else, one else, one else, of three each.
    let answers = ["a", "b", "c"].map(String::from);
    assert!((agreement("a", &answers) - 2.0 / 9.0).abs() < 1e-12);
}
