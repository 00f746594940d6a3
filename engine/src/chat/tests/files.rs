//! Conversations on disk.

use super::*;
use crate::checkpoint::{self, Checkpoint, Dtype};
use crate::model::Loading;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// A file that disappears.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("rwkv-{}-{name}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A conversation with everything that a file has to hold: branches, an edited memory, an answer
/// from elsewhere, one that was cut, thoughts, settings.
fn rich() -> (Model, Chat) {
    let (model, mut chat) = toy("g1");
    chat.template.think = Think::On;
    chat.template.system = Some("Be kind.".into());
    chat.options.sampler.bias = [(65, f32::NEG_INFINITY), (66, 0.1)].into();
    chat.options.sampler.mirostat = 2;
    chat.seed = Some(u64::MAX);
    say(&model, &mut chat, "one");
    chat.options.seed = u64::MAX - 1;
    chat.regenerate(&model, &GO, |_| Ok(true)).unwrap();
    let foreign = say(&model, &mut chat.clone(), "elsewhere");
    chat.accept(&model, &foreign, &GO).unwrap();
    chat.set_state(chat.state().scaled(0.5));
    for text in ["two", "three"] {
        say(&model, &mut chat, text);
    }
    chat.undo(&model, &GO).unwrap();
    (model, chat)
}

fn same(a: &Chat, b: &Chat) {
    let shape = |chat: &Chat| {
        let turn = |turn: &Turn| {
            let Turn { asked, answer, finish, .. } = turn;
            (asked.question.clone(), asked.parent, answer.clone(), *finish, turn.tokens().to_vec())
        };
        let turns: Vec<_> = chat.all_turns().iter().map(turn).collect();
        (turns, chat.number(), chat.tokens(), chat.seed, chat.budget())
    };
    assert_eq!(shape(a), shape(b));
    assert_eq!(a.options.sampler, b.options.sampler);
    assert!(a.state().equals(b.state()));
    let past = |chat: &Chat| (chat.state().past.tokens, chat.state().past.edits());
    assert_eq!(past(a), past(b));
}

#[test]
fn what_continues_from_a_loaded_chat_is_what_continues_from_the_original() {
    let (model, mut chat) = rich();
    for states in [true, false] {
        let place = Place::new(&format!("chat-{states}.safetensors"));
        chat.save(&place.0, &model, states).unwrap();
        let mut loaded = Chat::load(&place.0, &model, &GO).unwrap();
        same(&chat, &loaded);
        if states {
            assert_eq!(chat.bytes(), loaded.bytes(), "memories are shared as they were");
        }
        let mut chat = chat.clone();
        for chat in [&mut chat, &mut loaded] {
            chat.continue_reply(&model, None, &GO, |_| Ok(true)).unwrap();
            say(&model, chat, "four");
            chat.redo(&model, &GO).unwrap();
            for number in [5, 3, 1] {
                chat.jump(&model, number, &GO).unwrap();
            }
            chat.continue_reply(&model, None, &GO, |_| Ok(true)).unwrap();
        }
        same(&chat, &loaded);
    }
    chat.reset();
    let place = Place::new("chat-empty.safetensors");
    chat.save(&place.0, &model, false).unwrap();
    same(&chat, &Chat::load(&place.0, &model, &GO).unwrap());
}

#[test]
fn the_memories_of_every_version_come_back() {
    let place = Place::new("versions.safetensors");
    for version in ["4", "5.0", "5.1", "5.2", "6", "7"] {
        let name = format!("toy:rwkv{version}");
        let model = Model::load(&name, &Loading::default(), &toy("world").0.place).unwrap();
        let options = Options { max_tokens: 4, end: vec![], ..Options::default() };
        let mut chat = Chat::new(model.state(), Template::default(), options).unwrap();
        for text in ["one", "two", "three"] {
            say(&model, &mut chat, text);
        }
        chat.set_state(chat.state().scaled(0.5));
        chat.save(&place.0, &model, true).unwrap();
        let mut loaded = Chat::load(&place.0, &model, &GO).unwrap();
        same(&chat, &loaded);
        loaded.set_budget(0);
        for number in [1, 3, 2] {
            for chat in [&mut chat, &mut loaded] {
                chat.jump(&model, number, &GO).unwrap();
            }
            assert!(chat.state().equals(loaded.state()), "{name}: turn {number} read again");
        }
    }
}

