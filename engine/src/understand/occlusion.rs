//! Which parts of a picture an answer rests on: each is covered in turn, and what that takes from
//! the answer is measured (occlusion sensitivity, arXiv 1311.2901, section 4.2).

use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use crate::chat::{Chat, Template};
use crate::generate::Options;
use crate::image::Image;
use crate::model::Model;
use crate::tensor::Array;
use crate::tokenizer::Tokenizer;

/// What an answer rests on.
#[derive(Clone, Debug)]
pub struct Occlusion {
    /// The answer.
    pub answer: String,
    /// Its log-probability with the whole picture in sight.
    pub logprob: f64,
    /// By how much it falls when a part is covered, `[grid, grid]`, row after row; negative where
    /// the answer is likelier without that part.
    pub drops: Array,
}

/// Covers one of `grid` × `grid` parts of a picture after the other with the mean colour of the
/// whole. Without `answer` it is the likeliest one.
///
/// # Errors
/// When the model sees nothing, for a grid of nothing, and when `interrupt` is set.
pub fn occlusion(
    model: &Model,
    image: &Image,
    question: &str,
    answer: Option<&str>,
    grid: usize,
    interrupt: &AtomicBool,
) -> Result<Occlusion> {
    ensure!(
        (1..=image.width.min(image.height)).contains(&grid),
        "a picture of {} × {} pixels has no {grid} × {grid} parts.",
        image.width,
        image.height
    );
    let begin = |image: &Image| {
        let mut chat = Chat::new(model.state(), Template::default(), Options::chat(model))?;
        chat.show(model, image, interrupt)?;
        Ok::<_, anyhow::Error>(chat)
    };
    let mut whole = begin(image)?;
    let (answer, tokens) = match answer {
        Some(answer) => (answer.to_string(), spelled(&model.tokenizer, answer)?),
        None => {
            let made = whole.say(model, &question.into(), interrupt, |_| Ok(true))?;
            whole.jump(model, 0, interrupt)?;
            (made.text.trim().to_string(), made.tokens)
        }
    };
    ensure!(!tokens.is_empty(), "the model answers nothing; give `answer`.");
    let counter = model.progress.begin("covering".into(), "parts", (grid * grid) as u64);
    let likely = |chat: &mut Chat| chat.expects(model, &question.into(), &tokens, interrupt);
    let logprob = likely(&mut whole)?;
    let drop = |part: usize| {
        counter.add(1);
        Ok((logprob - likely(&mut begin(&covered(image, grid, part))?)?) as f32)
    };
    let drops = (0..grid * grid).map(drop).collect::<Result<Vec<f32>>>()?;
    Ok(Occlusion { answer, logprob, drops: Array::new(&[grid, grid], drops)? })
}

/// The answer as a model would say it.
fn spelled(tokenizer: &Tokenizer, answer: &str) -> Result<Vec<u32>> {
    tokenizer.encode(&format!(" {}", answer.trim()))
}

/// The picture with one part of it in the mean colour of the whole.
fn covered(image: &Image, grid: usize, part: usize) -> Image {
    let pixels = image.pixels.as_chunks::<3>().0;
    let mean = [0, 1, 2].map(|channel: usize| {
        let sum: u64 = pixels.iter().map(|pixel| u64::from(pixel[channel])).sum();
        (sum / pixels.len() as u64) as u8
    });
    let edge = |i: usize, side: usize| (i * side / grid) as f32;
    let (row, column) = (part / grid, part % grid);
    let [left, right] = [column, column + 1].map(|i| edge(i, image.width));
    let [top, bottom] = [row, row + 1].map(|i| edge(i, image.height));
    let mut image = image.clone();
    image.paint([left, top, right, bottom], mean, |_, _| true);
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::choose;
    use crate::model::Loading;

    static GO: AtomicBool = AtomicBool::new(false);

    #[test]
    fn parts_are_covered_once_each() {
        let white = Image::plain("x", 7, 5, [200, 100, 0]).unwrap();
        let mut black = white.clone();
        black.pixels.fill(0);
        black.pixels[0] = 255; // so that the mean is another colour: 255 / 35 = 7
        let mut seen = vec![0; 35];
        for part in 0..9 {
            let covered = covered(&black, 3, part);
            for (i, pixel) in covered.pixels.chunks(3).enumerate() {
                seen[i] += usize::from(pixel == [7, 0, 0]);
            }
        }
        assert_eq!(seen, vec![1; 35]);
        assert_eq!(covered(&white, 1, 0), white);
    }

    #[test]
    fn what_a_part_takes_is_measured_against_the_whole() {
        let name = "toy:visualrwkv7";
        let model = Model::load(name, &Loading::default(), &choose("cpu").unwrap()).unwrap();
        let image = Image::gradient(64, 64);
        let of = |answer| occlusion(&model, &image, "What?", answer, 2, &GO).unwrap();
        let found = of(Some("red"));
        assert_eq!(found.drops.shape(), [2, 2]);
        assert!(found.logprob < 0.0 && found.drops.values().iter().any(|drop| *drop != 0.0));
        // Covering a part by hand gives the same.
        let likely = |image: &Image| {
            let mut chat =
                Chat::new(model.state(), Template::default(), Options::chat(&model)).unwrap();
            chat.show(&model, image, &GO).unwrap();
            let tokens = model.tokenizer.encode(" red").unwrap();
            chat.expects(&model, &"What?".into(), &tokens, &GO).unwrap()
        };
        let drop = likely(&image) - likely(&covered(&image, 2, 3));
        assert!((drop - f64::from(found.drops.values()[3])).abs() < 1e-5);
        let plain = Image::plain("x", 8, 8, [9; 3]).unwrap();
        let found = occlusion(&model, &plain, "What?", Some("x"), 4, &GO).unwrap();
        assert!(found.drops.values().iter().all(|drop| *drop == 0.0), "nothing to cover");
        assert!(occlusion(&model, &image, "What?", None, 65, &GO).is_err());
        let stop = AtomicBool::new(true);
        assert!(occlusion(&model, &image, "What?", None, 2, &stop).is_err());
    }
}
