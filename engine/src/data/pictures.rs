//! The pictures of a batch.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use crate::visual::Reads;

/// Pictures as towers read them, and where they stand in the rows of a batch.
#[derive(Clone, Debug, Default)]
pub struct Pictures {
    /// For every tower: width and height, and the numbers of one picture after the other.
    towers: Vec<([usize; 2], Vec<f32>)>,
    /// How many pictures a tower looks at for one.
    views: usize,
    count: usize,
    /// Of every row of the batch what is shown in it, in the order of the text.
    pub rows: Vec<Vec<Shown>>,
}

/// Rows of a picture in a row of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Number of the token whose place the first of them takes.
    pub at: usize,
    /// Which rows of the picture: all of them, unless the text was cut there.
    pub rows: Range<usize>,
    /// Which picture; none where zeros fill the place of one.
    pub picture: Option<usize>,
}

impl Pictures {
    /// No pictures yet, for a model that reads pictures like this.
    pub fn new(reads: &Reads) -> Self {
        let towers = reads.preprocess.iter().map(|p| (p.size(), Vec::new())).collect();
        Self { towers, views: reads.beside.views(), count: 0, rows: Vec::new() }
    }

    /// Takes in a picture, of which there are the numbers that each tower reads; says which it is.
    pub fn add(&mut self, numbers: Vec<Vec<f32>>) -> usize {
        self.towers.iter_mut().zip(numbers).for_each(|((_, all), one)| all.extend(one));
        self.count += 1;
        self.count - 1
    }

    /// How many pictures there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Which pictures are shown in these rows, and those between.
    pub fn used(rows: &[Vec<Shown>]) -> Range<usize> {
        let used = || rows.iter().flatten().filter_map(|shown| shown.picture);
        used().min().unwrap_or(0)..used().max().map_or(0, |last| last + 1)
    }

    /// What each tower reads of these pictures, `[pictures · views, 3, height, width]`.
    pub fn pixels(&self, pictures: &Range<usize>, device: &Device) -> Vec<Tensor<4>> {
        let tensor = |([width, height], all): &([usize; 2], Vec<f32>)| {
            let one = self.views * 3 * height * width;
            let numbers = all[pictures.start * one..pictures.end * one].to_vec();
            Tensor::from_data(
                TensorData::new(numbers, [pictures.len() * self.views, 3, *height, *width]),
                device,
            )
        };
        self.towers.iter().map(tensor).collect()
    }
}
