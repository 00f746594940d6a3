//! What the tensors of a model with pictures do not tell: it stands in the options of the script
//! that trained it, or in the header of a file that was saved here.

use serde::{Deserialize, Serialize};

use super::layout::{Layout, Pool};
use super::prompt::Placement;
use super::{Beside, Towers, Visual};
use crate::rwkv::{Version, Way};
use crate::vision::{Facts, Kind};

/// Where a header says it.
pub const TOLD: &str = "visual";

/// What the tensors do not tell; what is not said is as in the released models.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Told {
    /// Of the towers.
    pub tower: Facts,
    /// How many rows a picture becomes.
    pub pool: Option<Pool>,
    /// Whether the class row stands before the patches.
    pub class_first: Option<bool>,
    /// Whether the mean of all patches stands where a class row would.
    pub mean_row: Option<bool>,
    /// In which order blocks read the patches.
    pub way: Option<Way>,
    /// Where in a conversation the picture stands.
    pub placement: Option<Placement>,
}

impl Told {
    /// This, and what `other` says where this says nothing.
    pub fn or(self, other: Self) -> Self {
        let tower = Facts {
            heads: self.tower.heads.or(other.tower.heads),
            size: self.tower.size.or(other.tower.size),
            preprocess: self.tower.preprocess.or(other.tower.preprocess),
        };
        Self {
            tower,
            pool: self.pool.or(other.pool),
            class_first: self.class_first.or(other.class_first),
            mean_row: self.mean_row.or(other.mean_row),
            way: self.way.or(other.way),
            placement: self.placement.or(other.placement),
        }
    }

    /// The layout of a model of this version with these towers and what stands beside them.
    pub(super) fn layout(&self, version: Version, towers: &Towers, beside: Beside) -> Layout {
        let mut usual = Layout::released(version);
        // VisualRWKV 6.01 learnt forwards, and 6.10 has a mean row.
        if beside == Beside::Reversed {
            usual.way = Way::Forwards;
        }
        usual.mean_row = version == Version::V6 && towers.only() == Some(Kind::Siglip);
        Layout {
            pool: self.pool.unwrap_or(usual.pool),
            class_first: self.class_first.unwrap_or(usual.class_first),
            mean_row: self.mean_row.unwrap_or(usual.mean_row),
            way: self.way.unwrap_or(usual.way),
            placement: self.placement.unwrap_or(usual.placement),
        }
    }
}

impl Visual {
    /// All that tensors do not tell of this model.
    pub fn told(&self) -> Told {
        let Layout { pool, class_first, mean_row, way, placement } = self.layout;
        Told {
            tower: self.facts.clone(),
            pool: Some(pool),
            class_first: Some(class_first),
            mean_row: Some(mean_row),
            way: Some(way),
            placement: Some(placement),
        }
    }
}
