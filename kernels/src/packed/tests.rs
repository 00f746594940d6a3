use super::*;
use crate::cpu::lanes::Unit;
use crate::cpu::packed::{product_by, thin_product_by};
use crate::{
    Stream, decay, lend, linear, linear_plain, relu_squared_linear, thin_linear, thin_sigmoid,
};

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

/// How near products are: with whole numbers, what is multiplied is rounded to 16 bits.
fn near(storage: Storage) -> f32 {
    match storage {
        Storage::Bf16 | Storage::F16 => 1e-5,
        Storage::Q8 | Storage::Q4 => 3e-5,
    }
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
                assert!(apart < near(storage), "{storage:?} {dims:?}, {rows} rows: {apart:e}");
            }
        }
    }
}

/// Whatever of the inputs is zero, and however the weight lies.
#[test]
fn products_with_zeros_are_those_of_the_unpacked_numbers_on_every_unit() {
    for storage in [Storage::Bf16, Storage::F16] {
        for dims in SHAPES.into_iter().chain([[100, 1500], [33, 992], [768, 320]]) {
            let weight = Packed::of(&numbers(dims[0] * dims[1], 1), dims, storage).unwrap();
            let turned = weight.for_zeros().unwrap();
            assert_eq!(turned.values(), weight.values(), "{storage:?} {dims:?}");
            assert_eq!(turned.dims(), dims);
            assert!(turned.is_finite() && turned.for_zeros().is_none());
            let rows =
                [dims[0] - 1, 0].map(|row| weight.values()[row * dims[1]..][..dims[1]].to_vec());
            assert_eq!(turned.stored().rows(&[dims[0] - 1, 0]), rows.concat());
            for (rows, zeros) in
                ROWS.into_iter().zip([0, 1, 2, 3, 4, 50, 100, 2].into_iter().cycle())
            {
                let mut x = numbers(rows * dims[1], 2);
                let rarely = |i: usize| zeros > 0 && !(i * i).is_multiple_of(zeros + 1);
                (0..x.len()).filter(|i| rarely(*i)).for_each(|i| x[i] = 0.0);
                let read = TensorData::new(x.clone(), [1, rows, dims[1]]);
                let read = Tensor::from_data(read, &Device::flex());
                let expected = linear_plain(read, weight.tensor(&Device::flex()));
                for unit in Unit::all() {
                    let found = TensorData::new(product_by(&x, &turned, unit), [1, rows, dims[0]]);
                    let apart = far(Tensor::from_data(found, &Device::flex()), &expected);
                    assert!(apart < 1e-5, "{unit:?} {storage:?} {dims:?} {rows}: {apart:e}");
                }
            }
        }
    }
    assert!(Packed::of(&[0.5; 64], [2, 32], Storage::Q8).unwrap().for_zeros().is_none());
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
            let stream = Stream::new(x.clone(), &mut last);
            let [blended] = stream.project([(mu.clone(), weight.clone())]);
            let squared = relu_squared_linear(x.clone(), weight.clone());
            let y = linear(x.clone(), weight) + blended * 0.5 + squared.sin();
            let grads = (y.clone() * learnt([2, 5, 96], 6).detach()).sum().backward();
            let slopes = [x.grad(&grads).unwrap(), mu.grad(&grads).unwrap()];
            (y.inner(), slopes, before.grad(&grads).unwrap())
        };
        let (expected, wanted, wanted_last) = run(weight.tensor(&Device::flex()).into());
        for weight in [Some(weight.clone()), weight.for_zeros()].into_iter().flatten() {
            let (y, slopes, dlast) = run(weight.into());
            assert!(far(y, &expected) < near(storage), "{storage:?}");
            for (slope, wanted) in slopes.into_iter().zip(&wanted) {
                assert!(far(slope, wanted) < near(storage), "{storage:?}");
            }
            assert!(far(dlast, &wanted_last) < 1e-5, "{storage:?}");
        }
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
    let halves: Vec<u8> =
        values.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect();
    let packed = Packed::of(&values, [6, 40], Storage::Bf16).unwrap();
    for skipped in 0..3 {
        let bytes = [&vec![9; skipped], &halves[..], &[9]].concat();
        let range = skipped..skipped + halves.len();
        let moved = Packed::new(Arc::new(bytes), range, [6, 40], Storage::Bf16).unwrap();
        assert_eq!(moved.values(), packed.values());
        let x = tensor([1, 1, 40], 2);
        assert_eq!(far(linear(x.clone(), moved), &linear(x, packed.clone())), 0.0);
    }
    let few: Bytes = Arc::new(vec![0u8; 100]);
    assert!(Packed::new(few.clone(), 0..100, [5, 10], Storage::Bf16).is_some());
    assert!(Packed::new(few.clone(), 0..100, [5, 11], Storage::Bf16).is_none(), "too short");
    assert!(Packed::new(few.clone(), 90..110, [1, 10], Storage::Bf16).is_none(), "beyond the end");
    assert!(Packed::new(few, 0..34, [1, 31], Storage::Q8).is_none(), "no whole block");
}

