use super::*;
use crate::device;
use crate::model::Loading;

static GO: AtomicBool = AtomicBool::new(false);

fn toy() -> Model {
    Model::load("toy:rwkv7", &Loading::default(), &device::choose("cpu").unwrap()).unwrap()
}

fn run(options: &Options) -> Generation {
    let model = toy();
    generate(&model, &[72, 105], &model.state(), options, &GO, |_| Ok(true)).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let of = |seed| run(&Options { seed, max_tokens: 20, end: vec![], ..Options::default() });
    assert_eq!(of(1).tokens, of(1).tokens);
    assert_ne!(of(1).tokens, of(2).tokens);
    assert_eq!((of(1).tokens.len(), of(1).finish), (20, Finish::Length));
}

#[test]
fn the_state_stands_after_all_tokens() {
    let model = toy();
    let out = run(&Options { max_tokens: 5, end: vec![], ..Options::default() });
    let all = [vec![72, 105], out.tokens.clone()].concat();
    let (logits, state) = model.read(&all, &model.state(), &GO).unwrap();
    assert!(state.distance(&out.state).unwrap().max_abs < 1e-5);
    assert!(logits.max_abs_diff(&out.logits).unwrap() < 1e-4);
}

#[test]
fn ends_are_told_apart() {
    let first = run(&Options { max_tokens: 1, end: vec![], ..Options::default() });
    let ended = run(&Options { end: first.tokens.clone(), ..Options::default() });
    assert_eq!((ended.finish, ended.tokens.len()), (Finish::End, 1));
    let model = toy();
    let options = Options { end: vec![], ..Options::default() };
    let mut seen = 0;
    let called = generate(&model, &[1], &model.state(), &options, &GO, |_| {
        seen += 1;
        Ok(seen < 3)
    });
    let called = called.unwrap();
    assert_eq!((called.finish, called.tokens.len()), (Finish::Callback, 3));
}

#[test]
fn an_interrupt_keeps_what_there_is() {
    let (model, stop) = (toy(), AtomicBool::new(false));
    let options = Options { end: vec![], ..Options::default() };
    let out = generate(&model, &[1], &model.state(), &options, &stop, |_| {
        stop.store(true, Ordering::Relaxed);
        Ok(true)
    });
    let out = out.unwrap();
    assert_eq!((out.finish, out.tokens.len()), (Finish::Interrupted, 1));
    let early = generate(&model, &[1], &model.state(), &options, &stop, |_| Ok(true));
    assert!(early.unwrap_err().is::<Interrupted>());
}

#[test]
fn an_empty_prompt_is_refused() {
    let model = toy();
    let options = Options::default();
    let error = generate(&model, &[], &model.state(), &options, &GO, |_| Ok(true));
    assert!(error.unwrap_err().to_string().contains("empty"));
    let beyond = model.read(&[256], &model.state(), &GO).unwrap_err().to_string();
    assert!(beyond.contains("token 256 is out of range"), "{beyond}");
}
