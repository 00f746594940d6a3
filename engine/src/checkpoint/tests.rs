//! What the files of torch say, and that no file can do harm.

mod fuzz;
mod panels;

use super::*;
use std::io::Write;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use zip::{ZipWriter, write::SimpleFileOptions};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pth").join(name)
}

/// An empty folder of this test's own.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rwkv-{}-{test}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Everything that opening and reading does, on bytes in memory.
fn read_all(bytes: &[u8]) -> Result<usize> {
    let contents = read(bytes)?.checked(bytes.len())?;
    Ok(contents.tensors.values().map(|tensor| tensor.values(|_| bytes, |_, _| {}).len()).sum())
}

/// The one sentence that these bytes are refused with.
fn refusal(bytes: &[u8]) -> String {
    printable(&read_all(bytes).unwrap_err())
}

#[test]
fn a_pth_with_every_quirk_is_read_exactly() {
    let quirks = Checkpoint::open(&fixture("quirks.pth")).unwrap();
    let expected = Checkpoint::open(&fixture("expected.safetensors")).unwrap();
    assert!(quirks.names().eq(expected.names()));
    assert_eq!(quirks.names().count(), 19);
    for name in expected.names() {
        assert_eq!(quirks.shape(name), expected.shape(name), "{name}");
        assert_eq!(quirks.dtype(name), expected.dtype(name), "{name}");
        let (got, want) = (quirks.values(name).unwrap(), expected.values(name).unwrap());
        assert_eq!(bits(&got), bits(&want), "{name}");
    }
}

