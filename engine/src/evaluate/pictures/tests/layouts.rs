//! The official layouts, and what is wrong with files.

use super::*;

const VQA: &str = r#"{"data_subtype": "val2014", "questions": [
    {"image_id": 42, "question": "What color is the cat?", "question_id": 42000},
    {"image_id": 42, "question": "Is it asleep?", "question_id": 42001}]}"#;

const VQA_ANSWERS: &str = r#"{"annotations": [{"question_id": 42000, "answer_type": "other",
    "answers": [{"answer": "black", "answer_id": 1}, {"answer": "dark", "answer_id": 2}]}]}"#;

#[test]
fn vqav2_takes_the_answers_from_the_annotations() {
    let folder = Folder::new("vqav2");
    let (questions, answers) = (folder.file("q.json", VQA), folder.file("a.json", VQA_ANSWERS));
    let (found, skips) = read("vqav2", questions.clone(), Some(answers)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].image, "COCO_val2014_000000000042.jpg");
    let prompt = "What color is the cat?\nAnswer the question using a single word or phrase.";
    assert_eq!((&*found[0].prompt, &*found[0].category), (prompt, "other"));
    assert_eq!(
        (&*found[0].id, &found[0].answers[..]),
        ("42000", &["black", "dark"].map(String::from)[..])
    );
    assert_eq!(skips.words(), "1 without an answer");
    let told = refused("vqav2", questions, None);
    assert!(told.contains("q.json has no answers; give the official file"), "{told}");
}

#[test]
fn failures_name_the_file_and_the_item() {
    let folder = Folder::new("failures");
    let broken = folder.file("q.json", &VQA.replacen("\"question\": \"Is", "\"text\": \"Is", 1));
    let answers = folder.file("a.json", VQA_ANSWERS);
    let told = refused("vqav2", broken, Some(answers.clone()));
    assert!(told.contains("q.json must have data_subtype and questions"), "{told}");
    assert!(told.contains("item 2: missing field `question` at line 3"), "{told}");
    let cut = folder.file("cut.json", &VQA[..120]);
    assert!(refused("vqav2", cut, Some(answers)).contains("item 1: EOF while parsing"));
    let gqa = folder.file("gqa.json", r#"{"7": {"question": "?", "imageId": [], "answer": "no"}}"#);
    let told = refused("gqa", gqa, None);
    assert!(told.contains("7: an id must be a number or a text"), "{told}");
    let problems = r#"{"5": {"question": "?", "choices": ["x"], "answer": 1, "image": null}}"#;
    let told = refused("scienceqa", folder.file("p.json", problems), None);
    assert!(told.contains("problem 5: 1 is none of 1 choices, counted from 0"), "{told}");
    let texts = r#"{"question_id": 1, "image_id": "x", "question": "?", "answers": ["a"]}"#;
    let texts = format!(r#"{{"data": [{texts}]}}"#);
    let told = refused("textvqa", folder.file("t.json", &texts), None);
    assert!(told.contains("item 1 has 1 answers, but accuracy is defined for ten"), "{told}");
}

#[test]
fn failures_name_the_line() {
    let folder = Folder::new("lines-told");
    let pope = r#"{"question_id": 1, "image": "a.jpg", "text": "?", "label": "maybe"}"#;
    let told = refused("pope", folder.file("pope.json", pope), None);
    assert!(told.contains("pope.json:1: a label is yes or no, not maybe"), "{told}");
    let mme = folder.file("mme/count/1.txt", "Is there one?Yes");
    folder.file("mme/count/1.png", "");
    let told = refused("mme", mme.ancestors().nth(2).unwrap().into(), None);
    assert!(told.contains("1.txt:1 must have a question, a tabulator and Yes or No"), "{told}");
    let told = refused("mme", folder.0.join("nowhere"), None);
    assert!(told.contains("cannot read") && told.contains("nowhere"), "{told}");
    let told = format!("{:#}", Benchmark::named("vqa").err().unwrap());
    assert_eq!(
        told,
        "there is no benchmark `vqa`; there are vqav2, gqa, scienceqa, textvqa, pope, mme"
    );
}

#[test]
fn gqa_keeps_the_balanced_questions() {
    let folder = Folder::new("gqa");
    let path = folder.file(
        "gqa.json",
        r#"{"201": {"question": "Is it red?", "imageId": "n1", "answer": "no", "isBalanced": true,
                    "types": {"structural": "verify"}},
            "202": {"question": "Which?", "imageId": "n1", "answer": "blue", "isBalanced": false},
            "203": {"question": "What is it?", "imageId": "24", "answer": "cup",
                    "types": {"structural": "query"}}}"#,
    );
    let (found, skips) = read("gqa", path, None).unwrap();
    let told = found.iter().map(|one| [&*one.id, &one.image, &one.answers[0], &one.category]);
    let told = told.collect::<Vec<_>>();
    assert_eq!(told, [["201", "n1.jpg", "no", "binary"], ["203", "24.jpg", "cup", "open"]]);
    assert_eq!(skips.words(), "1 outside the balanced set");
}

