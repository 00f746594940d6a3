//! Files of users: layouts, and what is wrong with them.

use std::path::PathBuf;

use serde_json::json;

use super::super::*;

fn file(name: &str, text: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rwkv-evaluate-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn one(json: serde_json::Value) -> Question {
    let (mut found, skips) = questions(&[Item::nth(0, json)], None).unwrap();
    assert_eq!((found.len(), skips.count()), (1, 0));
    found.remove(0)
}

fn refused(json: serde_json::Value) -> String {
    format!("{:#}", questions(&[Item::nth(6, json)], None).unwrap_err())
}

#[test]
fn hellaswag_is_cleaned_of_marks() {
    let question = one(json!({
        "activity_label": "Baking", "ctx": "A man [step] kneads  dough. He", "label": "1",
        "endings": ["sings.", "bakes [substeps] it.", "runs.", "sleeps."], "ind": 4,
    }));
    assert_eq!(question.prompt, "Baking: A man kneads dough. He");
    assert_eq!(question.choices[1], " bakes it.");
    assert_eq!((question.answer, question.subject), (1, None));
}

#[test]
fn piqa_arc_and_openbookqa_are_questions_with_an_answer() {
    let piqa =
        one(json!({ "goal": "Dry hands", "sol1": "Use a towel", "sol2": "Swim", "label": 0 }));
    assert_eq!(piqa.prompt, "Question: Dry hands\nAnswer:");
    assert_eq!((piqa.choices, piqa.answer), (vec![" Use a towel".into(), " Swim".into()], 0));
    let arc = json!({
        "question": "What is wet?", "answerKey": "B",
        "choices": { "text": ["Sand", "Rain"], "label": ["A", "B"] },
    });
    let as_published = json!({
        "question": { "stem": "What is wet?", "choices": [
            { "text": "Sand", "label": "A" }, { "text": "Rain", "label": "B" },
        ] },
        "answerKey": "B",
    });
    let open_book = json!({
        "question_stem": "What is wet?", "answerKey": "2",
        "choices": { "text": ["Sand", "Rain"], "label": ["1", "2"] },
    });
    for item in [arc, as_published, open_book] {
        let question = one(item);
        assert_eq!(question.prompt, "Question: What is wet?\nAnswer:");
        assert_eq!((question.choices[1].as_str(), question.answer), (" Rain", 1));
    }
}

#[test]
fn mmlu_asks_for_a_letter() {
    let item = json!({
        "question": "2 + 2?", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "small_sums",
    });
    let question = one(item.clone());
    let expected = "The following are multiple choice questions (with answers) about small sums.\
                    \n\n2 + 2?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:";
    assert_eq!(question.prompt, expected);
    assert_eq!(
        (question.choices, question.answer),
        (["A", "B", "C", "D"].map(|l| format!(" {l}")).to_vec(), 1)
    );
    assert_eq!(question.subject.as_deref(), Some("small_sums"));
    // The same item as a plain one, by name: its choices are texts.
    let (plain, _) = questions(&[Item::nth(0, item)], Some("plain")).unwrap();
    assert_eq!((plain[0].prompt.as_str(), plain[0].choices[1].as_str()), ("2 + 2?", "4"));
    let letter = one(json!({ "question": "?", "choices": ["a", "b"], "answer": "B" }));
    assert_eq!(letter.answer, 1);
}

#[test]
fn plain_items_are_read_as_they_stand() {
    let item = json!({ "q": "A fox is a kind of", "choices": [" animal", " planet"], "answer": 0 });
    let question = one(item);
    assert_eq!((question.prompt.as_str(), question.answer), ("A fox is a kind of", 0));
    assert_eq!(question.choices, [" animal", " planet"]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let missing = refused(json!({ "ctx": "a", "endings": ["b", "c"] }));
    assert!(
        missing.contains("item 7 has no `label`")
            && missing.contains("the layout hellaswag has ctx, endings, label"),
        "{missing}"
    );
    let unknown = refused(json!({ "prompt": "a", "answers": ["b", "c"] }));
    assert!(
        unknown.contains("item 7 fits no layout") && unknown.contains("piqa (goal, sol1"),
        "{unknown}"
    );
    let beyond = refused(json!({ "question": "a", "choices": ["b", "c"], "answer": 2 }));
    assert!(beyond.contains("item 7: the answer is 2, but the choices are 0 to 1"), "{beyond}");
    let letter = refused(json!({
        "question": "a", "answerKey": "C", "choices": { "text": ["x", "y"], "label": ["A", "B"] },
    }));
    assert!(letter.contains("the answer is C, but the choices are A, B"), "{letter}");
    let odd = refused(json!({ "question": "a", "choices": ["b", "c"], "answer": "maybe" }));
    assert!(odd.contains("must be a number from 0 or a letter, not \"maybe\""), "{odd}");
    let single = refused(json!({ "question": "a", "choices": ["b"], "answer": 0 }));
    assert!(single.contains("less than two choices"), "{single}");
    let text = refused(json!({ "goal": 3, "sol1": "a", "sol2": "b", "label": 0 }));
    assert!(text.contains("`goal` must be a text, not 3"), "{text}");
    let name = questions(&[], Some("hellaswog")).err().unwrap().to_string();
    assert!(name.contains("hellaswag, piqa, openbookqa, arc, mmlu, plain"), "{name}");
}

#[test]
fn answers_that_are_kept_secret_are_skipped() {
    let items = [json!(""), json!(-1), json!(null), json!("0")];
    let item =
        |(at, label)| Item::nth(at, json!({ "ctx": "a", "endings": ["b", "c"], "label": label }));
    let items: Vec<Item> = items.into_iter().enumerate().map(item).collect();
    let (found, skips) = questions(&items, None).unwrap();
    assert_eq!((found.len(), skips.words().as_str()), (1, "3 without an answer"));
}

#[test]
fn files_are_lines_or_a_list() {
    let lines =
        read_items(&file("lines.jsonl", "{\"text\": \"a b\"}\n\n{\"text\": \"c\"}\r\n")).unwrap();
    assert!(lines.len() == 2 && lines[1].place.ends_with("lines.jsonl:3"), "{lines:?}");
    let list = read_items(&file("list.json", " [{\"text\": \"a b\"}, {\"text\": \"c\"}]")).unwrap();
    assert!(list.len() == 2 && list[1].place.ends_with("list.json, item 2"), "{list:?}");
    let refused = |name: &str, text: &str| {
        let error = read_items(&file(name, text)).unwrap_err();
        format!("{error:#}")
    };
    assert!(refused("empty.jsonl", "\n \n").contains("empty.jsonl has no items"));
    assert!(refused("empty.json", "[]").contains("has no items"));
    let broken = refused("broken.jsonl", "{\"text\": \"a\"}\n{\"text\": ");
    assert!(broken.contains("broken.jsonl:2 is not JSON"), "{broken}");
    assert!(refused("number.jsonl", "{}\n3\n").contains("number.jsonl:2 is not an object but 3"));
    assert!(refused("list.json", "[{}, ").contains("begins as a list"));
    let missing = read_items(&PathBuf::from("no/such.jsonl")).unwrap_err();
    assert!(format!("{missing:#}").contains("cannot read no/such.jsonl"));
}

#[test]
fn targets_are_last_words_or_given() {
    let items = [
        json!({ "text": "Mira has the key.  " }),
        json!({ "text": "one" }),
        json!({ "context": "a", "target": " b" }),
        json!({ "prompt": "12=", "target": "21" }),
        json!({ "context": "a", "target": "" }),
    ];
    let items: Vec<Item> = items.into_iter().enumerate().map(|(at, j)| Item::nth(at, j)).collect();
    let (found, skips) = targets(&items).unwrap();
    let pairs: Vec<_> = found.iter().map(|t| (t.context.as_str(), t.target.as_str())).collect();
    assert_eq!(pairs, [("Mira has the", " key."), ("a", " b"), ("12=", "21")]);
    assert_eq!(skips.words(), "1 of one word only, 1 with an empty target");
    let refused = |json| targets(&[Item::nth(0, json)]).unwrap_err().to_string();
    let missing = refused(json!({ "context": "a" }));
    assert!(missing.contains("item 1 has no `target`; an item has `context`"), "{missing}");
    assert!(refused(json!({ "target": "a" })).contains("has no `context`"));
    assert!(refused(json!({ "text": 3 })).contains("item 1"));
}
