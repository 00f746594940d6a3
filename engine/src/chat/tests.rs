mod files;
mod pictures;
mod trees;

use super::*;
use crate::device;
use crate::generate::Finish;
use crate::model::Loading;
use std::sync::atomic::Ordering;

static GO: AtomicBool = AtomicBool::new(false);

fn toy(format: &str) -> (Model, Chat) {
    let model = Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap());
    let model = model.unwrap();
    let options = Options { max_tokens: 4, end: vec![], ..Options::default() };
    let template = Template::new(Format::named(format).unwrap());
    let chat = Chat::new(model.state(), template, options).unwrap();
    (model, chat)
}

fn say(model: &Model, chat: &mut Chat, text: &str) -> Generation {
    chat.say(model, &text.into(), &GO, |_| Ok(true)).unwrap()
}

/// Checks that the memory is that of this text, read at once.
fn remembers(model: &Model, chat: &Chat, text: &str) {
    let (_, state) = model.read(&encode(model, text, false).unwrap(), &model.state(), &GO).unwrap();
    let far = chat.state().distance(&state).unwrap().max_abs;
    assert!(far < 1e-4, "{far} from the memory of {text:?}");
}

#[test]
fn undo_goes_back_to_the_same_memory() {
    let (model, mut chat) = toy("world");
    say(&model, &mut chat, "one");
    let state = chat.state().clone();
    let first = say(&model, &mut chat, "two");
    assert!(!chat.state().equals(&state));
    assert!(chat.undo(&model, &GO).unwrap() && chat.turns().len() == 1);
    assert!(chat.state().equals(&state));
    let again = say(&model, &mut chat, "two");
    assert_eq!(first.tokens, again.tokens);
    chat.reset();
    assert!(chat.state().equals(&model.state()) && chat.turns().is_empty());
    assert!(!chat.undo(&model, &GO).unwrap() && chat.all_turns().is_empty());
}

#[test]
fn an_answer_that_was_cut_is_continued_by_a_gap() {
    let (model, mut chat) = toy("world");
    chat.options.stop = vec!["no such text".into()];
    let out = say(&model, &mut chat, "one");
    assert_eq!(out.finish, Finish::Length);
    let decoded = model.tokenizer.decode(&out.tokens);
    assert_eq!(chat.prompt(&"two".into()).unwrap(), "\n\nUser: two\n\nAssistant:");
    let all = [encode(&model, "User: one\n\nAssistant:", false).unwrap(), out.tokens].concat();
    let (_, state) = model.read(&all, &model.state(), &GO).unwrap();
    assert!(chat.state().distance(&state).unwrap().max_abs < 1e-4, "{decoded:?}");
}

/// Makes the toy say nothing but this letter, by banning all else.
fn force(chat: &mut Chat, letter: u8) {
    chat.options.sampler.ban = (0..256).filter(|&id| id != u32::from(letter)).collect();
}

#[test]
fn a_stop_text_is_not_remembered_but_the_gap_is() {
    let (model, mut chat) = toy("world");
    force(&mut chat, b'x');
    chat.options.stop = vec!["xx".into()];
    let out = say(&model, &mut chat, "one");
    assert_eq!((out.finish, chat.turns()[0].answer.reply.as_str()), (Finish::Stop, ""));
    remembers(&model, &chat, "User: one\n\nAssistant:");
    assert!(chat.prompt(&"two".into()).unwrap().starts_with("\n\nUser:"));

    let (model, mut chat) = toy("world");
    force(&mut chat, b'\n');
    let out = say(&model, &mut chat, "one");
    assert_eq!((out.finish, out.tokens.len()), (Finish::Stop, 2));
    remembers(&model, &chat, "User: one\n\nAssistant:\n\n");
    assert!(chat.prompt(&"two".into()).unwrap().starts_with("User:"), "the gap was read");
}

#[test]
fn the_end_of_a_document_is_not_remembered() {
    let (model, mut chat) = toy("world");
    force(&mut chat, b'y');
    chat.options.end = vec![u32::from(b'y')];
    assert_eq!(say(&model, &mut chat, "one").finish, Finish::End);
    remembers(&model, &chat, "User: one\n\nAssistant:");
}

