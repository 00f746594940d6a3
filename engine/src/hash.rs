//! What tells data from other data.

/// A number that is the same for the same bytes on every machine (FNV-1a).
pub fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_everybody() {
        assert_eq!(hash(*b""), 0xCBF2_9CE4_8422_2325);
        assert_eq!(hash(*b"a"), 0xAF63_DC4C_8601_EC8C);
    }
}