#[test]
fn without_memories_the_file_is_small() {
    let (model, mut chat) = toy("world");
    for text in ["one", "two", "three"] {
        say(&model, &mut chat, text);
    }
    let (large, small) = (Place::new("large.safetensors"), Place::new("small.safetensors"));
    chat.save(&large.0, &model, true).unwrap();
    chat.save(&small.0, &model, false).unwrap();
    let size = |place: &Place| fs::metadata(&place.0).unwrap().len() as usize;
    assert!(size(&large) > 3 * model.state().bytes() && size(&small) < 8000, "{}", size(&small));
    same(&chat, &Chat::load(&small.0, &model, &GO).unwrap());
}

#[test]
fn files_of_others_are_refused_in_one_sentence() {
    let (model, mut chat) = toy("world");
    say(&model, &mut chat, "one");
    let place = Place::new("other.safetensors");
    let refused = |model: &Model| Chat::load(&place.0, model, &GO).unwrap_err().to_string();
    model.state().save(&place.0, &model.origin()).unwrap();
    assert!(refused(&model).contains("is not a chat file of this program"));
    chat.save(&place.0, &model, true).unwrap();
    let other = Model::load("toy:rwkv4", &Loading::default(), &model.place).unwrap();
    let said = refused(&other);
    assert!(
        said.contains("is a chat with `toy:rwkv7`") && said.contains("load that model"),
        "{said}"
    );
    let pth = chat.save(&Place::new("chat.pth").0, &model, true).unwrap_err().to_string();
    assert!(pth.contains("end it in .safetensors"), "{pth}");
}

/// The same file with another text in its header, or without a tensor.
fn forged(from: &Place, change: impl Fn(String) -> String, keep: impl Fn(&str) -> bool) -> Place {
    let file = Checkpoint::open(&from.0).unwrap();
    let words = file.metadata().iter().map(|(key, word)| match key.as_str() {
        "chat" => (key.clone(), change(word.clone())),
        _ => (key.clone(), word.clone()),
    });
    let words: BTreeMap<String, String> = words.collect();
    let tensor = |name: &str| {
        (name.to_string(), file.shape(name).unwrap().to_vec(), file.values(name).unwrap())
    };
    let tensors: Vec<_> = file.names().filter(|name| keep(name)).map(tensor).collect();
    let place = Place::new("forged.safetensors");
    checkpoint::save(&place.0, &tensors, Dtype::F32, &words).unwrap();
    place
}

#[test]
fn damaged_and_hostile_files_are_refused() {
    let (model, chat) = rich();
    let place = Place::new("honest.safetensors");
    chat.save(&place.0, &model, true).unwrap();
    let cases: [(&str, &str, &str); 9] = [
        ("{", "[", "its header is not understood"),
        ("\"parent\":0", "\"parent\":7", "its turn 1 follows turn 7"),
        ("\"parent\":3", "\"parent\":99999999999", "its turn 4 follows turn 99999999999"),
        ("\"now\":4", "\"now\":9", "it stands at turn 9 of 5"),
        ("\"first\":[", "\"first\":[4000000000,", "tokens that the model does not know"),
        ("\"state\":0", "\"state\":18446744073709551615", "has no tensor"),
        ("\"visited\":[[0,", "\"visited\":[[3,", "does not follow turn 3"),
        ("\"temperature\":1.0", "\"temperature\":-1.0", "temperature is -1"),
        ("\"format\":\"g1\"", "\"format\":\"\\u001b[2J\"", "there is no chat format"),
    ];
    for (honest, lie, words) in cases {
        let change = |json: String| {
            assert!(json.contains(honest), "{honest} is not in {json}");
            json.replacen(honest, lie, 1)
        };
        let forged = forged(&place, change, |_| true);
        let said = Chat::load(&forged.0, &model, &GO).unwrap_err().to_string();
        assert!(said.contains(words) && !said.contains(char::is_control), "{lie}: {said}");
        assert!(said.contains("is a damaged chat file") && said.lines().count() == 1, "{said}");
    }
    let without = forged(&place, |json| json, |name| name != "states.1.layers.1.wkv");
    let said = Chat::load(&without.0, &model, &GO).unwrap_err().to_string();
    assert!(said.contains("`states.1.layers.1.wkv`"), "{said}");
    let bytes = fs::read(&place.0).unwrap();
    for length in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&place.0, &bytes[..length]).unwrap();
        assert!(Chat::load(&place.0, &model, &GO).is_err(), "{length} bytes");
    }
}
