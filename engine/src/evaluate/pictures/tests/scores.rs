//! Scores that can be counted by hand.

use super::*;

fn score(name: &str, said: &[(&PictureQuestion, &str)]) -> Scores {
    Benchmark::named(name).unwrap().score(said)
}

/// The accuracy of one text.
fn accuracy(name: &str, answers: &[&str], text: &str) -> f64 {
    row(&score(name, &[(&question("a", "", answers), text)]), "all").1[0]
}

#[test]
fn vqav2_counts_people_who_agree() {
    let mut answers = ["2"; 10];
    assert_eq!(accuracy("vqav2", &answers, "Two."), 100.0);
    // As all ten agree, their answer is not brought into the form of the text.
    assert_eq!(accuracy("vqav2", &["t-shirt"; 10], "t-shirt"), 0.0);
    answers[..8].fill("t-shirt");
    assert_eq!(accuracy("vqav2", &answers, "T-shirt"), 100.0);
    assert_eq!(accuracy("vqav2", &answers, "two"), 60.0);
    answers[9] = "A two ";
    assert_eq!(accuracy("vqav2", &answers, "two"), 60.0);
    let (a, b) = (question("a", "number", &answers), question("b", "other", &["cat"; 10]));
    let scores = score("vqav2", &[(&a, "2"), (&b, "cat"), (&b, "dog")]);
    let names = scores.rows.iter().map(|row| &*row.name).collect::<Vec<_>>();
    assert_eq!(names, ["all", "number", "other"]);
    assert_eq!(row(&scores, "all"), (3, vec![53.33]));
    assert_eq!(row(&scores, "number"), (1, vec![60.0]));
    assert_eq!(row(&scores, "other"), (2, vec![50.0]));
}

#[test]
fn textvqa_brings_all_answers_into_one_form() {
    assert_eq!(accuracy("textvqa", &["t-shirt"; 10], "T-Shirt."), 100.0);
    let mut answers = ["macy's"; 10];
    answers[2..].fill("unknown");
    assert_eq!(accuracy("textvqa", &answers, "Macy's"), 60.0);
}

#[test]
fn gqa_takes_the_very_word() {
    assert_eq!(accuracy("gqa", &["no"], " No.\n"), 100.0);
    assert_eq!(accuracy("gqa", &["no"], "No, it is not."), 0.0);
    let (a, b) = (question("a", "binary", &["no"]), question("a", "open", &["cup"]));
    let scores = score("gqa", &[(&a, "no"), (&b, "mug"), (&b, "Cup")]);
    assert_eq!(row(&scores, "open"), (2, vec![50.0]));
    assert_eq!(row(&scores, "binary"), (1, vec![100.0]));
}

#[test]
fn scienceqa_reads_letters_and_counts_what_has_none() {
    let right =
        ["B", " B\n", "B. rain", "So it rains. The answer is B.", "The answer is B, I think"];
    for text in right {
        assert_eq!(accuracy("scienceqa", &["B"], text), 100.0, "{text}");
    }
    let unread =
        ["b", "B.", "(B)", "rain", "The answer is B", "", "The answer is A. The answer is B."];
    let one = question("a", "natural science", &["B"]);
    for text in unread {
        let scores = score("scienceqa", &[(&one, text)]);
        assert_eq!(row(&scores, "natural science"), (1, vec![0.0, 100.0]), "{text}");
    }
    let scores = score("scienceqa", &[(&one, "A"), (&one, "B"), (&one, "F"), (&one, "C")]);
    assert_eq!(row(&scores, "all"), (4, vec![25.0, 25.0]));
}

#[test]
fn pope_counts_hits_and_false_alarms() {
    let (yes, no) = (question("a", "random", &["yes"]), question("a", "random", &["no"]));
    let hard = question("a", "adversarial", &["yes"]);
    let mut said = vec![
        (&yes, "Yes"),
        (&yes, "There is a cat. I see no dog."), // only the first sentence counts
        (&yes, "No, there is not"),
        (&no, "No"),
        (&no, "no."),
        (&no, "it does not"),
        (&no, "NO"), // the official words are No, no, not
    ];
    let scores = score("pope", &said);
    // hits 2, misses 1, rejected 3, false alarms 1
    let random = vec![71.43, 66.67, 66.67, 66.67, 42.86];
    assert_eq!(row(&scores, "random"), (7, random));
    said.push((&hard, "yes"));
    let scores = score("pope", &said);
    assert_eq!(scores.rows[0].name, "adversarial");
    assert_eq!(row(&scores, "mean"), (8, vec![85.71, 83.33, 83.33, 83.33, 71.43]));
    let scores = score("pope", &[(&hard, "no")]);
    assert!(scores.rows[0].figures[1].is_nan() && scores.rows[0].figures[3].is_nan());
}

#[test]
fn mme_adds_pictures_with_both_right() {
    let of = |image: &str, category: &str| {
        ["yes", "no"].map(|answer| question(image, category, &[answer]))
    };
    let ([a, b], [c, d]) = (of("1.png", "count"), of("2.png", "count"));
    let [e, f] = of("3.png", "code_reasoning");
    let [g, h] = of("4.png", "OCR");
    let said = [
        (&a, "Yes, two."),
        (&c, "yes"),
        (&b, "no"),
        (&d, "A no"), // the first four letters
        (&e, "Yes"),
        (&f, "It is not"), // neither
        (&g, "no"),
        (&h, "yes"),
    ];
    let scores = score("mme", &said);
    let names = scores.rows.iter().map(|row| &*row.name).collect::<Vec<_>>();
    assert_eq!(names, ["count", "OCR", "code_reasoning", "perception", "cognition"]);
    assert_eq!(row(&scores, "count"), (4, vec![100.0, 100.0, 200.0]));
    assert_eq!(row(&scores, "OCR"), (2, vec![0.0, 0.0, 0.0]));
    assert_eq!(row(&scores, "code_reasoning"), (2, vec![50.0, 0.0, 50.0]));
    assert_eq!(row(&scores, "perception"), (6, vec![100.0, 100.0, 200.0]));
    // A picture with one answer only is no pair.
    let scores = score("mme", &[(&a, "yes"), (&c, "yes"), (&d, "yes")]);
    assert_eq!(row(&scores, "count"), (3, vec![66.67, 0.0, 66.67]));
}

#[test]
fn a_table_becomes_json() {
    let scores = score("gqa", &[(&question("a", "", &["no"]), "no")]);
    let json = serde_json::to_string(&scores).unwrap();
    assert_eq!(
        json,
        r#"{"columns":["accuracy"],"rows":[{"name":"all","count":1,"figures":[100.0]}]}"#
    );
}