const PROBLEMS: &str = r#"{
    "5": {"question": "Which is wet?", "choices": ["sand", "rain"], "answer": 1, "hint": "",
          "image": "image.png", "subject": "natural science", "split": "test"},
    "6": {"question": "Which?", "choices": ["a", "b"], "answer": 0, "hint": "Look.",
          "image": "image.png", "subject": "social science", "split": "val"},
    "7": {"question": "Which?", "choices": ["a"], "answer": 0, "image": null, "split": "test"}}"#;

#[test]
fn scienceqa_lists_choices_under_letters() {
    let folder = Folder::new("scienceqa");
    let questions = folder.file("problems.json", PROBLEMS);
    let (found, skips) = read("scienceqa", questions.clone(), None).unwrap();
    assert_eq!((found.len(), skips.words()), (1, "1 without a picture".into()));
    let prompt = "Which is wet?\nA. sand\nB. rain\n\
                  Answer with the option's letter from the given choices directly.";
    assert_eq!((&*found[0].prompt, &*found[0].image), (prompt, "test/5/image.png"));
    assert_eq!((&*found[0].answers[0], &*found[0].category), ("B", "natural science"));
    folder.file("pid_splits.json", r#"{"minival": ["6"]}"#);
    let split = Some("minival".into());
    let files = Files { questions: questions.clone(), split, ..Files::default() };
    let (found, _) = Benchmark::named("scienceqa").unwrap().questions(&files).unwrap();
    assert_eq!((found.len(), &*found[0].image), (1, "val/6/image.png"));
    assert!(found[0].prompt.starts_with("Context: Look.\nWhich?\nA. a\n"));
    assert!(refused("scienceqa", questions, None).contains("pid_splits.json has no split `test`"));
}

#[test]
fn pope_is_a_file_or_a_folder() {
    let folder = Folder::new("pope");
    let line = r#"{"question_id": 0, "image": "c.jpg", "text": "Is there a cat?", "label": "yes"}"#;
    folder.file("coco_pope_random.json", line);
    let one = folder.file("coco_pope_popular.json", &line.replace("yes", "no"));
    folder.file("coco_co_occur.json", "{}");
    let (found, _) = read("pope", folder.0.clone(), None).unwrap();
    let told = found.iter().map(|one| (&*one.id, &*one.category, &*one.answers[0]));
    let told = told.collect::<Vec<_>>();
    assert_eq!(told, [("popular/0", "popular", "no"), ("random/0", "random", "yes")]);
    assert!(found[0].prompt.starts_with("Is there a cat?\nAnswer the question using"));
    assert_eq!(read("pope", one, None).unwrap().0, found[..1]);
}

#[test]
fn mme_has_pictures_beside_the_questions_or_apart() {
    let folder = Folder::new("mme");
    let text = "Is it A? Please answer yes or no.\tYes\n\nIs it B?  Please answer yes or no.\tNo\n";
    for name in ["count/1.txt", "artwork/questions_answers_YN/x.txt", "count/2.txt"] {
        folder.file(name, text);
    }
    folder.file("count/1.png", "");
    folder.file("artwork/images/x.jpg", "");
    folder.file("eval_tool/1.txt", "not a question");
    let (found, skips) = read("mme", folder.0.clone(), None).unwrap();
    let told = found.iter().map(|one| (&*one.image, &*one.answers[0])).collect::<Vec<_>>();
    let (count, artwork) = ("count/1.png", "artwork/images/x.jpg");
    assert_eq!(told, [(count, "yes"), (count, "no"), (artwork, "yes"), (artwork, "no")]);
    assert_eq!((&*found[2].id, &*found[2].category), ("artwork/x.jpg", "artwork"));
    assert!(found[1].prompt.starts_with("Is it B?\nAnswer the question"));
    assert_eq!(skips.words(), "1 without a picture");
}
