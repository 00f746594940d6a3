//! The tree: going back and forth, going on, and what is kept.

use super::*;
use crate::generate::generate;

/// Says it and returns the memory after.
fn after(model: &Model, chat: &mut Chat, text: &str) -> State {
    say(model, chat, text);
    chat.state().clone()
}

fn parents(chat: &Chat) -> Vec<usize> {
    chat.all_turns().iter().map(|turn| turn.asked.parent).collect()
}

fn go(model: &Model, chat: &mut Chat, number: usize) {
    chat.jump(model, number, &GO).unwrap();
}

fn more(model: &Model, chat: &mut Chat, seed: Option<u64>) -> Generation {
    chat.continue_reply(model, seed, &GO, |_| Ok(true)).unwrap()
}

#[test]
fn undo_and_redo_are_inverse() {
    let (model, mut chat) = toy("world");
    let states: Vec<State> = ["a", "b", "c"].map(|text| after(&model, &mut chat, text)).into();
    for round in 0..2 {
        assert!(!chat.redo(&model, &GO).unwrap(), "there is nothing after the newest turn");
        for (number, state) in [(2, &states[1]), (1, &states[0])] {
            assert!(chat.undo(&model, &GO).unwrap());
            assert!(chat.number() == number && chat.state().equals(state), "{round}");
        }
        for (number, state) in [(2, &states[1]), (3, &states[2])] {
            assert!(chat.redo(&model, &GO).unwrap());
            assert!(chat.number() == number && chat.state().equals(state), "{round}");
        }
    }
    assert_eq!((parents(&chat), chat.path()), (vec![0, 1, 2], vec![1, 2, 3]));
}

#[test]
fn other_answers_stand_side_by_side() {
    let (model, mut chat) = toy("world");
    say(&model, &mut chat, "a");
    let first = after(&model, &mut chat, "b");
    chat.options.seed = 77;
    let other = chat.regenerate(&model, &GO, |_| Ok(true)).unwrap();
    assert_eq!((chat.number(), parents(&chat)), (3, vec![0, 1, 1]));
    assert_eq!(chat.turns()[1].answer.reply, other.text.trim());
    let after_other = chat.state().clone();
    assert!(chat.regenerate(&model, &GO, |_| anyhow::bail!("no")).is_err());
    assert!(chat.state().equals(&after_other) && chat.all_turns().len() == 3, "nothing changed");
    go(&model, &mut chat, 2);
    assert!(chat.state().equals(&first));
    // Back and forth follows what was visited last.
    chat.undo(&model, &GO).unwrap();
    chat.redo(&model, &GO).unwrap();
    assert_eq!(chat.number(), 2);
    let beyond = chat.jump(&model, 4, &GO).unwrap_err().to_string();
    assert!(beyond.contains("there is no turn 4; this chat has 3"), "{beyond}");
    assert_eq!(chat.number(), 2);
}

#[test]
fn an_edited_question_makes_a_branch_where_it_stood() {
    let (model, mut chat) = toy("world");
    for text in ["a", "b", "c"] {
        say(&model, &mut chat, text);
    }
    chat.edit(&model, 2, &"x".into(), &GO, |_| Ok(true)).unwrap();
    assert_eq!((parents(&chat), chat.path()), (vec![0, 1, 2, 1], vec![1, 4]));
    let (_, mut straight) = toy("world");
    for text in ["a", "x"] {
        say(&model, &mut straight, text);
    }
    assert!(chat.state().equals(straight.state()), "as if nothing else had been said");
    assert_eq!(chat.prompt(&"y".into()).unwrap(), straight.prompt(&"y".into()).unwrap());
    assert_eq!(chat.tokens(), straight.tokens());
    for (number, words) in [(0, "turn 0 is the start"), (9, "there is no turn 9")] {
        let said = chat.edit(&model, number, &"x".into(), &GO, |_| Ok(true)).unwrap_err();
        assert!(said.to_string().contains(words), "{said}");
    }
}