#[test]
fn a_wrapped_state_dict_is_unwrapped() {
    let nested = Checkpoint::open(&fixture("nested.pth")).unwrap();
    let expected = Checkpoint::open(&fixture("expected.safetensors")).unwrap();
    assert_eq!(nested.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(nested.values("a").unwrap(), expected.values("plain.f32").unwrap());
    assert_eq!(nested.values("b").unwrap(), expected.values("row_slice").unwrap());
    let error = nested.values("c").unwrap_err().to_string();
    assert!(error.ends_with("nested.pth has no tensor `c`; check that it is the right file."));
}

#[test]
fn every_number_type_is_decoded() {
    let decode = |dtype: Dtype, bytes: &[u8]| {
        let mut out = [f32::NAN; 2];
        dtype.decode(bytes, &mut out);
        out
    };
    assert_eq!(
        decode(Dtype::F64, &[1.5f64.to_le_bytes(), (-2f64).to_le_bytes()].concat()),
        [1.5, -2.0]
    );
    assert_eq!(
        decode(Dtype::F32, &[1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat()),
        [1.5, -2.0]
    );
    assert_eq!(decode(Dtype::F16, &[0x00, 0x3e, 0x00, 0xfc]), [1.5, f32::NEG_INFINITY]);
    assert_eq!(decode(Dtype::BF16, &[0xc0, 0x3f, 0x00, 0xc0]), [1.5, -2.0]);
    assert_eq!(
        decode(Dtype::I64, &[3i64.to_le_bytes(), (-4i64).to_le_bytes()].concat()),
        [3.0, -4.0]
    );
    assert_eq!(decode(Dtype::I32, &[3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), [3.0, -1.0]);
    assert_eq!(decode(Dtype::I16, &[3, 0, 0xff, 0xff]), [3.0, -1.0]);
    assert_eq!(decode(Dtype::I8, &[3, 0xff]), [3.0, -1.0]);
    assert_eq!(decode(Dtype::U8, &[3, 0xff]), [3.0, 255.0]);
    assert_eq!(decode(Dtype::Bool, &[0, 7]), [0.0, 1.0]);
}

#[test]
fn large_tensors_are_decoded_in_parallel_without_a_seam() {
    let path = folder("large").join("large.safetensors");
    let values: Vec<f32> = (0..200_003u32).map(|i| i as f32).collect();
    let tensors = [("x".to_string(), vec![values.len()], values.clone())];
    save(&path, &tensors, Dtype::F32, &BTreeMap::new()).unwrap();
    assert_eq!(Checkpoint::open(&path).unwrap().values("x").unwrap(), values);
}

#[test]
fn saved_is_read_back_and_the_bytes_do_not_depend_on_the_order() {
    let folder = folder("save");
    let (one, two) = (folder.join("one.safetensors"), folder.join("two.safetensors"));
    let metadata: BTreeMap<_, _> = ["b", "a", "c"].map(|k| (k.to_string(), k.repeat(2))).into();
    let mut tensors = vec![
        ("z".to_string(), vec![2, 2], vec![1.0, -2.5, f32::INFINITY, 1.003]),
        ("a".to_string(), vec![], vec![7.0]),
        ("none".to_string(), vec![0, 3], vec![]),
    ];
    save(&one, &tensors, Dtype::BF16, &metadata).unwrap();
    tensors.reverse();
    save(&two, &tensors, Dtype::BF16, &metadata).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap());

    let read = Checkpoint::open(&one).unwrap();
    assert_eq!(read.names().collect::<Vec<_>>(), ["a", "none", "z"]);
    assert_eq!(read.metadata(), &metadata);
    assert_eq!(read.dtype("z"), Some(Dtype::BF16));
    assert_eq!(read.shape("a"), Some(&[][..]));
    assert_eq!(read.values("z").unwrap(), [1.0, -2.5, f32::INFINITY, 1.0]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
}

#[test]
fn a_failed_save_leaves_everything_as_it_was() {
    let folder = folder("full");
    let path = folder.join("model.safetensors");
    fs::write(&path, "old").unwrap();
    let full = |out: &mut std::io::BufWriter<File>| {
        out.write_all(&[0; 5000])?;
        Err(std::io::Error::from(ErrorKind::StorageFull).into())
    };
    assert!(write::write_beside(&path, full).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    let error = save(&folder.join("no/x"), &[], Dtype::F32, &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("no/x cannot be written"), "{error}");
    let twice = [("x".to_string(), vec![1], vec![0.0]), ("x".to_string(), vec![1], vec![0.0])];
    assert!(save(&path, &twice, Dtype::F32, &BTreeMap::new()).is_err());
    assert!(save(&path, &[], Dtype::I64, &BTreeMap::new()).is_err());
}

#[test]
fn what_is_no_checkpoint_is_named() {
    let cases: [(&[u8], &str); 10] = [
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01", "not a checkpoint of a known kind"),
        (b"Once upon a time {", "not a checkpoint of a known kind"),
        (b"GGUF\x03\0\0\0\0\0", "GGUF"),
        (b"fmgg\x65\0\0\0\0\0", "rwkv.cpp"),
        (b"\xa3\x67version\xa1\x65model", "prefab"),
        (b"\x80\x04\x95\0\0\0\0\0\0\0\0}.", "bare Python pickle"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"<!DOCTYPE html>", "web page"),
        (b"PK\x05\x06", "empty or split zip"),
        (b"PK\x03\x04 and then nothing", "damaged or incomplete .pth"),
    ];
    for (bytes, expected) in cases {
        let error = refusal(bytes);
        assert!(error.contains(expected) && error.ends_with('.'), "{error}");
    }
}

#[test]
fn a_legacy_pth_is_read() {
    let legacy = Checkpoint::open(&fixture("legacy.pth")).unwrap();
    let expected = Checkpoint::open(&fixture("expected.safetensors")).unwrap();
    assert_eq!(legacy.container(), Container::LegacyPth);
    assert_eq!(legacy.names().count(), 4);
    for name in legacy.names() {
        assert_eq!(legacy.dtype(name), expected.dtype(name), "{name}");
        let (found, want) = (legacy.values(name).unwrap(), expected.values(name).unwrap());
        assert_eq!(bits(&found), bits(&want), "{name}");
    }
}

#[test]
fn packed_numbers_mean_what_ggml_says() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/formats");
    let bytes = fs::read(formats.join("packed.gguf")).unwrap();
    let contents = gguf::read(&bytes).unwrap();
    let expected = Checkpoint::open(&formats.join("packed.safetensors")).unwrap();
    assert_eq!(contents.tensors.len(), expected.names().count());
    for name in expected.names() {
        let stored = &contents.tensors[name];
        let (found, want) =
            (stored.values(|_| &bytes[..], |_, _| {}), expected.values(name).unwrap());
        let far = found.iter().zip(&want).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
        assert!(far.fold(0.0, f32::max) < 1e-6, "{name}");
        // Turned and cut, the numbers are the same ones.
        let column = stored.clone().transposed().unwrap().narrowed(0, 100, 1).unwrap();
        assert_eq!(column.values(|_| &bytes[..], |_, _| {}), [found[100], found[356]], "{name}");
    }
}

#[test]
fn what_cannot_be_opened_is_explained() {
    let folder = folder("doors");
    fs::write(folder.join("empty"), "").unwrap();
    fs::create_dir(folder.join("plain")).unwrap();
    let explained = |path: &Path| Checkpoint::open(path).unwrap_err().to_string();
    assert!(explained(&folder.join("plain")).contains("is a directory without a model"));
    for name in ["a.pth", "b.safetensors"] {
        fs::write(folder.join("plain").join(name), "x").unwrap();
    }
    let several = explained(&folder.join("plain"));
    assert!(several.contains("several models (a.pth, b.safetensors)"), "{several}");
    assert!(explained(&folder.join("absent")).contains("does not exist"));
    assert!(explained(&folder.join("empty")).contains("is empty"));
    if cfg!(unix) {
        assert!(explained(Path::new("/dev/zero")).contains("device or pipe"));
    }
}

#[test]
fn an_index_names_only_files_beside_it() {
    let folder = folder("index");
    let explained = |index: &str| {
        fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
        Checkpoint::open(&folder).unwrap_err().to_string()
    };
    let escaped = explained(r#"{"weight_map": {"a": "../secret.safetensors"}}"#);
    assert!(escaped.contains("no file beside it"), "{escaped}");
    let missing = explained(r#"{"weight_map": {"a": "model-1.safetensors"}}"#);
    assert!(missing.contains("model-1.safetensors is missing"), "{missing}");
    assert!(explained("{").contains("is damaged"));
    assert!(explained("{}").contains("no weight_map"));
    let part = folder.join("x-00001-of-00002.gguf");
    fs::write(&part, "GGUF").unwrap();
    let missing = Checkpoint::open(&part).unwrap_err().to_string();
    assert!(missing.contains("x-00002-of-00002.gguf is missing"), "{missing}");
}

#[test]
fn no_cut_and_no_flipped_byte_makes_it_panic() {
    let started = Instant::now();
    for name in ["quirks.pth", "nested.pth", "expected.safetensors"] {
        let whole = fs::read(fixture(name)).unwrap();
        assert!(read_all(&whole).is_ok());
        for at in 0..whole.len() {
            let cut = catch_unwind(|| read_all(&whole[..at]));
            assert!(cut.unwrap().is_err(), "{name} cut at {at} must be refused");
            for flip in [0x01, 0x80, 0xff] {
                let mut flipped = whole.clone();
                flipped[at] ^= flip;
                let outcome = catch_unwind(|| read_all(&flipped).map_err(|e| printable(&e)));
                assert!(outcome.is_ok(), "{name}, byte {at} ^ {flip}");
            }
        }
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

/// A `.pth` of this pickle and one storage of 64 bytes.
fn pth(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in [("m/data.pkl", pickle), ("m/data/0", &[0; 64])] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn int(number: i64) -> Vec<u8> {
    [&[0x8a, 8], &number.to_le_bytes()[..]].concat()
}

fn ints(numbers: &[i64]) -> Vec<u8> {
    [b"(".to_vec(), numbers.iter().flat_map(|number| int(*number)).collect(), b"t".to_vec()]
        .concat()
}

/// A `.pth` with one `f32` tensor `x`, described as the arguments say.
fn tensor(elements: i64, offset: i64, shape: &[i64], strides: &[i64]) -> Vec<u8> {
    let head = b"}X\x01\0\0\0xctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu";
    let parts = [head.to_vec(), int(elements), b"tQ".to_vec(), int(offset), ints(shape)];
    pth(&[parts.concat(), ints(strides), b"\x89NtRs.".to_vec()].concat())
}

#[test]
fn impossible_tensors_are_refused() {
    assert_eq!(read_all(&tensor(16, 0, &[4, 4], &[1, 4])).unwrap(), 16);
    assert_eq!(read_all(&tensor(16, 15, &[3], &[0])).unwrap(), 3);
    assert_eq!(read_all(&tensor(16, 99, &[0, 7], &[7, 1])).unwrap(), 0);
    let huge = 1 << 62;
    let cases = [
        (tensor(17, 0, &[1], &[1]), "its storage is shorter than it claims"),
        (tensor(huge, 0, &[1], &[1]), "its storage is too large"),
        (tensor(-1, 0, &[1], &[1]), "one of its sizes is -1"),
        (tensor(16, -1, &[1], &[1]), "one of its sizes is -1"),
        (tensor(16, 0, &[-3], &[1]), "one of its sizes is -3"),
        (tensor(16, 16, &[1], &[1]), "lead beyond its storage"),
        (tensor(16, 0, &[4, 5], &[4, 1]), "lead beyond its storage"),
        (tensor(16, 0, &[2], &[huge]), "lead beyond its storage"),
        (tensor(16, 0, &[5, 5], &[huge, huge]), "lead beyond its storage"),
        (tensor(16, huge, &[5], &[huge]), "lead beyond its storage"),
        (tensor(16, 0, &[huge, huge], &[0, 0]), "too large"),
        (tensor(16, 0, &[1 << 40], &[0]), "claims 1099511627776 numbers"),
        (tensor(16, 0, &[1; 9], &[1; 9]), "it has 9 axes"),
        (tensor(16, 0, &[1, 1], &[1]), "differ in length"),
    ];
    for (bytes, expected) in cases {
        let error = refusal(&bytes);
        assert!(error.contains(expected) && error.ends_with('.'), "{error}");
    }
}

#[test]
fn hostile_pickles_are_refused() {
    let deep = [&b")"[..], &[0x85; 1_000_000], b"."].concat();
    let wide = [&b"("[..], &b")".repeat(1_000_000), b"t."].concat();
    let cases: [(&[u8], &str); 14] = [
        (b"cos\nsystem\n(X\x02\0\0\0lstR.", "it asks for `os.system`, which is never run"),
        (b"\x8c\x02os\x8c\x06system\x93)R.", "`os.system`"),
        (&deep, "holds no tensors"),
        (&wide, "holds no tensors"),
        (b"}q\x00X\x05\0\0\0modelh\x00s.", "does not hold a dictionary of tensors"),
        (b"}.", "holds no tensors"),
        (b"X\xff\xff\xff\xff.", "it ends too early"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "it ends too early"),
        (b"\x8a\xff.", "a number of 255 bytes"),
        (b"0.", "it takes from an empty stack"),
        (b"N(0.", "it takes from an empty stack"),
        (b"Nt.", "it lacks a mark"),
        (b"h\x07.", "it recalls what it never remembered"),
        (b"i.", "unexpected opcode 0x69"),
    ];
    for (pickle, expected) in cases {
        let error = refusal(&pth(pickle));
        assert!(error.contains(expected) && error.ends_with('.'), "{error}");
    }
    assert!(refusal(&pth(&[b'N'; 5 << 20])).contains("too large"));
}

#[test]
fn compressed_entries_are_refused() {
    let mut bytes = tensor(16, 0, &[16], &[1]);
    for at in 0..bytes.len() - 12 {
        if bytes[at..].starts_with(b"PK\x01\x02") {
            bytes[at + 10] = 8; // the method: deflate
        }
    }
    assert!(refusal(&bytes).contains("`data.pkl` is compressed or encrypted"));
}

fn safetensors_of(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn lying_safetensors_headers_are_refused() {
    let one = |shape: &str, dtype: &str, end: usize| {
        format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    assert_eq!(read_all(&safetensors_of(&one("[2,2]", "F32", 16), 16)).unwrap(), 4);
    let cases = [
        (safetensors_of(&one("[2,2]", "F32", 16), 15), "damaged or incomplete"),
        (safetensors_of(&one("[2,3]", "F32", 16), 16), "damaged or incomplete"),
        (safetensors_of(&one("[9223372036854775807,4]", "F32", 16), 16), "damaged or incomplete"),
        (safetensors_of(&one("[-2,-2]", "F32", 16), 16), "damaged or incomplete"),
        (safetensors_of(&one("[2,2]", "F8_E4M3", 4), 4), "convert it to BF16"),
        (safetensors_of(&one("[1,1,1,1,1,1,1,1,1]", "F32", 4), 4), "it has 9 axes"),
        (safetensors_of(&one("[1]", "F32", 4).replace('x', "\\u001b[31m"), 4), "no model has"),
        (safetensors_of(&"{\"a\":".repeat(100_000), 0), "damaged or incomplete"),
        (b"\xff\xff\xff\xff\0\0\0\0{".to_vec(), "damaged or incomplete"),
    ];
    for (bytes, expected) in cases {
        let error = refusal(&bytes);
        assert!(error.contains(expected) && error.ends_with('.'), "{error}");
    }
}
