//! Damaged checkpoints of every kind.

use super::super::*;
use crate::tests::fuzz;

/// Everything that loading does, to the last number.
fn open(bytes: &[u8]) -> Result<usize> {
    let contents = read(bytes)?.checked(bytes.len())?;
    let contents = dialect::canonical(contents)?;
    Ok(contents.tensors.values().map(|tensor| tensor.values(|_| bytes, |_, _| {}).len()).sum())
}

#[test]
fn fuzz_every_kind_of_file() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden");
    let seeds = [
        "pth/quirks.pth",
        "pth/nested.pth",
        "pth/legacy.pth",
        "pth/expected.safetensors",
        "formats/v6.fla.safetensors",
        "formats/v7.gguf",
        "formats/packed.gguf",
        "formats/v5_2.bin",
    ];
    for name in seeds {
        let seed = fs::read(golden.join(name)).unwrap();
        fuzz(name, &seed, |bytes| match open(bytes) {
            Ok(_) => true,
            Err(error) => printable(&error).is_empty(),
        });
    }
}
