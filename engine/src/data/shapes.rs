//! Pictures of coloured shapes with questions about them, as many as anybody wants: what a small
//! model can learn to see.
//!
//! Up to nine things stand in the fields of a three by three grid, each a circle, a square or a
//! triangle in one of six colours, small or large. Some wordings of the questions are never used in
//! training, so that a model can be asked in words it was not asked in before.

mod questions;
mod wordings;

use std::ops::RangeInclusive;

use anyhow::{Result, ensure};

pub use questions::KINDS;

use crate::image::Image;
use crate::random::Random;

/// Names of shapes.
const SHAPES: [&str; 3] = ["circle", "square", "triangle"];

/// Names of colours, with their red, green and blue.
const COLOURS: [(&str, [u8; 3]); 6] = [
    ("red", [220, 40, 40]),
    ("green", [40, 170, 60]),
    ("blue", [50, 80, 220]),
    ("yellow", [235, 215, 50]),
    ("purple", [150, 60, 190]),
    ("orange", [245, 140, 30]),
];

/// Names of the fields, row after row.
const FIELDS: [&str; 9] = [
    "top left",
    "top",
    "top right",
    "left",
    "middle",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
];

/// Greys of what is behind the things.
const BACKGROUNDS: [u8; 5] = [250, 225, 128, 30, 0];

/// Sides of a picture in pixels.
const SIDE: usize = 96;

/// How often chance is asked for a question of a kind, and for a kind that can be asked.
const TRIES: usize = 32;

/// What there is to see and to ask.
#[derive(Clone, Debug, PartialEq)]
pub struct Shapes {
    /// How many things a picture has, at most nine.
    pub things: RangeInclusive<usize>,
    /// How many questions are asked about it.
    pub questions: usize,
    /// Kinds of questions, out of [`KINDS`].
    pub kinds: Vec<&'static str>,
    /// Whether the questions are worded as no other ones are.
    pub held_out: bool,
}

/// A question about a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it asks for, out of [`KINDS`].
    pub kind: &'static str,
    /// Its words.
    pub question: String,
    /// The only right answer.
    pub answer: String,
}

/// Something in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Thing {
    shape: usize,
    colour: usize,
    large: bool,
    field: usize,
    /// Its middle and its radius, in sides of the picture.
    at: [f32; 2],
    radius: f32,
}

impl Default for Shapes {
    fn default() -> Self {
        Self { things: 1..=4, questions: 6, kinds: KINDS.to_vec(), held_out: false }
    }
}

impl Shapes {
    /// Checks that there are such pictures and questions.
    ///
    /// # Errors
    /// Says which setting allows none.
    pub fn check(&self) -> Result<()> {
        let (low, high) = (*self.things.start(), *self.things.end());
        ensure!(
            1 <= low && low <= high && high <= FIELDS.len(),
            "`things` must go up from 1 or more to 9 or less, not from {low} to {high}."
        );
        ensure!(self.questions > 0, "`questions` must be at least 1.");
        ensure!(!self.kinds.is_empty(), "`kinds` must name one at least: {}.", KINDS.join(", "));
        Ok(())
    }

    /// A picture and what is asked about it; the same numbers by chance make the same ones.
    pub fn sample(&self, random: &mut Random) -> (Image, Vec<Asked>) {
        loop {
            let things = self.things(random);
            let asked: Vec<_> =
                (0..self.questions).map_while(|_| self.ask(&things, random)).collect();
            if asked.len() == self.questions {
                return (picture(&things, random), asked);
            }
        }
    }

    /// A question that the picture allows: of some nothing can be asked, such as which of one thing
    /// is larger. Every kind is as likely where it can be asked at all.
    fn ask(&self, things: &[Thing], random: &mut Random) -> Option<Asked> {
        let of_kind = |kind: &'static str, random: &mut Random| {
            (0..TRIES).find_map(|_| questions::ask(kind, things, self.held_out, random))
        };
        (0..TRIES).find_map(|_| of_kind(self.kinds[random.below(self.kinds.len())], random))
    }

    /// Things in fields of their own, in the order of the fields.
    fn things(&self, random: &mut Random) -> Vec<Thing> {
        let mut fields: Vec<usize> = (0..FIELDS.len()).collect();
        random.shuffle(&mut fields);
        fields.truncate(random.within(&self.things));
        fields.sort_unstable();
        let thing = |field: usize| {
            let large = random.happens(0.5);
            let radius = if large { 0.14 } else { 0.095 } + 0.015 * random.unit();
            let room = 1.0 / 6.0 - radius - 0.005;
            let mut place = |i: usize| (i as f32 + 0.5) / 3.0 + room * (2.0 * random.unit() - 1.0);
            let at = [place(field % 3), place(field / 3)];
            let (shape, colour) = (random.below(SHAPES.len()), random.below(COLOURS.len()));
            Thing { shape, colour, large, field, at, radius }
        };
        fields.into_iter().map(thing).collect()
    }
}

/// A picture to try things out with: a large red circle, a small blue square and a large green
/// triangle.
pub fn example() -> Image {
    let thing = |shape, colour, large, field: usize| Thing {
        shape,
        colour,
        large,
        field,
        at: [(field % 3) as f32 / 3.0 + 1.0 / 6.0, (field / 3) as f32 / 3.0 + 1.0 / 6.0],
        radius: if large { 0.15 } else { 0.1 },
    };
    let things = [thing(0, 0, true, 0), thing(1, 2, false, 5), thing(2, 1, true, 7)];
    let mut image = picture(&things, &mut Random::new(1));
    image.name = "sample:shapes".to_string();
    image
}

/// The picture of these things; no two backgrounds and colours are quite the same.
fn picture(things: &[Thing], random: &mut Random) -> Image {
    let grey = *random.pick(&BACKGROUNDS);
    let mut image = Image::plain("shapes", SIDE, SIDE, [grey; 3]).expect("a side has pixels");
    for thing in things {
        let (_, colour) = COLOURS[thing.colour];
        let colour = colour.map(|level| shaken(level, 18, random));
        let [x, y, r] = [thing.at[0], thing.at[1], thing.radius].map(|part| part * SIDE as f32);
        image.paint([x - r, y - r, x + r, y + r], colour, |px, py| {
            let (dx, dy) = (px - x, py - y);
            match thing.shape {
                0 => dx * dx + dy * dy <= r * r,
                1 => dx.abs().max(dy.abs()) <= r,
                _ => dy <= 0.85 * r && dy >= 2.0 * dx.abs() - 0.95 * r,
            }
        });
    }
    image.pixels.iter_mut().for_each(|level| *level = shaken(*level, 4, random));
    image
}

/// A level that is at most `most` away.
fn shaken(level: u8, most: usize, random: &mut Random) -> u8 {
    let far = random.below(2 * most + 1) as i32 - most as i32;
    (i32::from(level) + far).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests;