/// ggml's blocks: a scale, then numbers in order (8 bits), or the first half and the second (4 bits).
#[test]
fn blocks_of_a_file_are_put_in_order() {
    let scale = |row: usize| half::f16::from_f32(0.5 + row as f32);
    let rows = 20;
    let (mut q8, mut q4, mut expected8, mut expected4) = (vec![], vec![], vec![], vec![]);
    for block in 0..rows * 2 {
        let number = |i: usize| (i * 37 + block * 11) % 255;
        q8.extend(scale(block).to_le_bytes());
        q8.extend((0..32).map(|i| (number(i) as i32 - 127) as u8));
        expected8.extend((0..32).map(|i| (number(i) as f32 - 127.0) * scale(block).to_f32()));
        q4.extend(scale(block).to_le_bytes());
        q4.extend((0..16).map(|i| (number(i) % 16 + 16 * (number(i + 16) % 16)) as u8));
        expected4.extend((0..32).map(|i| ((number(i) % 16) as f32 - 8.0) * scale(block).to_f32()));
    }
    for (bytes, expected, storage) in [(q8, expected8, Storage::Q8), (q4, expected4, Storage::Q4)] {
        let range = 0..bytes.len();
        let packed = Packed::new(Arc::new(bytes), range, [rows, 64], storage).unwrap();
        assert_eq!(packed.values(), expected, "{storage:?}");
    }
}

#[test]
fn what_is_not_finite_is_found() {
    for storage in ALL {
        let mut values = numbers(128, 1);
        assert!(Packed::of(&values, [2, 64], storage).unwrap().is_finite(), "{storage:?}");
        for odd in [f32::NAN, f32::INFINITY] {
            values[127] = odd;
            assert!(!Packed::of(&values, [2, 64], storage).unwrap().is_finite(), "{storage:?}");
        }
    }
}

/// Whatever a machine has, it finds the same products; those of whole numbers to the last digit.
#[test]
fn all_units_find_the_same() {
    for storage in ALL {
        for dims in [[3, 96], [70, 64], [129, 160]] {
            let weight = Packed::of(&numbers(dims[0] * dims[1], 1), dims, storage).unwrap();
            for rows in [1, 2, 3, 8, 9, 15] {
                let x = numbers(rows * dims[1], 2);
                let plain = product_by(&x, &weight, Unit::Plain);
                for unit in Unit::all() {
                    let found = product_by(&x, &weight, unit);
                    let apart = found.iter().zip(&plain).map(|(a, b)| (a - b).abs());
                    let apart = apart.fold(0.0, f32::max);
                    assert!(apart < 1e-5, "{unit:?} {storage:?} {dims:?} {rows}: {apart:e}");
                }
            }
        }
    }
}

/// The other way round: `[in, out]`.
#[test]
fn thin_products_are_those_of_the_unpacked_numbers_on_every_unit() {
    for storage in [Storage::Bf16, Storage::F16, Storage::Q8] {
        for dims in [[1, 1], [5, 33], [64, 100], [7, 32], [96, 768], [768, 64]] {
            let values = numbers(dims[0] * dims[1], 1);
            let Some(matrix) = Packed::of(&values, dims, storage) else { continue };
            let plain = matrix.tensor(&Device::flex());
            for rows in [1, 2, 15, 16, 33] {
                let x = tensor([1, rows, dims[0]], 2);
                let expected = linear_plain(x.clone(), plain.clone().transpose());
                let numbers = x.into_data().try_to_vec::<f32>().unwrap();
                for unit in Unit::all() {
                    let found = thin_product_by(&numbers, &matrix, unit);
                    let found = TensorData::new(found, [1, rows, dims[1]]);
                    let apart = far(Tensor::from_data(found, &Device::flex()), &expected);
                    assert!(apart < 1e-5, "{unit:?} {storage:?} {dims:?} {rows}: {apart:e}");
                }
            }
        }
    }
}

