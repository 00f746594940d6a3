//! Colours for numbers and how a terminal is told them.

/// Red, green and blue.
pub type Rgb = [u8; 3];

/// How many colours a terminal knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The sixteen of every terminal.
    Sixteen,
    /// 256, of which 240 are the same everywhere.
    Indexed,
    /// All of 24 bits.
    #[default]
    Full,
}

/// Dark to light, for numbers that begin somewhere.
const RISING: [Rgb; 5] =
    [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/// Cold to warm, dark in the middle, for numbers with a sign: nothing there means nothing to see.
/// Small numbers are seen too: the first third already has half of the colour.
const SIGNED: [Rgb; 7] = [
    [160, 228, 255],
    [74, 156, 232],
    [32, 92, 168],
    [28, 30, 36],
    [168, 70, 34],
    [232, 130, 50],
    [255, 216, 124],
];

/// Colours of curves, in their order; far from each other, also for most colour-blind eyes.
const CURVES: [Rgb; 6] =
    [[86, 180, 233], [230, 159, 0], [0, 190, 140], [240, 110, 170], [240, 228, 66], [213, 94, 0]];

/// The first sixteen colours as xterm draws them.
const SIXTEEN: [Rgb; 16] = [
    [0, 0, 0],
    [205, 0, 0],
    [0, 205, 0],
    [205, 205, 0],
    [0, 0, 238],
    [205, 0, 205],
    [0, 205, 205],
    [229, 229, 229],
    [127, 127, 127],
    [255, 0, 0],
    [0, 255, 0],
    [255, 255, 0],
    [92, 92, 255],
    [255, 0, 255],
    [0, 255, 255],
    [255, 255, 255],
];

/// The colour of a share between 0 and 1.
pub fn rising(share: f64) -> Rgb {
    between(&RISING, share)
}

/// The colour of a share between -1 and 1; 0 is nearly black.
pub fn signed(share: f64) -> Rgb {
    between(&SIGNED, share / 2.0 + 0.5)
}

/// The colour of the curve with this index; after six they come again.
pub fn of_curve(index: usize) -> Rgb {
    CURVES[index % CURVES.len()]
}

fn between(stops: &[Rgb], share: f64) -> Rgb {
    let at = share.clamp(0.0, 1.0) * (stops.len() - 1) as f64;
    let low = (at as usize).min(stops.len() - 2);
    let (from, to, part) = (stops[low], stops[low + 1], at - low as f64);
    std::array::from_fn(|i| {
        (f64::from(from[i]) * (1.0 - part) + f64::from(to[i]) * part).round() as u8
    })
}

/// The escape code that makes the following text this colour.
pub fn text_in(colour: Rgb, depth: Depth) -> String {
    format!("\u{1b}[{}m", code(colour, depth, 38))
}

/// The escape code for text in one colour on a ground of another.
pub fn text_on(colour: Rgb, ground: Rgb, depth: Depth) -> String {
    format!("\u{1b}[{};{}m", code(colour, depth, 38), code(ground, depth, 48))
}

/// The escape code for the ground behind the following text.
pub fn ground(colour: Rgb, depth: Depth) -> String {
    format!("\u{1b}[{}m", code(colour, depth, 48))
}

/// Cells one after the other, each a code and what it is for; a code is written where it changes,
/// and no colour is left on at the end.
pub fn joined<T: std::fmt::Display>(cells: impl Iterator<Item = (String, T)>) -> String {
    let (mut text, mut last) = (String::new(), String::new());
    for (code, cell) in cells {
        if code != last {
            text.push_str(&code);
            last = code;
        }
        text.push_str(&cell.to_string());
    }
    if last.is_empty() { text } else { text + END }
}

/// Ends every colour.
pub const END: &str = "\u{1b}[0m";

/// The number of a colour; `layer` is 38 for text and 48 for the ground.
fn code([r, g, b]: Rgb, depth: Depth, layer: usize) -> String {
    match depth {
        Depth::Full => format!("{layer};2;{r};{g};{b}"),
        Depth::Indexed => format!("{layer};5;{}", indexed([r, g, b])),
        Depth::Sixteen => {
            let index = nearest([r, g, b], &SIXTEEN);
            let first = if index < 8 { layer - 8 } else { layer + 52 - 8 };
            format!("{}", first + index)
        }
    }
}

/// The nearest of the 6 x 6 x 6 cube and of the 24 greys, by its number among the 256.
fn indexed(colour: Rgb) -> usize {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let cube = (0..216).map(|i| [LEVELS[i / 36], LEVELS[i / 6 % 6], LEVELS[i % 6]]);
    let grey = (0..24).map(|i| [8 + 10 * i as u8; 3]);
    let all: Vec<Rgb> = cube.chain(grey).collect();
    16 + nearest(colour, &all)
}

fn nearest(colour: Rgb, all: &[Rgb]) -> usize {
    let far = |other: &Rgb| -> i32 {
        colour.iter().zip(other).map(|(a, b)| (i32::from(*a) - i32::from(*b)).pow(2)).sum()
    };
    (0..all.len()).min_by_key(|&index| far(&all[index])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_middles_are_what_they_are_called() {
        assert_eq!((rising(0.0), rising(1.0), rising(9.0)), (RISING[0], RISING[4], RISING[4]));
        assert_eq!((signed(-1.0), signed(0.0), signed(1.0)), (SIGNED[0], SIGNED[3], SIGNED[6]));
        let light = |c: Rgb| c.iter().map(|&x| u32::from(x)).sum::<u32>();
        assert!((0..10).all(|i| light(rising(f64::from(i) / 10.0)) < light(rising(1.0))));
    }

    #[test]
    fn every_depth_has_its_codes() {
        let red = [255, 0, 0];
        assert_eq!(text_in(red, Depth::Full), "\u{1b}[38;2;255;0;0m");
        assert_eq!(text_in(red, Depth::Indexed), "\u{1b}[38;5;196m");
        assert_eq!(text_in(red, Depth::Sixteen), "\u{1b}[91m");
        assert_eq!(ground([0, 205, 0], Depth::Sixteen), "\u{1b}[42m");
        assert_eq!(ground([128, 128, 128], Depth::Indexed), "\u{1b}[48;5;244m");
    }
}
