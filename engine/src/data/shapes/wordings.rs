//! How questions about pictures of shapes are worded.
//!
//! Every kind of question has a few cores, and every core can stand in a few frames. A fifth of the
//! pairs is never used in training: each core and each frame is known then, but not this pair.

use super::KINDS;
use crate::random::Random;

/// How to ask. `{X}` and `{Y}` are things, `{A}` is one with its article, `{N}` and `{M}` are kinds of
/// things, `{P}` is a place and `{R}` a relation.
#[rustfmt::skip]
const CORES: [&[&str]; KINDS.len()] = [
    &["what {colour} is {X}?", "which {colour} does {X} have?", "what is the {colour} of {X}?",
      "tell me the {colour} of {X}.", "tell me what {colour} {X} is."],
    &["what shape is {X}?", "which shape does {X} have?", "what is the shape of {X}?",
      "tell me the shape of {X}.", "tell me what shape {X} is."],
    &["what size is {X}?", "is {X} small or large?", "what is the size of {X}?",
      "tell me the size of {X}.", "tell me what size {X} is."],
    &["how many {N} are there?", "how many {N} do you see?", "what is the number of {N}?",
      "tell me the number of {N}.", "count the {N}."],
    &["is there {A}?", "do you see {A}?", "does the picture have {A}?",
      "tell me whether there is {A}.", "can you see {A}?"],
    &["where is {X}?", "where do you see {X}?", "what is the place of {X}?",
      "tell me where {X} is.", "tell me the place of {X}."],
    &["what is at the {P}?", "what do you see at the {P}?", "which object is at the {P}?",
      "tell me what is at the {P}.", "what is there at the {P}?"],
    &["are there more {N} than {M}?", "do you see more {N} than {M}?",
      "does the picture have more {N} than {M}?", "tell me whether there are more {N} than {M}."],
    &["is {X} {R} {Y}?", "do you see {X} {R} {Y}?", "tell me whether {X} is {R} {Y}.",
      "is it so that {X} is {R} {Y}?"],
    &["which is larger, {X} or {Y}?", "which object is larger, {X} or {Y}?",
      "what is larger, {X} or {Y}?", "tell me which is larger, {X} or {Y}."],
    &["describe the picture.", "what do you see?", "what is there?", "tell me what you see.",
      "tell me what is there."],
    &["what is in every field?", "what do you see in every field?", "describe every field.",
      "tell me what is in every field.", "tell me all fields."],
];

/// What may stand before and behind a core.
const FRAMES: [(&str, &str); 5] =
    [("", ""), ("please, ", ""), ("in the picture, ", ""), ("look: ", ""), ("", ", please")];

/// A wording for a kind of question, one that is used in training or one that never is.
pub(super) fn wording(kind: &str, held_out: bool, random: &mut Random) -> String {
    let number = KINDS.iter().position(|known| *known == kind).expect("kinds are those of KINDS");
    loop {
        let (core, frame) = (random.below(CORES[number].len()), random.below(FRAMES.len()));
        if (number + core + frame).is_multiple_of(FRAMES.len()) == held_out {
            return framed(CORES[number][core], FRAMES[frame]);
        }
    }
}

fn framed(core: &str, (before, behind): (&str, &str)) -> String {
    let (words, mark) = core.split_at(core.len() - 1);
    let text = format!("{before}{words}{behind}{mark}");
    let first = text.chars().take(1).flat_map(char::to_uppercase);
    first.chain(text.chars().skip(1)).collect()
}

/// Every wording there is.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = String> {
    let cores = CORES.iter().flat_map(|cores| cores.iter());
    cores.flat_map(|core| FRAMES.into_iter().map(|frame| framed(core, frame)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_core_stands_in_its_frame() {
        assert_eq!(framed("count the {N}.", ("look: ", "")), "Look: count the {N}.");
        assert_eq!(framed("is there {A}?", ("", ", please")), "Is there {A}, please?");
    }

    /// Every core and every frame is known, but not every pair of them.
    #[test]
    fn every_core_and_every_frame_is_known() {
        let mut random = Random::new(1);
        for (kind, cores) in KINDS.into_iter().zip(CORES) {
            let [known, held_out] = [false, true].map(|held_out| {
                (0..2000).map(|_| wording(kind, held_out, &mut random)).collect::<BTreeSet<_>>()
            });
            assert!(known.is_disjoint(&held_out), "{kind}");
            for core in cores {
                let others =
                    FRAMES.into_iter().filter(|frame| known.contains(&framed(core, *frame)));
                assert_eq!(others.count(), 4, "{core} is held out in one frame");
            }
            for frame in FRAMES {
                assert!(cores.iter().any(|core| known.contains(&framed(core, frame))), "{frame:?}");
            }
            assert_eq!(known.len() + held_out.len(), cores.len() * FRAMES.len(), "{kind}");
        }
    }
}
