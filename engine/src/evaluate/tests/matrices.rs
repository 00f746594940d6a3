//! Means, and what is measured of matrices.

use super::super::*;
use crate::tensor::Array;

fn matrix(rows: &[&[f32]]) -> Array {
    Array::new(&[rows.len(), rows[0].len()], rows.concat()).unwrap()
}

#[test]
fn a_mean_knows_how_sure_it_is() {
    let mean: Mean = [1.0, 2.0, 3.0, 6.0].into_iter().collect();
    assert_eq!((mean.count(), mean.value()), (4, 3.0));
    // Squared distances 4 + 1 + 0 + 9, divided by 3 and by 4.
    assert!((mean.standard_error() - (14.0 / 12.0_f64).sqrt()).abs() < 1e-12);
    let (a, b): (Mean, Mean) = ([1.0, 2.0].into_iter().collect(), [3.0, 6.0].into_iter().collect());
    let joined = a.joined(b);
    assert!((joined.value() - 3.0).abs() < 1e-12);
    assert!((joined.standard_error() - mean.standard_error()).abs() < 1e-12);
    assert_eq!(Mean::default().joined(a), a);
    assert!(Mean::default().value().is_nan() && Mean::default().standard_error().is_nan());
    let share: Mean = [true, false, true, true].into_iter().collect();
    assert_eq!(share.value(), 0.75);
    let endless: Mean = [1.0, f64::INFINITY, 2.0].into_iter().collect();
    assert_eq!((endless.value(), endless.joined(mean).value()), (f64::INFINITY, f64::INFINITY));
    assert!(endless.standard_error().is_nan());
}

#[test]
fn similarity_is_the_cosine_of_rows() {
    let a = matrix(&[&[3.0, 0.0], &[1.0, 1.0], &[0.0, 0.0]]);
    let found = similarity(&a, &matrix(&[&[0.0, 2.0], &[5.0, 0.0]])).unwrap();
    let half = 0.5f32.sqrt();
    let expected = [0.0, 1.0, half, half, 0.0, 0.0];
    assert!(found.values().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    assert!(similarity(&a, &matrix(&[&[1.0]])).is_err());
    assert!(similarity(&a, &Array::vector(vec![1.0, 2.0])).is_err());
}

#[test]
fn recall_counts_who_comes_before_the_match() {
    // Row 0 finds its column first; row 1 second; row 2 third. Columns: 0 first, 1 third, 2 second.
    let matrix_ = matrix(&[&[0.9, 0.4, 0.1], &[0.5, 0.3, 0.2], &[0.8, 0.7, 0.15]]);
    let found = recall_at_k(&matrix_, &[1, 2, 3], None).unwrap();
    let rows: Vec<f64> = found.iter().map(|one| one.rows.value()).collect();
    let columns: Vec<f64> = found.iter().map(|one| one.columns.value()).collect();
    let third = 1.0 / 3.0;
    assert!(
        rows.iter().zip([third, 2.0 * third, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12),
        "{rows:?}"
    );
    assert!(columns.iter().zip([third, 2.0 * third, 1.0]).all(|(a, b)| (a - b).abs() < 1e-12));
    // A matrix that says nothing finds nothing.
    let same = recall_at_k(&Array::full(&[4, 4], 0.5), &[1, 3], None).unwrap();
    assert!(same.iter().all(|one| one.rows.value() == 0.0 && one.columns.value() == 0.0));
}

#[test]
fn rows_may_have_several_columns() {
    let two = matrix(&[&[0.1, 0.9, 0.5, 0.2], &[0.4, 0.3, 0.2, 0.6]]);
    let found = recall_at_k(&two, &[1], Some(&[0, 0, 1, 1])).unwrap()[0].clone();
    assert_eq!(found.rows.value(), 1.0, "each row has one of its own first");
    assert_eq!((found.columns.value(), found.columns.count()), (0.5, 4));
    let refused = |ks: &[usize], matches: Option<&[usize]>| {
        recall_at_k(&two, ks, matches).unwrap_err().to_string()
    };
    assert!(refused(&[1], None).contains("2 rows and 4 columns do not pair up"));
    assert!(refused(&[1], Some(&[0])).contains("1 matches for 4 columns"));
    assert!(refused(&[1], Some(&[0, 0, 0, 2])).contains("belongs to row 2"));
    assert!(refused(&[0], Some(&[0, 0, 1, 1])).contains("1 or more"));
    let none = matrix(&[&[f32::NAN]]);
    assert!(recall_at_k(&none, &[1], None).unwrap_err().to_string().contains("NaN"));
}

#[test]
fn labels_are_looked_for_among_the_largest() {
    let logits = matrix(&[&[3.0, 2.0, 1.0], &[3.0, 2.0, 1.0], &[1.0, 1.0, 1.0]]);
    let of = |k| top_k_accuracy(&logits, &[0, 1, 0], k).unwrap().value();
    assert!((of(1) - 1.0 / 3.0).abs() < 1e-12 && (of(2) - 2.0 / 3.0).abs() < 1e-12 && of(3) == 1.0);
    let refused = |labels: &[u32], k| top_k_accuracy(&logits, labels, k).unwrap_err().to_string();
    assert!(refused(&[0, 1], 1).contains("2 labels for 3 rows"));
    assert!(refused(&[0, 1, 3], 1).contains("label 2 is 3, but the columns are 0 to 2"));
    assert!(refused(&[0, 1, 2], 0).contains("1 or more"));
}