#[test]
fn an_answer_that_goes_on_is_the_answer_that_was_not_cut() {
    for (format, think) in [("world", Think::Off), ("g1", Think::On), ("plain", Think::Off)] {
        let (model, mut whole) = toy(format);
        whole.template.think = think;
        whole.options.sampler.presence_penalty = 0.5;
        let mut part = whole.clone();
        whole.options.max_tokens = 12;
        let (said, wanted) = (say(&model, &mut part, "a"), say(&model, &mut whole, "a"));
        assert_eq!((said.tokens.len(), said.finish), (4, Finish::Length));
        for max_tokens in [1, 7] {
            part.options.max_tokens = max_tokens;
            more(&model, &mut part, None);
        }
        let turn = part.turns()[0];
        assert_eq!((turn.tokens(), part.all_turns().len()), (&wanted.tokens[..], 1), "{format}");
        assert_eq!(turn.answer, whole.turns()[0].answer);
        assert!(part.state().equals(whole.state()), "{format}");
        assert_eq!(part.prompt(&"b".into()).unwrap(), whole.prompt(&"b".into()).unwrap());
    }
}

#[test]
fn what_is_cut_by_hand_goes_on_and_what_is_over_does_not() {
    let (model, mut chat) = toy("world");
    let stop = AtomicBool::new(false);
    let out = chat.say(&model, &"a".into(), &stop, |_| {
        stop.store(true, Ordering::Relaxed);
        Ok(true)
    });
    let reply = out.unwrap().text;
    assert_eq!(chat.turns()[0].finish, Finish::Interrupted);
    assert!(more(&model, &mut chat, None).text.starts_with(&reply));
    say(&model, &mut chat, "b");
    // A longer answer would not fit what followed, so it stands beside the shorter one.
    go(&model, &mut chat, 1);
    more(&model, &mut chat, None);
    assert_eq!((chat.number(), parents(&chat)), (3, vec![0, 1, 0]));
    let before = chat.turns()[0].tokens().to_vec();
    let other = more(&model, &mut chat, Some(99));
    assert!(other.tokens.starts_with(&before) && other.luck.seed == 99);
    force(&mut chat, b'\n');
    say(&model, &mut chat, "c");
    let over = chat.continue_reply(&model, None, &GO, |_| Ok(true)).unwrap_err().to_string();
    assert!(over.contains("came to its end (stop); regenerate"), "{over}");
}

#[test]
fn a_memory_has_read_what_the_turns_say_and_no_more() {
    for (format, think) in [("world", Think::Off), ("g1", Think::Fast), ("plain", Think::Off)] {
        let (model, mut chat) = toy(format);
        chat.template.think = think;
        let agree = |chat: &Chat| {
            let read = chat.state().past.tokens;
            assert_eq!(read, chat.tokens() as u64, "{format}: turn {}", chat.number());
        };
        for text in ["a", "b"] {
            say(&model, &mut chat, text);
            agree(&chat);
            more(&model, &mut chat, None);
            agree(&chat);
        }
        let answer = chat.regenerate(&model, &GO, |_| Ok(true)).unwrap();
        agree(&chat);
        chat.undo(&model, &GO).unwrap();
        agree(&chat);
        chat.edit(&model, 1, &"c".into(), &GO, |_| Ok(true)).unwrap();
        agree(&chat);
        go(&model, &mut chat, 2);
        chat.accept(&model, &answer, &GO).unwrap();
        agree(&chat);
        chat.set_budget(0);
        for number in [1, 4, 2, 3] {
            go(&model, &mut chat, number);
            agree(&chat);
        }
    }
}

#[test]
fn an_answer_is_accepted_wherever_it_comes_from() {
    let (model, mut chat) = toy("world");
    let nothing = say(&model, &mut chat.clone(), "a");
    let early = chat.accept(&model, &nothing, &GO).unwrap_err().to_string();
    assert!(early.contains("no answer yet"), "{early}");
    let first = say(&model, &mut chat, "a");
    chat.options.seed = 8;
    chat.regenerate(&model, &GO, |_| Ok(true)).unwrap();
    chat.accept(&model, &first, &GO).unwrap();
    assert_eq!((chat.number(), chat.all_turns().len()), (1, 2), "it was there already");
    let prompt = encode(&model, "User: a\n\nAssistant:", false).unwrap();
    let options = Options { seed: 5, max_tokens: 6, end: vec![], ..Options::default() };
    let made = generate(&model, &prompt, &model.state(), &options, &GO, |_| Ok(true)).unwrap();
    chat.accept(&model, &made, &GO).unwrap();
    assert_eq!((chat.number(), parents(&chat)), (3, vec![0, 0, 0]));
    assert!(chat.state().equals(&made.state) && chat.turns()[0].asked.question.text == "a");
    say(&model, &mut chat, "b");
    chat.set_budget(0);
    go(&model, &mut chat, 3);
    assert!(chat.state().equals(&made.state), "what was not read here is never dropped");
    let small = Model::load("toy:rwkv4", &crate::model::Loading::default(), &model.place).unwrap();
    let foreign = generate(&small, &prompt, &small.state(), &options, &GO, |_| Ok(true)).unwrap();
    assert!(chat.accept(&model, &foreign, &GO).is_err() && chat.number() == 3);
}