#[test]
fn thoughts_are_heard_but_not_remembered() {
    let (model, mut chat) = toy("g1");
    chat.template.think = Think::On;
    force(&mut chat, b'z');
    let mut heard = String::new();
    let out = chat.say(&model, &"one".into(), &GO, |piece| {
        heard.push_str(piece.text);
        Ok(true)
    });
    let out = out.unwrap();
    assert_eq!((out.text.as_str(), heard.as_str()), ("<thinkzzzz", "<thinkzzzz"));
    assert_eq!(chat.turns()[0].answer, Answer { thoughts: "zzzz".into(), reply: "".into() });
    remembers(&model, &chat, "User: one\n\nAssistant:");
    assert_eq!(
        chat.prompt(&"two".into()).unwrap(),
        "\n\nUser: two\n\nAssistant: <think",
        "a gap, and thoughts again"
    );
    chat.template.think = Think::Fast;
    say(&model, &mut chat, "two");
    assert_eq!(chat.turns()[1].answer.reply, "zzzz");
    remembers(&model, &chat, "User: one\n\nAssistant:\n\nUser: two\n\nAssistant: zzzz");
}

#[test]
fn a_call_is_remembered_as_it_was_asked_for() {
    let (model, mut chat) = toy("g1");
    chat.template.tools = vec!["now()".into()];
    force(&mut chat, b'{');
    let call = Question { call: true, ..Question::from("time?") };
    let out = chat.say(&model, &call, &GO, |_| Ok(true)).unwrap();
    assert_eq!(out.text, "```json{{{{");
    assert_eq!(chat.turns()[0].answer.reply, "{{{{");
    remembers(
        &model,
        &chat,
        "System: Tools:\n- now()\nReturn only a JSON function call.\n\nUser: time?\n\nAssistant: \
         ```json\n{{{{\n```",
    );
}

#[test]
fn token_0_is_read_first_and_once() {
    let (model, mut chat) = toy("world");
    chat.template.bos = true;
    let first = chat.prompt_tokens(&model, &"hi".into()).unwrap();
    assert_eq!((first[0], first[1]), (0, u32::from(b'U')));
    let out = say(&model, &mut chat, "hi");
    let (_, state) = model.read(&[first, out.tokens].concat(), &model.state(), &GO).unwrap();
    assert!(chat.turns()[0].state().unwrap().distance(&state).unwrap().max_abs < 1e-4);
    assert!(!chat.prompt_tokens(&model, &"ho".into()).unwrap().contains(&0));
}

#[test]
fn plain_text_goes_on_where_it_stopped() {
    let (model, mut chat) = toy("plain");
    force(&mut chat, b' ');
    say(&model, &mut chat, "Once");
    say(&model, &mut chat, " upon\n\n");
    assert_eq!(chat.turns()[1].answer.reply, "    ");
    remembers(&model, &chat, "Once     upon\n\n    ");
}

#[test]
fn a_failed_turn_changes_nothing() {
    let (model, mut chat) = toy("world");
    assert!(chat.say(&model, &" \n ".into(), &GO, |_| Ok(true)).is_err());
    let failed = chat.say(&model, &"x".into(), &GO, |_| anyhow::bail!("no"));
    assert!(failed.is_err() && chat.turns().is_empty());
    assert!(chat.state().equals(&model.state()));
    let early = chat.regenerate(&model, &GO, |_| Ok(true)).unwrap_err().to_string();
    assert!(early.contains("no answer yet"), "{early}");
}

#[test]
fn an_interrupt_keeps_the_answer_and_forgets_the_thoughts() {
    let (model, mut chat) = toy("g1");
    chat.template.think = Think::On;
    force(&mut chat, b'z');
    let stop = AtomicBool::new(false);
    let out = chat.say(&model, &"one".into(), &stop, |_| {
        stop.store(true, Ordering::Relaxed);
        Ok(true)
    });
    assert_eq!(out.unwrap().finish, Finish::Interrupted);
    remembers(&model, &chat, "User: one\n\nAssistant:");
}

#[test]
fn the_memory_is_that_of_the_transcript_in_every_format() {
    for format in FORMATS {
        let able = |think: &Think| *think == Think::Off || format.thinks;
        for think in Think::ALL.map(|(_, think)| think).into_iter().filter(able) {
            let (model, mut chat) = toy(format.name);
            chat.template.think = think;
            chat.template.system = Some("Be kind.".into());
            force(&mut chat, b'z');
            let mut transcript = String::new();
            for text in ["one", "two", "three"] {
                let answer = say(&model, &mut chat, text).text;
                transcript += &match chat.turns().len() {
                    1 => chat.template.opening(),
                    _ => format.gap.to_string(),
                };
                transcript += &chat.template.asked(&chat.turns().last().unwrap().asked.question);
                transcript += &match think {
                    Think::Off => answer,
                    Think::On => String::new(),
                    Think::Fast => " zzzz".to_string(),
                };
                remembers(&model, &chat, &transcript);
            }
        }
    }
}
