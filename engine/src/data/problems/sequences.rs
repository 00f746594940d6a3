//! Problems of a few characters, without words.

use std::collections::HashSet;
use std::fmt::Write;

use anyhow::{Result, ensure};

use super::Problem;
use crate::random::Random;

/// Digits, of which any may come first.
pub(super) fn digits(count: usize, random: &mut Random) -> String {
    (0..count).map(|_| (b'0' + random.below(10) as u8) as char).collect()
}

pub(super) fn reverse(count: usize, random: &mut Random) -> Problem {
    let digits = digits(count, random);
    let target = digits.chars().rev().chain(['\n']).collect();
    Problem { prompt: digits + ",", target }
}

/// Characters of a key if there are to be `pairs` different ones.
///
/// # Errors
/// When the alphabet is too small, or has characters that part keys and values.
pub(super) fn key_length(alphabet: &str, pairs: usize) -> Result<usize> {
    let letters: HashSet<char> = alphabet.chars().collect();
    let parts = letters.iter().any(|&c| c.is_whitespace() || c == ':' || c == '?');
    ensure!(
        letters.len() >= 2 && letters.len() == alphabet.chars().count() && !parts,
        "`alphabet` must be two or more different characters without blanks, `:` and `?`, not \
         {alphabet:?}."
    );
    let enough = |length: &usize| letters.len().saturating_pow(*length as u32) >= pairs;
    Ok((1..=64).find(enough).expect("2^63 is more than there can be pairs"))
}

pub(super) fn recall(pairs: usize, alphabet: &str, key: usize, random: &mut Random) -> Problem {
    let letters: Vec<char> = alphabet.chars().collect();
    let mut keys = Vec::with_capacity(pairs);
    let mut known = HashSet::with_capacity(pairs);
    if letters.len().saturating_pow(key as u32) <= 2 * pairs {
        // Drawing anew until one is free would take long when most of them are taken.
        keys = all_keys(&letters, key);
        random.shuffle(&mut keys);
        keys.truncate(pairs);
    }
    while keys.len() < pairs {
        let drawn: String = (0..key).map(|_| *random.pick(&letters)).collect();
        if known.insert(drawn.clone()) {
            keys.push(drawn);
        }
    }
    let mut prompt = String::new();
    let asked = random.below(pairs);
    let mut target = String::new();
    for (at, key) in keys.iter().enumerate() {
        let value = random.pick(&letters);
        write!(prompt, "{key}:{value} ").expect("a string can be written to");
        if at == asked {
            target = format!("{value}\n");
        }
    }
    write!(prompt, "?{}:", keys[asked]).expect("a string can be written to");
    Problem { prompt, target }
}

/// Every key of this length.
fn all_keys(letters: &[char], length: usize) -> Vec<String> {
    let mut keys = vec![String::new()];
    for _ in 0..length {
        let longer = |key: &String| letters.iter().map(|c| format!("{key}{c}")).collect::<Vec<_>>();
        keys = keys.iter().flat_map(longer).collect();
    }
    keys
}

pub(super) fn parity(count: usize, random: &mut Random) -> Problem {
    let bits: Vec<usize> = (0..count).map(|_| random.below(2)).collect();
    let prompt = bits.iter().map(ToString::to_string).chain(["=".into()]).collect();
    Problem { prompt, target: format!("{}\n", bits.iter().sum::<usize>() % 2) }
}

pub(super) fn permutations(of: usize, steps: usize, random: &mut Random) -> Problem {
    let written = |row: &[usize]| row.iter().map(|&i| (b'1' + i as u8) as char).collect::<String>();
    let mut row: Vec<usize> = (0..of).collect();
    let mut moves = Vec::with_capacity(steps);
    for _ in 0..steps {
        let mut places: Vec<usize> = (0..of).collect();
        random.shuffle(&mut places);
        moves.push(written(&places));
        row = places.iter().map(|&place| row[place]).collect();
    }
    Problem { prompt: moves.join(" ") + "=", target: written(&row) + "\n" }
}
