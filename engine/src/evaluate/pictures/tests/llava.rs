//! Questions in the layout of LLaVA, with the answers of the official files.

use super::*;

const ENDING: &str = r"\nAnswer the question using a single word or phrase.";

#[test]
fn lines_are_put_as_they_stand() {
    let folder = Folder::new("lines");
    let line = r#"{"question_id": 9, "image": "a.jpg", "text": "<image>\nIs it? Say."}"#;
    let other = line.replace('9', "10");
    let questions = folder.file("llava_vqav2.jsonl", &format!("{line}\n{other}\n"));
    let answers = r#"{"annotations": [{"question_id": "9", "answers": [{"answer": "yes"}]}]}"#;
    let answers = folder.file("a.json", answers);
    let (found, skips) = read("vqav2", questions.clone(), Some(answers)).unwrap();
    assert_eq!((&*found[0].image, &*found[0].prompt), ("a.jpg", "Is it? Say."));
    assert_eq!((&*found[0].category, skips.words()), ("", "1 without an answer".into()));
    let gqa = r#"{"10": {"question": "Is it?", "imageId": "1", "answer": "no"}}"#;
    let (found, _) = read("gqa", questions, Some(folder.file("gqa.json", gqa))).unwrap();
    assert_eq!((&*found[0].id, &*found[0].answers[0]), ("10", "no"));
    let broken =
        folder.file("broken.jsonl", &format!("{line}\n{{\"question_id\": 3, \"image\": 5}}"));
    let told = refused("gqa", broken, None);
    assert!(told.contains("broken.jsonl:2: `image` must be a text, not 5"), "{told}");
}

#[test]
fn textvqa_is_known_by_picture_and_question() {
    let folder = Folder::new("textvqa");
    let (two, eight) = (r#""b", "b""#, r#""a","a","a","a","a","a","a","a""#);
    let entry = |id: u32, image: &str, question: &str, answers: &str| {
        let about = format!(r#""question_id": {id}, "image_id": "{image}""#);
        format!(r#"{{{about}, "question": "{question}", "answers": [{answers}]}}"#)
    };
    let official = [
        entry(34602, "f1", "what brand?", &format!("{two}, {eight}")),
        entry(34603, "f1", "what year?", &format!("{eight}, {two}")),
        entry(34604, "f2", "what year?", ""),
    ];
    let official = format!(r#"{{"data": [{}]}}"#, official.join(", "));
    let official = folder.file("TextVQA_0.5.1_val.json", &official);
    let (found, skips) = read("textvqa", official.clone(), None).unwrap();
    let told = found.iter().map(|one| (&*one.id, &*one.image)).collect::<Vec<_>>();
    assert_eq!(told, [("34602", "f1.jpg"), ("34603", "f1.jpg")]);
    assert_eq!(skips.words(), "1 without an answer");
    let hints = [
        r"What year?\nReference OCR token: canon, 1999",
        r"Reference OCR token: canon\nWhat year?",
        "OCR tokens: canon. Question: What year? Short answer:",
    ];
    for hint in hints {
        let line =
            format!(r#"{{"question_id": "f1", "image": "f1.jpg", "text": "{hint}{ENDING}"}}"#);
        let lines = folder.file("llava_textvqa.jsonl", &line);
        let (found, _) = read("textvqa", lines, Some(official.clone())).unwrap();
        assert_eq!((&*found[0].id, &*found[0].answers[8]), ("34603", "b"), "{hint}");
        assert!(found[0].prompt.contains("canon"));
    }
}

#[test]
fn scienceqa_is_a_list_of_conversations() {
    let folder = Folder::new("conversations");
    let list = r#"[
        {"id": "4", "conversations": [{"from": "human", "value": "No picture."}]},
        {"id": "5", "image": "5/image.png",
         "conversations": [{"from": "human", "value": "<image>\nWhich?\nA. x\nB. y"}]}]"#;
    let problems = r#"{"5": {"question": "?", "choices": ["x", "y"], "answer": 1}}"#;
    let (list, problems) = (folder.file("l.json", list), folder.file("problems.json", problems));
    let (found, skips) = read("scienceqa", list, Some(problems)).unwrap();
    assert_eq!((&*found[0].image, &*found[0].answers[0]), ("5/image.png", "B"));
    assert!(found[0].prompt.starts_with("Which?\nA. x\nB. y\nAnswer with the option's letter"));
    assert_eq!(skips.words(), "1 without a picture");
}

#[test]
fn pope_and_mme_are_known_by_category_picture_and_question() {
    let folder = Folder::new("yes-no");
    let label = r#"{"question_id": 0, "image": "c.jpg", "text": "Is there a cat?", "label": "no"}"#;
    folder.file("coco/coco_pope_popular.json", label);
    let line = |id: &str, image: &str, text: &str, category: &str| {
        let about = format!(r#""question_id": "{id}", "image": "{image}""#);
        format!(r#"{{{about}, "text": "{text}{ENDING}", "category": "{category}"}}"#)
    };
    let one = line("3000", "c.jpg", "Is there a cat?", "popular");
    let lines =
        folder.file("llava_pope_test.jsonl", &format!("{one}\n{}", one.replace("cat?", "dog?")));
    let (found, skips) = read("pope", lines.clone(), Some(folder.0.join("coco"))).unwrap();
    assert_eq!((&*found[0].id, &*found[0].answers[0]), ("3000", "no"));
    assert_eq!((found.len(), skips.words()), (1, "1 without an answer".into()));
    assert!(refused("pope", lines, None).contains("llava_pope_test.jsonl has no answers"));
    folder.file("MME/artwork/images/x.jpg", "");
    folder
        .file("MME/artwork/questions_answers_YN/x.txt", "Is it A?  Please answer yes or no.\tYes");
    let one = line("artwork/x.jpg", "artwork/images/x.jpg", "Is it A?", "artwork");
    let lines = folder.file("llava_mme.jsonl", &one);
    let (found, _) = read("mme", lines, Some(folder.0.join("MME"))).unwrap();
    assert_eq!((&*found[0].category, &*found[0].answers[0]), ("artwork", "yes"));
}
