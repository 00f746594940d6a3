//! Pictures written as text: `data:image/png;base64,…` (RFC 2397).

use anyhow::{Result, anyhow, ensure};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, PAD};
use base64::engine::{DecodePaddingMode::Indifferent, general_purpose};

use super::Image;

/// What such a picture begins with.
pub const DATA: &str = "data:";

/// Characters of a URL that errors show.
const SHOWN: usize = 40;

/// Bytes as letters, digits, `+` and `/`.
pub fn base64(bytes: &[u8]) -> String {
    general_purpose::STANDARD.encode(bytes)
}

impl Image {
    /// Decodes a data URL; see [`Image::decode`].
    ///
    /// # Errors
    /// When it is no such URL, and as [`Image::decode`].
    pub fn of_url(url: &str) -> Result<Self> {
        let start: String = url.chars().take(SHOWN).collect();
        let parts = url.strip_prefix(DATA).and_then(|rest| rest.split_once(','));
        let (kind, text) = parts.ok_or_else(|| {
            anyhow!("`{start}` is no data URL; it should be data:image/png;base64,LETTERS.")
        })?;
        ensure!(
            kind.ends_with(";base64"),
            "`{start}` is not written in base64; pictures in data URLs have to be."
        );
        let letters: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        // Some leave out what fills up the end.
        let config: GeneralPurposeConfig = PAD.with_decode_padding_mode(Indifferent);
        let bytes = GeneralPurpose::new(&STANDARD, config).decode(letters);
        let bytes = bytes.map_err(|error| anyhow!("`{start}` is not base64: {error}."))?;
        Self::decode("the data URL", &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_may_be_written_as_text() {
        let image = Image::gradient(5, 3);
        let text = base64(&image.png().unwrap());
        for url in [
            format!("data:image/png;base64,{text}"),
            format!("data:;base64,{}", text.trim_end_matches('=')),
            format!("data:image/png;base64,\n{}\n{}", &text[..20], &text[20..]),
        ] {
            let read = Image::of_url(&url).unwrap();
            assert_eq!((read.pixels, read.name.as_str()), (image.pixels.clone(), "the data URL"));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for (url, said) in [
            ("data:image/png", "is no data URL"),
            ("data:image/svg+xml,%3Csvg%3E", "not written in base64"),
            ("data:image/png;base64,?!", "is not base64"),
            ("data:image/png;base64,aGVsbG8=", "the data URL is not a picture"),
            ("data:image/png;base64,", "the data URL is empty"),
        ] {
            let error = Image::of_url(url).unwrap_err().to_string();
            assert!(error.contains(said), "{url}: {error}");
        }
    }
}
