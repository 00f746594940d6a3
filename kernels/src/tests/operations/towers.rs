//! What vision transformers need.

use super::*;

pub fn cases([b, t, h, n]: [usize; 4]) -> Vec<Case> {
    let (m, c, out) = (b * t * h * n, h * n, 7);
    let flow = move |x: &Numbers| x.clone().reshape([b, t, c]);
    let flat = |x: Tensor<3>| x.flatten::<1>(0, 2);
    let case = |name, lengths: &[usize], [fast, plain]: [Form; 2]| {
        let lengths = lengths.to_vec();
        Case { name, lengths, fast, plain }
    };
    let projected = |f: fn(Tensor<3>, Tensor<2>, Numbers) -> Tensor<3>| {
        let weight = move |x: &Numbers| x.clone().reshape([out, c]);
        Box::new(move |x: &[Numbers]| flat(f(flow(&x[0]), weight(&x[1]), x[2].clone()))) as Form
    };
    let looked = |f: fn([Tensor<3>; 3], usize) -> Tensor<3>| {
        let own = move |x: &[Numbers]| flat(f(std::array::from_fn(|i| flow(&x[i])), h));
        Box::new(own) as Form
    };
    let bent = |form| {
        let of = |f: fn(Tensor<3>, Numbers, Gelu) -> Tensor<3>| {
            Box::new(move |x: &[Numbers]| flat(f(flow(&x[0]), x[1].clone(), form))) as Form
        };
        case("gelu", &[m, c], [of(gelu), of(gelu_plain)])
    };
    let gelus = [Gelu::Erf, Gelu::Tanh, Gelu::Quick].map(bent);
    let others = [
        case("affine", &[m, c * out, out], [projected(affine), projected(affine_plain)]),
        case("attention", &[m, m, m], [looked(attention), looked(attention_plain)]),
    ];
    gelus.into_iter().chain(others).collect()
}
