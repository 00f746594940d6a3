//! How questions about pictures of shapes are worded.

/// How to ask: wordings to learn, and wordings to be asked in later. `{X}` and `{Y}` are things,
/// `{N}` and `{M}` kinds of things, `{P}` a place, `{R}` a relation.
pub(super) struct Wordings {
    pub(super) known: &'static [&'static str],
    pub(super) held_out: &'static [&'static str],
}

/// The wordings of every kind of question.
#[rustfmt::skip]
const WORDINGS: [(&str, Wordings); 12] = [
    ("colour", Wordings {
        known: &[
            "What {colour} is {X}?",
            "Which {colour} does {X} have?",
            "What is the {colour} of {X}?",
            "Tell me the {colour} of {X}.",
        ],
        held_out: &["Which {colour} is {X}?", "Tell me what {colour} {X} is."],
    }),
    ("shape", Wordings {
        known: &[
            "What shape is {X}?",
            "Which shape does {X} have?",
            "What is the shape of {X}?",
            "Tell me the shape of {X}.",
        ],
        held_out: &["Which shape is {X}?", "Tell me what shape {X} is."],
    }),
    ("size", Wordings {
        known: &[
            "Is {X} small or large?",
            "What size is {X}?",
            "What is the size of {X}?",
            "Tell me the size of {X}.",
        ],
        held_out: &["Which size does {X} have?", "Tell me what size {X} is."],
    }),
    ("count", Wordings {
        known: &[
            "How many {N} are there?",
            "How many {N} do you see?",
            "What is the number of {N}?",
            "Tell me the number of {N}.",
            "Count the {N}.",
        ],
        held_out: &["How many {N} are in the picture?", "Tell me how many {N} there are."],
    }),
    ("exists", Wordings {
        known: &[
            "Is there {A}?",
            "Do you see {A}?",
            "Is there {A} in the picture?",
            "Does the picture have {A}?",
        ],
        held_out: &["Do you see {A} in the picture?", "Tell me, is there {A}?"],
    }),
    ("where", Wordings {
        known: &[
            "Where is {X}?",
            "Where do you see {X}?",
            "What is the place of {X}?",
            "Tell me the place of {X}.",
        ],
        held_out: &["Tell me where {X} is.", "Where is {X} in the picture?"],
    }),
    ("at", Wordings {
        known: &[
            "What is at the {P}?",
            "What do you see at the {P}?",
            "Which object is at the {P}?",
            "What is at the {P} of the picture?",
        ],
        held_out: &["Tell me what is at the {P}.", "Which object do you see at the {P}?"],
    }),
    ("more", Wordings {
        known: &[
            "Are there more {N} than {M}?",
            "Do you see more {N} than {M}?",
            "Does the picture have more {N} than {M}?",
        ],
        held_out: &["Tell me, are there more {N} than {M}?", "Are more {N} than {M} in the picture?"],
    }),
    ("beside", Wordings {
        known: &[
            "Is {X} {R} {Y}?",
            "Do you see {X} {R} {Y}?",
            "In the picture, is {X} {R} {Y}?",
        ],
        held_out: &["Tell me, is {X} {R} {Y}?", "Is {X} {R} {Y} in the picture?"],
    }),
    ("larger", Wordings {
        known: &[
            "Which is larger, {X} or {Y}?",
            "Which object is larger, {X} or {Y}?",
            "What is larger, {X} or {Y}?",
        ],
        held_out: &["Tell me which is larger, {X} or {Y}.", "Which do you see larger, {X} or {Y}?"],
    }),
    ("describe", Wordings {
        known: &[
            "Describe the picture.",
            "What is in the picture?",
            "What do you see?",
        ],
        held_out: &["Tell me what you see.", "What do you see in the picture?"],
    }),
    ("fields", Wordings {
        known: &[
            "What is in every field?",
            "Tell me all fields of the picture.",
            "Describe every field.",
        ],
        held_out: &["Tell me what is in every field.", "What do you see in every field?"],
    }),
];

/// Those of a kind.
pub(super) fn wordings(kind: &str) -> &'static Wordings {
    let found = WORDINGS.iter().find(|(name, _)| *name == kind);
    &found.expect("every kind has wordings").1
}
