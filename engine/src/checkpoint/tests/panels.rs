//! Files whose matrices lie in panels.

use super::super::*;
use super::{folder, refusal};
use crate::device::choose;
use crate::info::{Conversion, convert};
use crate::model::{Loading, Model};
use crate::tests::fuzz;
use crate::weights::Keep;
use rwkv_kernels::Storage;
use std::sync::atomic::AtomicBool;

const NAME: &str = "blocks.1.ffn.key.weight";

fn converted(from: &Path, to: &Path, dtype: Option<Dtype>) -> Result<()> {
    let conversion = Conversion { dtype, ..Conversion::default() };
    convert(from, to, &conversion, &AtomicBool::new(false))
}

#[test]
fn a_file_in_panels_is_what_rounding_on_loading_gives() {
    let folder = folder("panels");
    let [from, to, back] =
        ["whole.safetensors", "packed.safetensors", "back.pth"].map(|name| folder.join(name));
    let place = choose("cpu").unwrap();
    let toy = Model::load("toy:rwkv7", &Loading::default(), &place).unwrap();
    toy.save(&from, Dtype::F32).unwrap();
    for (dtype, keep, storage) in
        [(Dtype::Q8, Keep::Q8, Storage::Q8), (Dtype::Q4, Keep::Q4, Storage::Q4)]
    {
        converted(&from, &to, Some(dtype)).unwrap();
        let (whole, file) = (Checkpoint::open(&from).unwrap(), Checkpoint::open(&to).unwrap());
        assert_eq!((file.dtype(NAME), file.shape(NAME)), (Some(dtype), whole.shape(NAME)));
        assert_eq!(file.dtype("blocks.1.ln1.weight"), Some(Dtype::F32));
        let rounded = Packed::of(&whole.values(NAME).unwrap(), [256, 64], storage).unwrap();
        let packed = file.packed(NAME).unwrap();
        assert_eq!((packed.storage(), packed.dims()), (storage, [256, 64]));
        assert_eq!(packed.bytes(), rounded.bytes());
        assert_eq!(file.values(NAME).unwrap(), rounded.values());
        assert!(fs::metadata(&to).unwrap().len() < fs::metadata(&from).unwrap().len() / 2);

        let load = |path: &Path, keep| {
            let loading = Loading { keep, ..Loading::default() };
            let model = Model::load(&path.to_string_lossy(), &loading, &place).unwrap();
            let tokens = [1, 2, 3];
            let read = model.forward(&tokens, &model.state(), &AtomicBool::new(false));
            (model.dtype, read.unwrap().0)
        };
        let (found, logits) = load(&to, Keep::AsStored);
        assert_eq!((found, logits), (dtype, load(&from, keep).1));

        converted(&to, &back, None).unwrap();
        let back = Checkpoint::open(&back).unwrap();
        assert_eq!(back.dtype(NAME), Some(Dtype::F16));
        let halves = rounded.values().into_iter().map(|x| half::f16::from_f32(x).to_f32());
        assert_eq!(back.values(NAME).unwrap(), halves.collect::<Vec<_>>());
    }
    let error = converted(&from, &folder.join("x.pth"), Some(Dtype::Q8)).unwrap_err();
    assert!(error.to_string().contains("only a .safetensors"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn panels_that_are_none_are_refused() {
    let folder = folder("bad-panels");
    let path = folder.join("x.safetensors");
    let values: Vec<f32> = (0..16 * 32).map(|i| i as f32).collect();
    let tensors = [("a.weight".to_string(), vec![16, 32], values)];
    let entry = Entry { name: tensors[0].0.clone(), shape: vec![16, 32], dtype: Dtype::Q8 };
    write(&path, &[entry], &BTreeMap::new(), |_| Ok((&tensors[0].2[..]).into())).unwrap();
    let good = fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&good).into_owned();
    let told = r#"[\"q8\",[16,32]]"#;
    assert!(text.contains(told), "{text}");
    for (lie, reason) in [
        (r#"[\"q8\",[32,16]]"#, "do not have the shape"),
        (r#"[\"q4\",[16,32]]"#, "do not have the shape"),
        (r#"[\"q8\",[16,64]]"#, "do not have the shape"),
        (r#"[\"q7\",[16,32]]"#, "no known type"),
        (r#"[\"q8\",[16,-2]]"#, "not understood"),
    ] {
        let at = good.windows(told.len()).position(|part| part == told.as_bytes()).unwrap();
        let bytes = [&good[..at], lie.as_bytes(), &good[at + told.len()..]].concat();
        let error = refusal(&bytes);
        assert!(error.contains(reason), "{lie}: {error}");
    }
    fuzz("panels", &good, |bytes| match super::read_all(bytes) {
        Ok(_) => true,
        Err(error) => printable(&error).is_empty(),
    });
    fs::remove_dir_all(folder).unwrap();
}
