//! The exponential, in operations that a compiler turns into vectors.

/// `eˣ` to 2 units in the last place; 0 below -87, where a float loses digits; no more
/// than at 88 above it; NaN stays NaN.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // eˣ = 2ⁿ·eʳ with r between ±½·ln 2. Adding 1.5·2²³ rounds to a whole number, which then stands
    // in the last bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let inside = x.clamp(LOWEST, HIGHEST);
    let shifted = inside.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, inside));
    let mut series = 1.0 / 5040.0;
    for factor in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        series = r.mul_add(series, factor);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < LOWEST { 0.0 } else { series * power }
}

const LOWEST: f32 = -87.0;
const HIGHEST: f32 = 88.0;

#[cfg(test)]
mod tests {
    use super::exp;

    #[test]
    fn it_is_the_exponential() {
        for i in -86_999..=87_999 {
            let x = i as f32 * 1e-3;
            let (found, true_value) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / true_value - 1.0).abs() < 2e-7, "{x}: {found} {true_value}");
        }
    }

    #[test]
    fn beyond_the_range_of_floats() {
        assert_eq!([exp(0.0), exp(-0.0), exp(-1e30), exp(f32::NEG_INFINITY)], [1.0, 1.0, 0.0, 0.0]);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(1e30) > 1e38);
    }
}
