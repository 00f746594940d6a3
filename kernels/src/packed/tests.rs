use super::*;
use crate::{Stream, linear, linear_plain, relu_squared_linear};

const ALL: [Storage; 4] = [Storage::Bf16, Storage::F16, Storage::Q8, Storage::Q4];

/// Numbers between -1 and 1 that are the same at every run.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    let number = |i| ((i * 7919 + seed * 104_729 + i * i % 31) % 2003) as f32 / 1001.3 - 1.0;
    (0..count).map(number).collect()
}

fn tensor<const D: usize>(shape: [usize; D], seed: usize) -> Tensor<D> {
    let values = numbers(shape.iter().product(), seed);
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

/// The largest difference, measured by the largest number.
fn far<const D: usize>(a: Tensor<D>, b: &Tensor<D>) -> f32 {
    let far = (a - b.clone()).abs().max().into_scalar::<f32>();
    far / b.clone().abs().max().into_scalar::<f32>().max(1e-9)
}

/// Weights `[out, in]`: whole blocks and parts of them, fewer rows than are read side by side, one
/// more, more than a strip, and enough for several threads.
const SHAPES: [[usize; 2]; 10] = [
    [1, 1],
    [1, 32],
    [3, 31],
    [4, 64],
    [5, 96],
    [7, 33],
    [130, 65],
    [129, 160],
    [300, 256],
    [1000, 64],
];

/// Rows that are multiplied: one, those of every piece, and enough for strips.
const ROWS: [usize; 8] = [1, 2, 3, 7, 8, 15, 16, 40];

#[test]
fn products_are_those_of_the_unpacked_numbers() {
    for storage in ALL {
        for dims in SHAPES {
            let values = numbers(dims[0] * dims[1], 1);
            let Some(weight) = Packed::of(&values, dims, storage) else {
                assert_ne!(dims[1] % storage.block()[0], 0, "{storage:?} {dims:?}");
                continue;
            };
            let plain = weight.tensor(&Device::flex());
            for rows in ROWS {
                let x = tensor([1, rows, dims[1]], 2);
                let expected = linear_plain(x.clone(), plain.clone());
                let apart = far(linear(x, weight.clone()), &expected);
                assert!(apart < 1e-5, "{storage:?} {dims:?}, {rows} rows: {apart:e}");
            }
        }
    }
}

#[test]
fn what_comes_before_a_projection_and_its_gradients_are_the_same() {
    for storage in ALL {
        let weight = Packed::of(&numbers(96 * 64, 1), [96, 64], storage).unwrap();
        let learnt = |shape, seed| tensor::<3>(shape, seed).autodiff().require_grad();
        let run = |weight: Weight| {
            let (x, mu) = (learnt([2, 5, 64], 3), learnt([1, 1, 64], 4));
            let mut last = tensor::<2>([2, 64], 5).autodiff().require_grad();
            let before = last.clone();
            let blended = Stream::new(x.clone(), &mut last).project(mu.clone(), weight.clone());
            let squared = relu_squared_linear(x.clone(), weight.clone());
            let y = linear(x.clone(), weight) + blended * 0.5 + squared.sin();
            let grads = (y.clone() * learnt([2, 5, 96], 6).detach()).sum().backward();
            let slopes = [x.grad(&grads).unwrap(), mu.grad(&grads).unwrap()];
            (y.inner(), slopes, before.grad(&grads).unwrap())
        };
        let (y, slopes, dlast) = run(weight.clone().into());
        let (expected, wanted, wanted_last) = run(weight.tensor(&Device::flex()).into());
        assert!(far(y, &expected) < 1e-5, "{storage:?}");
        for (slope, wanted) in slopes.into_iter().zip(&wanted) {
            assert!(far(slope, wanted) < 1e-5, "{storage:?}");
        }
        assert!(far(dlast, &wanted_last) < 1e-5, "{storage:?}");
    }
}

#[test]
fn numbers_are_rounded_no_more_than_their_storage_does() {
    let values = numbers(64 * 64, 7);
    for (storage, most) in [
        (Storage::Bf16, 2f32.powi(-9)),
        (Storage::F16, 2f32.powi(-12)),
        (Storage::Q8, 0.004),
        (Storage::Q4, 0.13),
    ] {
        let packed = Packed::of(&values, [64, 64], storage).unwrap();
        let unpacked = packed.values();
        let far = unpacked.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far <= most * 1.01, "{storage:?}: {far}");
        // What was rounded once stays.
        assert_eq!(
            Packed::of(&packed.values(), [64, 64], storage).unwrap().values(),
            packed.values()
        );
        let rows = packed.rows(&[63, 0], &Device::flex()).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(rows, [&packed.values()[63 * 64..], &packed.values()[..64]].concat());
    }
}

/// Every number of 16 bits, but those that are none.
#[test]
fn half_precision_is_read_exactly() {
    let halves: Vec<u16> = (0..=u16::MAX).filter(|half| half & 0x7C00 != 0x7C00).collect();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    let range = 0..bytes.len();
    let packed = Packed::new(Arc::new(bytes), range, [1, halves.len()], Storage::F16).unwrap();
    for (half, value) in halves.iter().zip(packed.values()) {
        assert_eq!(half::f16::from_bits(*half).to_f32().to_bits(), value.to_bits(), "{half:x}");
    }
}

#[test]
fn numbers_may_lie_anywhere_in_a_file() {
    let values = numbers(6 * 40, 1);
    for storage in [Storage::Bf16, Storage::F16] {
        let packed = Packed::of(&values, [6, 40], storage).unwrap();
        for skipped in 0..3 {
            let bytes = [&vec![9; skipped], packed.bytes(), &[9]].concat();
            let range = skipped..skipped + packed.bytes().len();
            let moved = Packed::new(Arc::new(bytes), range, [6, 40], storage).unwrap();
            assert_eq!(moved.values(), packed.values());
        }
    }
    let few: Bytes = Arc::new(vec![0u8; 100]);
    assert!(Packed::new(few.clone(), 0..100, [5, 10], Storage::Bf16).is_some());
    assert!(Packed::new(few.clone(), 0..100, [5, 11], Storage::Bf16).is_none(), "too short");
    assert!(Packed::new(few.clone(), 90..110, [1, 10], Storage::Bf16).is_none(), "beyond the end");
    assert!(Packed::new(few, 0..34, [1, 31], Storage::Q8).is_none(), "no whole block");
}

#[test]
fn what_is_not_finite_is_found() {
    for storage in ALL {
        let packed = Packed::of(&numbers(128, 1), [2, 64], storage).unwrap();
        assert!(packed.is_finite(), "{storage:?}");
        let mut bytes = packed.bytes().to_vec();
        let [_, block] = storage.block();
        // The exponent of the last number, or of the last block's scale.
        let at = bytes.len() - block + 1;
        bytes[at] |= 0x7F;
        if storage == Storage::Bf16 {
            bytes[at - 1] |= 0x80;
        }
        let range = 0..bytes.len();
        let packed = Packed::new(Arc::new(bytes), range, [2, 64], storage).unwrap();
        assert!(!packed.is_finite(), "{storage:?}");
    }
}