#[test]
fn what_is_around_thin_matrices_and_its_gradients_are_the_same() {
    let [down, up] = [[64, 8], [8, 64]].map(|dims| {
        let values = numbers(dims[0] * dims[1], dims[0]);
        Packed::of(&values, dims, Storage::Bf16).unwrap()
    });
    let learnt = |shape, seed| tensor::<3>(shape, seed).autodiff().require_grad();
    let run = |down: Weight, up: Weight| {
        let (x, mu, bias) = (learnt([2, 5, 64], 3), learnt([1, 1, 64], 4), learnt([1, 1, 64], 5));
        let mut last = tensor::<2>([2, 64], 6).autodiff().require_grad();
        let [thin] = Stream::new(x.clone(), &mut last).narrow([(mu.clone(), down)]);
        let (a, w) = (up.clone(), up.clone());
        let a = thin_sigmoid(thin.clone(), a, bias.clone());
        let w = decay(thin.clone(), w, bias.clone());
        let v = lend([x.clone(), a], thin.clone(), up.clone(), bias.clone());
        let y = w * v + thin_linear(thin, up);
        let grads = (y.clone() * learnt([2, 5, 64], 7).detach()).sum().backward();
        (y.inner(), [x, mu, bias].map(|x| x.grad(&grads).unwrap()))
    };
    let (y, slopes) = run(down.clone().into(), up.clone().into());
    let plain = |packed: Packed| packed.tensor(&Device::flex()).into();
    let (expected, wanted) = run(plain(down), plain(up));
    assert!(far(y, &expected) < 1e-5);
    for (slope, wanted) in slopes.into_iter().zip(&wanted) {
        assert!(far(slope, wanted) < 1e-5);
    }
}

#[test]
fn projections_together_are_those_one_by_one() {
    let device = Device::flex();
    for storage in ALL {
        // Matrices large and small, of which one is cut into many pieces and one into none.
        let matrix =
            |dims: [usize; 2]| Packed::of(&numbers(dims[0] * dims[1], dims[1]), dims, storage);
        let wide: [Weight; 3] =
            [[700, 256], [16, 256], [33, 256]].map(|dims| matrix(dims).unwrap().into());
        let thin: [Weight; 3] =
            [[256, 352], [256, 32], [256, 64]].map(|dims| matrix(dims).unwrap().into());
        for shape @ [b, _, c] in [[1, 1, 256], [2, 3, 256], [1, 15, 256], [4, 4, 256]] {
            let stream = Stream::new(tensor(shape, 2), &mut tensor([b, c], 3));
            let mus = [4, 5, 6].map(|seed| tensor::<3>([1, 1, c], seed));
            let all =
                |weights: &[Weight; 3]| [0, 1, 2].map(|i| (mus[i].clone(), weights[i].clone()));
            for (found, (mu, weight)) in stream.project(all(&wide)).into_iter().zip(all(&wide)) {
                let expected = linear_plain(stream.blend(mu), weight.plain(&device));
                assert!(far(found, &expected) < near(storage), "{storage:?} {shape:?}");
            }
            for (found, (mu, weight)) in stream.narrow(all(&thin)).into_iter().zip(all(&thin)) {
                let expected = linear_plain(stream.blend(mu), weight.plain(&device).transpose());
                assert!(far(found, &expected) < near(storage), "{storage:?} {shape:?}");
            }
        }
    }
}

/// With weights of 8 and 4 bits, a row is multiplied the same whatever rows are beside it.
#[test]
fn rows_of_whole_numbers_do_not_touch() {
    for storage in [Storage::Q8, Storage::Q4] {
        let weight = Packed::of(&numbers(200 * 96, 1), [200, 96], storage).unwrap();
        let x = numbers(15 * 96, 2);
        let all = product_by(&x, &weight, Unit::best());
        for (x, row) in x.chunks(96).zip(all.chunks(200)) {
            assert_eq!(product_by(x, &weight, Unit::best()), row, "{storage:?}");
        }
    }
}

#[test]
fn what_is_multiplied_may_be_nothing_tiny_or_no_number() {
    for storage in ALL {
        let weight = Packed::of(&numbers(5 * 64, 1), [5, 64], storage).unwrap();
        for unit in Unit::all() {
            for rows in [1, 8, 15] {
                let found = |x: f32| product_by(&vec![x; 64 * rows], &weight, unit);
                assert_eq!(found(0.0), vec![0.0; 5 * rows]);
                assert!(found(1e-41).iter().all(|y| y.abs() < 1e-38));
                assert!(found(1e30).iter().all(|y| y.is_finite()));
                for odd in [f32::NAN, f32::INFINITY] {
                    let mut x = vec![0.5; 64 * rows];
                    x[40] = odd;
                    let found = product_by(&x, &weight, unit);
                    let (first, others) = found.split_at(5);
                    assert!(first.iter().all(|y| !y.is_finite()), "{storage:?} {unit:?} {odd}");
                    assert!(others.iter().all(|y| y.is_finite()), "{storage:?} {unit:?} {odd}");
                }
            }
        }
    }
}
