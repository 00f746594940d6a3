//! Conversations about pictures.

use super::{Chat, GO, Loading, Model, Options, Result, State, Template, device, toy};
use crate::data::shapes::{KINDS, Shapes};
use crate::image::Image;
use crate::random::Random;

fn seeing(name: &str) -> Model {
    Model::load(name, &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
}

fn chat(model: &Model) -> Chat {
    let options = Options { max_tokens: 4, end: vec![], ..Options::chat(model) };
    Chat::new(model.state(), Template::default(), options).unwrap()
}

fn say(chat: &mut Chat, model: &Model, text: &str) -> String {
    chat.say(model, &text.into(), &GO, |_| Ok(true)).unwrap().text
}

/// The state after texts and pictures, one after the other.
fn read(model: &Model, parts: &[Result<&str, &Image>]) -> State {
    parts.iter().fold(model.state(), |state, part| match part {
        Ok(text) => model.read(&model.tokenizer.encode(text).unwrap(), &state, &GO).unwrap().1,
        Err(image) => model.show(&model.look(image, &GO).unwrap(), &state, &GO).unwrap(),
    })
}

#[test]
fn a_picture_stands_where_the_model_was_taught_to_expect_it() {
    let image = Image::gradient(64, 64);
    for (name, marked, parts) in [
        (
            "toy:visualrwkv6",
            "User: What?\n<image>\nWhat?\n\nAssistant:",
            [Ok("User: What?\n"), Err(&image), Ok("\nWhat?\n\nAssistant:")],
        ),
        (
            "toy:visualrwkv7",
            "User: <image>\nWhat?\n\nAssistant:",
            [Ok("User: "), Err(&image), Ok("\nWhat?\n\nAssistant:")],
        ),
    ] {
        let model = seeing(name);
        let mut chat = chat(&model);
        chat.show(&model, &image, &GO).unwrap();
        assert_eq!(chat.shown().collect::<Vec<_>>(), ["sample:gradient"]);
        assert_eq!(chat.prompt(&"What?".into()).unwrap(), marked);
        assert!(chat.prompt_tokens(&model, &"What?".into()).is_err());
        chat.options.max_tokens = 1;
        let made = chat.say(&model, &"What?".into(), &GO, |_| Ok(true)).unwrap();
        let before = read(&model, &parts);
        let after = model.read(&made.tokens, &before, &GO).unwrap().1;
        assert!(after.distance(&made.state).unwrap().max_abs < 1e-5, "{name}");
        assert_eq!(chat.shown().count(), 0, "it was read");
        assert_eq!(chat.turns()[0].asked.pictures[0].name, "sample:gradient");
    }
}

#[test]
fn what_was_seen_is_kept_for_asking_again() {
    let model = seeing("toy:visualrwkv6");
    let mut chat = chat(&model);
    chat.show(&model, &Image::gradient(64, 64), &GO).unwrap();
    let first = say(&mut chat, &model, "One?");
    let state = chat.state().clone();
    assert!(chat.undo(&model, &GO).unwrap());
    assert_eq!(chat.shown().count(), 1);
    let other = say(&mut chat, &model, "Another?");
    chat.edit(&model, 1, &"One?".into(), &GO, |_| Ok(true)).unwrap();
    assert!(chat.state().equals(&state), "the same question, bit for bit");
    assert_ne!((first.as_str(), chat.turns().len()), (other.as_str(), 0));
    chat.reset();
    assert_eq!(chat.shown().count(), 1, "it was given at the start");
    say(&mut chat, &model, "One?");
    assert!(chat.state().equals(&state));
    chat.jump(&model, 0, &GO).unwrap();
    assert_eq!(chat.shown().count(), 1);
}

#[test]
fn later_questions_go_on_from_the_state() {
    let model = seeing("toy:visualrwkv7");
    let mut chat = chat(&model);
    chat.show(&model, &Image::gradient(64, 64), &GO).unwrap();
    say(&mut chat, &model, "One?");
    let read_before = chat.state().past.tokens;
    say(&mut chat, &model, "Two?");
    assert!(chat.turns()[1].asked.pictures.is_empty());
    let more = chat.state().past.tokens - read_before;
    assert!(more < 40, "no picture among {more} tokens");
    // Another picture may come in a later turn.
    chat.show(&model, &Image::gradient(9, 9), &GO).unwrap();
    assert!(
        chat.prompt(&"Three?".into()).unwrap().ends_with("User: <image>\nThree?\n\nAssistant:")
    );
    say(&mut chat, &model, "Three?");
    assert_eq!(chat.turns()[2].asked.pictures.len(), 1);
}

#[test]
fn several_pictures_are_for_models_that_were_taught_so() {
    let image = Image::gradient(64, 64);
    let (one, several) = (seeing("toy:visualrwkv6"), seeing("toy:visualrwkv7"));
    let mut talk = chat(&several);
    talk.show(&several, &image, &GO).unwrap();
    talk.show(&several, &image, &GO).unwrap();
    assert!(talk.prompt(&"Both?".into()).unwrap().starts_with("User: <image>\n<image>\nBoth?"));
    say(&mut talk, &several, "Both?");
    let mut talk = chat(&one);
    talk.show(&one, &image, &GO).unwrap();
    let error = talk.show(&one, &image, &GO).unwrap_err().to_string();
    assert!(error.contains("one picture at a time"), "{error}");
    let (blind, mut talk) = toy("world");
    assert!(talk.show(&blind, &image, &GO).is_err(), "a language model sees nothing");
}

#[test]
fn a_saved_talk_goes_on_without_its_picture() {
    let model = seeing("toy:visualrwkv7");
    let path = std::env::temp_dir().join(format!("rwkv-shown-{}.safetensors", std::process::id()));
    let mut talk = chat(&model);
    talk.show(&model, &Image::gradient(64, 64), &GO).unwrap();
    assert!(talk.save(&path, &model, true).is_err(), "it would be lost");
    say(&mut talk, &model, "One?");
    for states in [true, false] {
        talk.save(&path, &model, states).unwrap();
        let mut again = Chat::load(&path, &model, &GO).unwrap();
        assert!(again.state().equals(talk.state()), "{states}");
        assert_eq!(again.turns()[0].asked.pictures[0].name, "sample:gradient");
        again.regenerate(&model, &GO, |_| Ok(true)).unwrap();
        assert!(again.state().equals(talk.state()));
        let error = again.edit(&model, 1, &"Two?".into(), &GO, |_| Ok(true)).unwrap_err();
        assert!(error.to_string().contains("show it again"), "{error}");
    }
    talk.show(&model, &Image::gradient(9, 9), &GO).unwrap();
    let error = talk.save(&path, &model, true).unwrap_err().to_string();
    assert!(error.contains("was not asked about yet"), "{error}");
    std::fs::remove_file(path).unwrap();
}

/// Pictures and wordings that the demo never met; its script measures more of them.
#[test]
fn the_demo_sees() {
    let model = seeing("demo:shapes");
    let kinds = KINDS.into_iter().filter(|kind| *kind != "beside").collect();
    let shapes = Shapes { things: 1..=3, questions: 6, kinds, held_out: true };
    let mut random = Random::new(77);
    let (mut right, mut asked) = (0, 0);
    for _ in 0..25 {
        let (image, questions) = shapes.sample(&mut random);
        let options = Options { max_tokens: 60, ..Options::chat(&model) };
        let mut chat = Chat::new(model.state(), Template::default(), options).unwrap();
        chat.show(&model, &image, &GO).unwrap();
        for question in questions {
            right +=
                usize::from(say(&mut chat, &model, &question.question).trim() == question.answer);
            asked += 1;
        }
    }
    assert!(right * 10 >= asked * 9, "{right} of {asked}");
}
