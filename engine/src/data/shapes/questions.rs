//! What can be asked about a picture of shapes, and how.

use super::wordings::wording;
use super::{Asked, COLOURS, FIELDS, SHAPES, Thing};
use crate::random::Random;

/// What questions ask for.
pub const KINDS: [&str; 12] = [
    "colour", "shape", "size", "count", "exists", "where", "at", "more", "beside", "larger",
    "describe", "fields",
];

const NUMBERS: [&str; 10] =
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// How one thing may stand to another, and how much farther along which axis it then is.
const RELATIONS: [(&str, [i32; 2]); 6] = [
    ("left of", [-1, 0]),
    ("to the left of", [-1, 0]),
    ("right of", [1, 0]),
    ("to the right of", [1, 0]),
    ("above", [0, -1]),
    ("below", [0, 1]),
];

/// What is said of a thing, as far as it is.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    large: Option<bool>,
    colour: Option<usize>,
    shape: Option<usize>,
}

impl Kind {
    fn means(self, thing: &Thing) -> bool {
        self.large.is_none_or(|large| large == thing.large)
            && self.colour.is_none_or(|colour| colour == thing.colour)
            && self.shape.is_none_or(|shape| shape == thing.shape)
    }

    fn words(self) -> String {
        let large = self.large.map(size);
        let colour = self.colour.map(|colour| COLOURS[colour].0);
        let shape = Some(self.shape.map_or("object", |shape| SHAPES[shape]));
        let words = [large, colour, shape];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Some of what can be said of the thing, never nothing.
    fn of(thing: &Thing, random: &mut Random) -> Self {
        let (large, colour, shape) = (Some(thing.large), Some(thing.colour), Some(thing.shape));
        let all = [
            Self { shape, ..Self::default() },
            Self { colour, ..Self::default() },
            Self { colour, shape, ..Self::default() },
            Self { large, shape, ..Self::default() },
            Self { large, colour, ..Self::default() },
        ];
        *random.pick(&all)
    }

    /// The same number of properties, drawn anew.
    fn other(self, random: &mut Random) -> Self {
        Self {
            large: self.large.map(|_| random.happens(0.5)),
            colour: self.colour.map(|_| random.below(COLOURS.len())),
            shape: self.shape.map(|_| random.below(SHAPES.len())),
        }
    }
}

fn size(large: bool) -> &'static str {
    if large { "large" } else { "small" }
}

/// Words with their article.
fn a(words: &str) -> String {
    let vowel = words.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {words}", if vowel { "an" } else { "a" })
}

/// A thing as an answer tells it.
fn told(thing: &Thing) -> String {
    let Thing { colour, shape, large, .. } = *thing;
    a(&Kind { large: Some(large), colour: Some(colour), shape: Some(shape) }.words())
}

/// A question of this kind; none where the picture does not allow one, or chance did not find it.
pub(super) fn ask(
    kind: &'static str,
    things: &[Thing],
    held_out: bool,
    random: &mut Random,
) -> Option<Asked> {
    let mut asking = Asking { things, random, words: Vec::new(), used: Vec::new() };
    let answer = asking.answer(kind)?;
    let Asking { random, words, .. } = asking;
    let mut question = wording(kind, held_out, random);
    let colour = if random.happens(0.5) { "colour" } else { "color" };
    question = question.replace("{colour}", colour);
    for (place, words) in words {
        question = question.replace(place, &words);
    }
    Some(Asked { kind, question, answer })
}

/// A question in the making.
struct Asking<'a> {
    things: &'a [Thing],
    random: &'a mut Random,
    /// What stands in the places of the wording.
    words: Vec<(&'static str, String)>,
    /// What is asked about already.
    used: Vec<usize>,
}