#[test]
fn an_edited_memory_belongs_to_the_turns_said_from_it() {
    let (model, mut chat) = toy("world");
    say(&model, &mut chat, "a");
    let (plain, edited) = (chat.state().clone(), chat.state().scaled(0.5));
    chat.set_state(edited.clone());
    let changed = chat.continue_reply(&model, None, &GO, |_| Ok(true)).unwrap_err().to_string();
    assert!(changed.contains("go back to the answer as it was with jump(1)"), "{changed}");
    let after_edit = after(&model, &mut chat, "b");
    assert!(chat.before(chat.turns()[1]).unwrap().equals(&edited));
    chat.regenerate(&model, &GO, |_| Ok(true)).unwrap();
    assert!(chat.state().equals(&after_edit), "the same seed from the same memory");
    chat.undo(&model, &GO).unwrap();
    assert!(chat.state().equals(&edited), "what it was before");
    go(&model, &mut chat, 1);
    assert!(chat.state().equals(&plain));
    chat.set_budget(0);
    go(&model, &mut chat, 2);
    assert!(chat.state().equals(&after_edit), "read again from the edited memory");
}

/// A conversation of `count` turns in a row and two short side branches.
fn long(count: usize) -> (Model, Chat, Vec<State>) {
    let (model, mut chat) = toy("world");
    chat.options.max_tokens = 2;
    let mut states: Vec<State> =
        (0..count).map(|i| after(&model, &mut chat, &format!("q{i}"))).collect();
    for number in [2, count / 2] {
        go(&model, &mut chat, number);
        states.push(after(&model, &mut chat, "aside"));
    }
    (model, chat, states)
}

#[test]
fn the_budget_is_kept_and_what_was_dropped_comes_back_the_same() {
    let (model, chat, states) = long(20);
    let one = model.state().bytes();
    let kept = |chat: &Chat| chat.all_turns().iter().filter(|turn| turn.state().is_some()).count();
    assert!(kept(&chat) == 22 && chat.bytes() > 23 * one);
    for budget in [0, 3 * one, 6 * one, 14 * one, usize::MAX] {
        let mut chat = chat.clone();
        chat.set_budget(budget);
        for number in [1, 22, 20, 7, 2, 21, 0, 13] {
            go(&model, &mut chat, number);
            // At least the start and the present.
            assert!(chat.bytes() <= budget.max(2 * one), "{} of {budget}", chat.bytes());
            let expected =
                number.checked_sub(1).map_or_else(|| model.state(), |at| states[at].clone());
            assert!(chat.state().equals(&expected), "turn {number} with {budget} bytes");
        }
    }
}

#[test]
fn old_turns_are_thinned_out_evenly() {
    let (model, mut chat, _) = long(16);
    go(&model, &mut chat, 16);
    let one = model.state().bytes();
    chat.set_budget(10 * one);
    let kept: Vec<usize> =
        chat.path().into_iter().filter(|n| chat.all_turns()[n - 1].state().is_some()).collect();
    assert!(kept.ends_with(&[14, 15, 16]) && kept.len() >= 7, "{kept:?}");
    let gaps = kept.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.max() <= Some(4) && kept[0] <= 4, "{kept:?}");
}

#[test]
fn a_branch_shares_all_memories_and_goes_its_own_way() {
    let (model, mut chat) = toy("world");
    say(&model, &mut chat, "a");
    let (mut branch, bytes) = (chat.clone(), chat.bytes());
    say(&model, &mut branch, "b");
    assert_eq!((chat.all_turns().len(), chat.bytes()), (1, bytes));
    assert_eq!(parents(&branch), [0, 1]);
    let shared = |chat: &Chat| chat.all_turns()[0].state().map(std::ptr::from_ref);
    assert_eq!(shared(&chat), shared(&branch), "one memory, not two");
}

#[test]
fn an_interrupt_on_the_way_back_changes_nothing() {
    let (model, mut chat, _) = long(6);
    chat.set_budget(0);
    let (now, state) = (chat.number(), chat.state().clone());
    let stop = AtomicBool::new(true);
    let error = chat.jump(&model, 5, &stop).unwrap_err();
    assert!(error.is::<crate::model::Interrupted>());
    assert!(chat.number() == now && chat.state().equals(&state));
}
