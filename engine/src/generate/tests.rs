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

/// The same options with other numbers of tokens.
fn at_most(options: &Options, max_tokens: usize) -> Options {
    Options { max_tokens, ..options.clone() }
}

#[test]
fn a_text_taken_up_again_is_the_text_written_at_once() {
    let model = toy();
    let sampler = Sampler { presence_penalty: 0.4, frequency_penalty: 0.4, ..Sampler::default() };
    let usual = Options { sampler, seed: 5, end: vec![], ..Options::default() };
    let mirostat = Sampler { mirostat: 2, repetition_penalty: 1.2, ..Sampler::plain() };
    let steered = Options { sampler: mirostat, ..usual.clone() };
    let formed = Options { form: Some(Form::Regex("[a-c]{40}".into())), ..usual.clone() };
    for options in [usual, steered, formed] {
        let prompt = [72, 105];
        let go = |limit| {
            let options = at_most(&options, limit);
            generate(&model, &prompt, &model.state(), &options, &GO, |_| Ok(true)).unwrap()
        };
        let (whole, mut part) = (go(24), go(7));
        for more in [1, 0, 16] {
            let options = at_most(&options, more);
            part = resume(&model, &prompt, &part, &options, &GO, |_| Ok(true)).unwrap();
        }
        assert_eq!((&part.text, &part.tokens), (&whole.text, &whole.tokens));
        assert_eq!((&part.logprobs, part.luck), (&whole.logprobs, whole.luck));
        assert!(part.state.equals(&whole.state) && part.finish == Finish::Length);
        let other = Options { seed: 6, ..at_most(&options, 16) };
        let other = resume(&model, &prompt, &go(8), &other, &GO, |_| Ok(true)).unwrap();
        assert_ne!(other.tokens, whole.tokens, "another seed goes another way");
    }
}

/// Options that let nothing come but this letter.
fn only(letter: u8) -> Options {
    let ban = (0..256).filter(|&id| id != u32::from(letter)).collect();
    let sampler = Sampler { ban, ..Sampler::plain() };
    Options { sampler, end: vec![], ..Options::default() }
}

#[test]
fn a_stop_may_begin_before_the_break_but_not_lie_there() {
    let (model, prompt) = (toy(), [72]);
    let stop =
        |text: &str, max_tokens| Options { stop: vec![text.into()], max_tokens, ..only(b'x') };
    let part = generate(&model, &prompt, &model.state(), &stop("xxx", 2), &GO, |_| Ok(true));
    let part = part.unwrap();
    assert_eq!((part.text.as_str(), part.finish), ("xx", Finish::Length));
    let whole = resume(&model, &prompt, &part, &stop("xxx", 9), &GO, |_| Ok(true)).unwrap();
    assert_eq!((whole.text.as_str(), whole.finish), ("", Finish::Stop));
    let whole = resume(&model, &prompt, &part, &stop("xx", 9), &GO, |_| Ok(true)).unwrap();
    assert_eq!((whole.text.as_str(), whole.finish), ("xx", Finish::Stop), "two more came");
    assert_eq!(whole.tokens.len(), 4);
}

#[test]
fn a_choice_that_was_not_read_is_made_again() {
    let (model, stop) = (toy(), AtomicBool::new(false));
    let options = Options { seed: 3, end: vec![], ..Options::default() };
    let whole = generate(&model, &[1], &model.state(), &at_most(&options, 9), &GO, |_| Ok(true));
    let part = generate(&model, &[1], &model.state(), &options, &stop, |piece| {
        stop.store(piece.logprob < 0.0, Ordering::Relaxed);
        Ok(true)
    });
    let part = part.unwrap();
    let more = at_most(&options, 9 - part.tokens.len());
    let part = resume(&model, &[1], &part, &more, &GO, |_| Ok(true)).unwrap();
    assert_eq!(part.tokens, whole.unwrap().tokens);
}
