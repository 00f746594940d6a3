use super::*;

fn made(shape: &[usize]) -> Named {
    let size = shape.iter().product();
    BTreeMap::from([("a.0.x".to_string(), (shape.to_vec(), vec![0.5; size]))])
}

#[test]
fn axes_of_size_one_come_and_go() {
    let (device, named) = (Device::flex(), made(&[1, 1, 3]));
    let weights = Weights::new(Source::Made(&named), &device).at("a").at(0);
    assert_eq!(weights.tensor("x", [3]).unwrap().dims(), [3]);
    assert_eq!(weights.tensor("x", [1, 1, 3]).unwrap().dims(), [1, 1, 3]);
    assert_eq!(weights.dims::<1>("x").unwrap(), [3]);
    assert!(weights.tensor("x", [1, 2]).unwrap_err().to_string().contains("[1, 1, 3]"));
}

#[test]
fn a_missing_tensor_is_named() {
    let (device, named) = (Device::flex(), made(&[3]));
    let weights = Weights::new(Source::Made(&named), &device);
    let error = weights.at("a").at(1).tensor("x", [3]).unwrap_err().to_string();
    assert!(error.contains("`a.1.x`"), "{error}");
    assert_eq!(weights.count("a"), 1);
    assert_eq!(weights.count("b"), 0);
}

#[test]
fn numbers_that_are_not_finite_are_refused() {
    let device = Device::flex();
    let named = Named::from([("x".to_string(), (vec![2], vec![1.0, f32::NAN]))]);
    let error = Weights::new(Source::Made(&named), &device).tensor("x", [2]).unwrap_err();
    assert!(error.to_string().contains("NaN"), "{error}");
}
