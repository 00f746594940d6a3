use super::*;

fn template(format: &str) -> Template {
    Template::new(Format::named(format).unwrap())
}

fn prompt(template: &Template, text: &str) -> String {
    template.prompt(&text.into()).unwrap()
}

#[test]
fn texts_are_cleaned() {
    let cases = [
        (" hi\r\n\r\n\r\nthere\n", "hi\nthere"),
        ("a\n\n\n\n\nb\n\nc", "a\nb\nc"),
        ("a \n b\t", "a \n b"),
        ("a\n \nb", "a\n \nb"),
        ("\r\n\n", ""),
    ];
    for (text, expected) in cases {
        assert_eq!(clean(text), expected, "{text:?}");
    }
}

#[test]
fn every_format_writes_as_its_models_learnt() {
    let cases = [
        ("world", "User: hi\nthere\n\nAssistant:"),
        ("g1", "User: hi\nthere\n\nAssistant:"),
        ("raven", "\nBob: hi\nthere\n\nAlice:"),
        ("qa", "Question: hi\nthere\n\nAnswer:"),
        ("instruct", "Instruction: hi\nthere\n\nResponse:"),
        ("plain", " hi\n\nthere "),
    ];
    for (name, expected) in cases {
        assert_eq!(prompt(&template(name), " hi\r\n\r\nthere "), expected, "{name}");
    }
    assert_eq!(cases.len(), super::super::FORMATS.len());
}

#[test]
fn what_is_said_first_has_its_place() {
    let system = Some("Be\n\nkind. ".to_string());
    let opened = |name| Template { system: system.clone(), ..template(name) }.opening();
    assert_eq!(opened("world"), "System: Be\nkind.\n\n");
    assert_eq!(opened("qa"), "Be\nkind.\n\n");
    assert_eq!(opened("raven"), "\nBe\nkind.\n\n");
    let task = Question { input: Some(" x\n\n".into()), ..Question::from("do") };
    let instruct = template("instruct");
    let written = instruct.prompt(&task).unwrap();
    assert_eq!(written, "Instruction: do\n\nInput: x\n\nResponse:");
    let refused = template("g1").clean(&task).unwrap_err().to_string();
    assert!(refused.contains("no place for `input`"), "{refused}");
}

#[test]
fn thinking_is_begun_for_the_model() {
    let mut g1 = Template { think: Think::On, ..template("g1") };
    assert_eq!(prompt(&g1, "hi"), "User: hi\n\nAssistant: <think");
    g1.effort = Some(Effort::High);
    assert_eq!(prompt(&g1, "hi"), "User: hi (think a lot)\n\nAssistant: <think");
    g1 = Template { think: Think::Fast, ..template("g1") };
    assert_eq!(prompt(&g1, "hi"), "User: hi\n\nAssistant: <think>\n</think");
    for (name, think) in Think::ALL {
        assert_eq!(think.name(), name);
    }
    let suffixes = Effort::ALL.map(|(_, effort)| effort.suffix());
    assert_eq!(suffixes, [" (think a bit)", " (think)", " (think a lot)"]);
}

#[test]
fn stops_follow_the_format_and_the_names() {
    let stops = |template: &Template| template.stops(&Question::default());
    assert_eq!(stops(&template("g1")), ["\n\n", "\nUser:"]);
    assert_eq!(stops(&Template { think: Think::On, ..template("g1") }), ["\n\nUser:"]);
    assert_eq!(stops(&Template { think: Think::Fast, ..template("g1") }), ["\n\nUser:"]);
    assert_eq!(stops(&Template { user: "Ann".into(), ..template("world") }), ["\n\n", "\nAnn:"]);
    assert!(stops(&template("plain")).is_empty());
    let call = Question { call: true, ..Question::from("hi") };
    assert_eq!(template("g1").stops(&call), ["```", "\n\n"]);
}

#[test]
fn tools_are_listed_and_called() {
    let tools = vec!["now()".to_string(), "add(a: int, b?: int)".to_string()];
    let g1 = Template { tools, ..template("g1") };
    let question = Question { call: true, ..Question::from("What time is it?") };
    assert_eq!(
        g1.prompt(&question).unwrap(),
        "System: Tools:\n- now()\n- add(a: int, b?: int)\nReturn only a JSON function call.\n\n\
         User: What time is it?\n\nAssistant: ```json"
    );
    let answer = g1.split(&question, " ```json\n{\"name\": \"now\"}\n");
    assert_eq!(answer.reply, "{\"name\": \"now\"}");
    assert_eq!(g1.kept(&question, &answer.reply), " ```json\n{\"name\": \"now\"}\n```");
    let json = Template { tools: vec!["[{\"name\": \"now\"}]".into()], ..g1.clone() };
    assert!(json.opening().starts_with("System: Tools:\n[{\"name\": \"now\"}]\nReturn only"));
    let both = Template { system: Some("Be brief.".into()), ..g1 };
    assert!(both.opening().starts_with("System: Be brief.\nTools:\n- now()\n"));
}

#[test]
fn thoughts_are_taken_off_and_not_kept() {
    let (g1, question) = (template("g1"), Question::from("hi"));
    let cases = [
        (" <think>\nHm.\n\nWell.\n</think>\nYes.\n\nNo.", "Hm.\n\nWell.", "Yes.\n\nNo."),
        (" <think>\n</think>\nYes.", "", "Yes."),
        (" <think>a</think><think>b</think> c", "a</think><think>b", "c"),
        (" <think>cut off here", "cut off here", ""),
        (" Yes.", "", "Yes."),
    ];
    for (text, thoughts, reply) in cases {
        let answer = g1.split(&question, text);
        assert_eq!((answer.thoughts.as_str(), answer.reply.as_str()), (thoughts, reply), "{text}");
    }
    assert_eq!(g1.kept(&question, "Yes."), " Yes.");
    assert_eq!(g1.kept(&question, ""), "", "no space after a colon without an answer");
    let world = template("world").split(&question, " <think> is a tag.");
    assert_eq!(world.reply, "<think> is a tag.");
    let plain = template("plain");
    assert_eq!(plain.split(&question, " on\n").reply, " on\n");
    assert_eq!(plain.kept(&question, " on\n"), " on\n");
}

#[test]
fn what_a_format_cannot_do_is_refused() {
    let refusals = [
        (Template { think: Think::On, ..template("world") }, "give format: \"g1\""),
        (Template { tools: vec!["f()".into()], ..template("raven") }, "call tools"),
        (Template { effort: Some(Effort::Low), ..template("g1") }, "give think: \"on\""),
        (Template { user: "Ann".into(), ..template("plain") }, "has no names"),
    ];
    for (template, words) in refusals {
        let said = template.check().unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
    for format in super::super::FORMATS {
        Template::new(format).check().unwrap();
    }
}
