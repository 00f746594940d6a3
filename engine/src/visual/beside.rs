//! What a few models show beside the channels of their towers, as many again.

use anyhow::{Result, ensure};
use burn::tensor::Tensor;

use crate::image::Image;
use crate::vision::Features;

/// What stands behind the channels of the towers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The rows the other way round (VisualRWKV 6.01).
    Reversed,
    /// The same place in the four quarters of the picture, each looked at as a picture of its own
    /// (VisualRWKV-UHD).
    Quarters,
}

/// A picture and its quarters.
const VIEWS: usize = 5;

impl Beside {
    /// How often the channels of the towers are there.
    pub(super) fn times(self) -> usize {
        if self == Self::Nothing { 1 } else { 2 }
    }

    /// How many pictures the towers look at for one.
    pub fn views(self) -> usize {
        if self == Self::Quarters { VIEWS } else { 1 }
    }

    /// What the towers look at for a picture: itself, and then its quarters row after row; a last
    /// column or row of an odd picture belongs to none.
    ///
    /// # Errors
    /// When the picture is too thin to have quarters.
    pub(super) fn looked_at(self, image: &Image) -> Result<Vec<Image>> {
        let mut views = vec![image.clone()];
        if self == Self::Quarters {
            let (width, height) = (image.width / 2, image.height / 2);
            ensure!(
                width > 0 && height > 0,
                "{} has no quarters; this model looks at them, too.",
                image.name
            );
            for (left, top) in [(0, 0), (width, 0), (0, height), (width, height)] {
                views.push(image.cropped(left, top, width, height)?);
            }
        }
        Ok(views)
    }

    /// The patches of a picture, with those of its quarters behind their channels:
    /// `[B · views, T, D] → [B, T, 2 D]`. Four patches of a quarter are as large as one of the whole.
    ///
    /// # Errors
    /// When the patches of a picture have no quarters.
    pub(super) fn gathered(self, features: Features) -> Result<Features> {
        if self != Self::Quarters {
            return Ok(features);
        }
        let [all, t, d] = features.patches.dims();
        let (b, grid) = (all / VIEWS, t.isqrt());
        ensure!(
            grid % 2 == 0 && grid * grid == t && features.class.is_none(),
            "{grid} × {grid} patches of a picture cannot be cut into quarters."
        );
        let half = grid / 2;
        let x = features.patches.reshape([b, VIEWS, t, d]);
        let whole = x.clone().narrow(1, 0, 1).reshape([b, t, d]);
        let x = x.narrow(1, 1, VIEWS - 1).reshape([b * 4, half, 2, half, 2, d]);
        let means = x.mean_dim(4).mean_dim(2).reshape([b, 2, 2, half, half, d]);
        let quarters = means.permute([0, 1, 3, 2, 4, 5]).reshape([b, t, d]);
        Ok(Features { class: None, patches: Tensor::cat(vec![whole, quarters], 2) })
    }

    /// The rows of a picture, with themselves the other way round behind their channels.
    pub(super) fn turned(self, rows: Tensor<3>) -> Tensor<3> {
        if self != Self::Reversed {
            return rows;
        }
        Tensor::cat(vec![rows.clone(), rows.flip([1])], 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Rows `[B, T, 1]` of these numbers.
    fn rows(b: usize, t: usize, number: impl Fn(usize, usize) -> f32) -> Tensor<3> {
        let all: Vec<f32> = (0..b * t).map(|i| number(i / t, i % t)).collect();
        Tensor::from_data(TensorData::new(all, [b, t, 1]), &Device::flex())
    }

    #[test]
    fn quarters_stand_where_they_are_in_the_picture() {
        // A grid of 4 × 4; patch `i` of view `v` of picture `p` is 1000 p + 100 v + i.
        let patches = rows(10, 16, |view, i| (1000 * (view / 5) + 100 * (view % 5) + i) as f32);
        let found = Beside::Quarters.gathered(Features { class: None, patches }).unwrap();
        let [whole, quarters] =
            [0, 1].map(|at| found.patches.clone().narrow(2, at, 1).into_data().try_to_vec::<f32>());
        let (whole, quarters) = (whole.unwrap(), quarters.unwrap());
        for p in 0..2 {
            for (y, x) in (0..4).flat_map(|y| (0..4).map(move |x| (y, x))) {
                let at = 16 * p + 4 * y + x;
                assert_eq!(whole[at], (1000 * p + 4 * y + x) as f32);
                // The mean of the four patches around the same place of this quarter.
                let view = 1 + 2 * (y / 2) + x / 2;
                let corner = 4 * (2 * (y % 2)) + 2 * (x % 2);
                let mean = (1000 * p + 100 * view + corner) as f32 + 2.5;
                assert_eq!(quarters[at], mean, "{p}: {y}, {x}");
            }
        }
        let odd = Features { class: None, patches: rows(5, 9, |_, i| i as f32) };
        assert!(Beside::Quarters.gathered(odd).is_err());
    }

    #[test]
    fn rows_stand_beside_themselves_the_other_way_round() {
        let found = Beside::Reversed.turned(rows(2, 3, |p, i| (10 * p + i) as f32));
        let found: Vec<f32> = found.into_data().try_to_vec().unwrap();
        assert_eq!(found, [0., 2., 1., 1., 2., 0., 10., 12., 11., 11., 12., 10.]);
    }

    #[test]
    fn a_picture_has_four_quarters() {
        let pixels: Vec<u8> = (0..5 * 4 * 3).map(|i| (i / 3) as u8).collect();
        let image = Image::new("odd", 5, 4, pixels).unwrap();
        let views = Beside::Quarters.looked_at(&image).unwrap();
        let firsts: Vec<u8> = views.iter().map(|view| view.pixels[0]).collect();
        assert_eq!(firsts, [0, 0, 2, 10, 12]);
        assert!(views[1..].iter().all(|view| (view.width, view.height) == (2, 2)));
        let thin = Image::new("thin", 1, 4, vec![0; 12]).unwrap();
        assert!(Beside::Quarters.looked_at(&thin).is_err());
        assert_eq!(Beside::Nothing.looked_at(&thin).unwrap().len(), 1);
    }
}