impl Asking<'_> {
    fn answer(&mut self, kind: &str) -> Option<String> {
        Some(match kind {
            "colour" => {
                self.of_one(|said| said.colour.is_none(), |x| COLOURS[x.colour].0.into())?
            }
            "shape" => self.of_one(|said| said.shape.is_none(), |x| SHAPES[x.shape].into())?,
            "size" => self.of_one(|said| said.large.is_none(), |x| size(x.large).into())?,
            "where" => self.of_one(|_| true, |x| FIELDS[x.field].into())?,
            "count" => self.count(),
            "exists" => self.exists()?,
            "at" => self.at(),
            "more" => self.more()?,
            "beside" => self.beside()?,
            "larger" => self.larger()?,
            "describe" => self.describe(),
            _ => self.fields(),
        })
    }

    /// Says one thing so that no other is meant, and what `tells` tells of it; what is said may not
    /// be what is asked for.
    fn of_one(
        &mut self,
        allowed: impl Fn(Kind) -> bool,
        tells: impl Fn(&Thing) -> String,
    ) -> Option<String> {
        let thing = self.the("{X}", allowed)?;
        Some(tells(&thing))
    }

    /// Says a thing that was not said yet, so that no other is meant.
    fn the(&mut self, place: &'static str, allowed: impl Fn(Kind) -> bool) -> Option<Thing> {
        let at = self.random.below(self.things.len());
        let said = Kind::of(&self.things[at], self.random);
        let only = self.things.iter().filter(|thing| said.means(thing)).count() == 1;
        if !only || !allowed(said) || self.used.contains(&at) {
            return None;
        }
        self.used.push(at);
        self.words.push((place, format!("the {}", said.words())));
        Some(self.things[at])
    }

    /// A kind of things that may be there, in the plural; how many there are.
    fn some(&mut self, place: &'static str) -> usize {
        let things = self.things;
        let said = match self.random.below(6) {
            0 => Kind::default(),
            _ => Kind::of(self.random.pick(things), self.random),
        };
        let said = if self.random.happens(0.25) { said.other(self.random) } else { said };
        self.words.push((place, said.words() + "s"));
        things.iter().filter(|thing| said.means(thing)).count()
    }

    fn count(&mut self) -> String {
        NUMBERS[self.some("{N}")].to_string()
    }

    /// Every second answer is yes.
    fn exists(&mut self) -> Option<String> {
        let yes = self.random.happens(0.5);
        let there = Kind::of(self.random.pick(self.things), self.random);
        let found = |said: &Kind| self.things.iter().any(|thing| said.means(thing));
        let mut others = (0..9).map(|_| there.other(self.random));
        let said = if yes { Some(there) } else { others.find(|said| !found(said)) };
        self.words.push(("{A}", a(&said?.words())));
        Some(yes_or_no(yes))
    }

    /// What is in the field.
    fn told_at(&self, field: usize) -> String {
        let found = self.things.iter().find(|thing| thing.field == field);
        found.map_or("nothing".to_string(), told)
    }

    fn fields(&self) -> String {
        (0..FIELDS.len()).map(|field| self.told_at(field)).collect::<Vec<_>>().join(", ")
    }

    fn at(&mut self) -> String {
        let field = match self.random.happens(0.2) {
            true => self.random.below(FIELDS.len()),
            false => self.random.pick(self.things).field,
        };
        self.words.push(("{P}", FIELDS[field].to_string()));
        self.told_at(field)
    }

    fn more(&mut self) -> Option<String> {
        let yes = self.random.happens(0.5);
        let (first, second) = (self.some("{N}"), self.some("{M}"));
        let same = self.words[0].1 == self.words[1].1;
        // As many of both is a no, but not a common one.
        if same || first == second && (yes || self.random.happens(0.75)) {
            return None;
        }
        if (first > second) != yes {
            self.words.iter_mut().for_each(|(place, _)| {
                *place = if *place == "{N}" { "{M}" } else { "{N}" };
            });
        }
        Some(yes_or_no(yes))
    }

    fn beside(&mut self) -> Option<String> {
        let yes = self.random.happens(0.5);
        let (x, y) = (self.the("{X}", |_| true)?, self.the("{Y}", |_| true)?);
        let (relation, far) = *self.random.pick(&RELATIONS);
        self.words.push(("{R}", relation.to_string()));
        let place = |thing: &Thing| [thing.field % 3, thing.field / 3].map(|at| at as i32);
        let (from, to) = (place(&y), place(&x));
        let along = (to[0] - from[0]) * far[0] + (to[1] - from[1]) * far[1];
        // In the same row or column neither is farther.
        (along != 0 && (along > 0) == yes).then(|| yes_or_no(yes))
    }

    fn larger(&mut self) -> Option<String> {
        let plain = |said: Kind| said.large.is_none();
        let (x, y) = (self.the("{X}", plain)?, self.the("{Y}", plain)?);
        let words = |i: usize| self.words[i].1.clone();
        match (x.large, y.large) {
            (true, false) => Some(words(0)),
            (false, true) => Some(words(1)),
            _ => None,
        }
    }

    fn describe(&mut self) -> String {
        let mut all: Vec<String> = self.things.iter().map(told).collect();
        let last = all.pop().unwrap_or_default();
        if all.is_empty() { last } else { format!("{} and {last}", all.join(", ")) }
    }
}

fn yes_or_no(yes: bool) -> String {
    if yes { "yes" } else { "no" }.to_string()
}

/// Every word that questions and answers are made of.
#[cfg(test)]
pub(super) fn words() -> std::collections::BTreeSet<String> {
    let names = SHAPES.into_iter().chain(COLOURS.map(|(name, _)| name)).chain(FIELDS);
    let others = ["yes no a an and nothing object objects the colour color small large"];
    let relations = RELATIONS.map(|(name, _)| name);
    let all = names.chain(NUMBERS).chain(others).chain(relations).map(str::to_string);
    let all: Vec<String> = all.chain(super::wordings::all()).collect();
    let mut words: std::collections::BTreeSet<String> = all
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphabetic() && c != '{' && c != '}'))
        .filter(|word| !word.is_empty() && !word.contains(['{', '}']))
        .map(str::to_string)
        .collect();
    words.extend(SHAPES.map(|shape| format!("{shape}s")));
    words
}
