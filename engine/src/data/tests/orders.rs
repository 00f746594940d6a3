//! What comes in which order, and how sets are divided.

use std::collections::BTreeSet;

use super::*;

/// The numbers of numbered documents in the order in which they begin.
fn numbers(tokens: &str) -> Vec<usize> {
    let starts = tokens.split('<').skip(1).filter_map(|rest| rest.split_once('>'));
    starts.filter_map(|(number, _)| number.parse().ok()).collect()
}

/// The numbers of the documents of a pass of `samples` rows.
fn pass(set: &mut Dataset, samples: usize) -> Vec<usize> {
    let found = rows(set, samples).into_iter().map(|(tokens, _)| text(&tokens));
    numbers(&found.collect::<String>())
}

#[test]
fn a_pass_has_every_document_of_a_large_file_once() {
    // Eleven blocks, so that there are two parts; a document on a border belongs to one only.
    let count = 11_000;
    let path = file("passes", "lines.jsonl", numbered(count, 500));
    let everything: Vec<usize> = (0..count).collect();
    let alone = |order| Cut { pack: false, ..cut(600, order) };
    let mut straight = jsonl(&path, &alone(Order::Straight));
    assert_eq!(pass(&mut straight, count), everything);
    assert_eq!(straight.epoch(), 0);
    assert_eq!(pass(&mut straight, 5), [0, 1, 2, 3, 4]);
    assert_eq!(straight.epoch(), 1);
    let mut shuffled = jsonl(&path, &alone(Order::Shuffled));
    let (first, second) = (pass(&mut shuffled, count), pass(&mut shuffled, count));
    for order in [&first, &second] {
        assert_eq!(order.iter().copied().collect::<BTreeSet<_>>().len(), count);
        let near = order.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 100).count();
        assert!(near < count / 20, "{near} neighbours stayed close");
    }
    assert_ne!(first, second, "each pass has an order of its own");
    let other = shuffled.shuffle(4).unwrap();
    assert_ne!(pass(&mut other.clone(), 50), first[..50]);
    assert_eq!(pass(&mut other.clone(), 50), pass(&mut shuffled.shuffle(4).unwrap(), 50));
    // About 509 characters each, guessed from the first block.
    let len = shuffled.len().unwrap() as f64 / count as f64;
    assert!((500.0..515.0).contains(&len), "{len}");
}

#[test]
fn packed_documents_are_all_there_and_parted() {
    let path = file("packed", "lines.jsonl", numbered(50, 3));
    let mut set = jsonl(&path, &cut(10, Order::Straight));
    let mut all = vec![60];
    while set.epoch() == 0 {
        let (tokens, weights) = rows(&mut set, 1).remove(0);
        assert_eq!(Some(&tokens[0]), all.last(), "a row begins with the last token before");
        let counted = weights.iter().filter(|&&weight| weight > 0.0).count();
        all.extend(&tokens[1..counted]);
        if counted < tokens.len() {
            break;
        }
    }
    let expected: Vec<u32> =
        (0..50).flat_map(|n| format!("<{n}>---\0").into_bytes()).map(u32::from).collect();
    assert_eq!(all, expected);
}

#[test]
fn a_text_in_memory_is_shuffled_in_windows() {
    let mut set = Dataset::text((0..100).collect(), &cut(10, Order::Shuffled)).unwrap();
    let mut seen = BTreeSet::new();
    for (tokens, weights) in rows(&mut set, 10) {
        let counted = tokens.iter().zip(&weights).skip(1).filter(|(_, weight)| **weight > 0.0);
        seen.extend(counted.map(|(&id, _)| id));
    }
    assert_eq!(seen, (1..100).collect());
    assert_eq!((set.epoch(), rows(&mut set, 1).len(), set.epoch()), (0, 1, 1));
}

#[test]
fn rows_go_on_where_they_ended() {
    for mut set in all("lanes").into_iter().filter(|set| set.cut.order == Order::Continue) {
        let mut before: Vec<u32> = vec![];
        let (mut passes, mut longest, mut length) = (0, 0, 0);
        for step in 0..60 {
            let batch = set.next_batch(4).unwrap();
            let firsts: Vec<u32> = batch.tokens().chunks(17).map(|row| row[0]).collect();
            assert!(step > 0 || !batch.continues());
            if batch.continues() {
                assert_eq!(firsts, before, "{set:?}");
                length += 1;
                longest = longest.max(length);
            } else {
                (passes, length) = (passes + 1, 0);
            }
            before = batch.tokens().chunks(17).map(|row| row[16]).collect();
        }
        assert_eq!(passes, set.epoch() + 1);
        assert!(longest > 5, "{longest} {set:?}");
        assert!(!set.next_batch(3).unwrap().continues(), "other rows begin anew");
        assert!(set.next_batch(3).unwrap().continues());
    }
}

#[test]
fn rows_that_go_on_share_a_text_out() {
    let mut set = Dataset::text((0..100).collect(), &cut(10, Order::Continue)).unwrap();
    let starts = |set: &mut Dataset| rows(set, 2).iter().map(|row| row.0[0]).collect::<Vec<_>>();
    let steps: Vec<_> = (0..5).map(|_| starts(&mut set)).collect();
    assert_eq!(steps, [[0, 50], [10, 60], [20, 70], [30, 80], [0, 50]]);
    let error = set.next_batch(11).unwrap_err().to_string();
    assert!(error.contains("too short for 11 rows of 11 tokens"), "{error}");
    assert_eq!(starts(&mut set), [10, 60], "and the set stands where it stood");
}

#[test]
fn lines_that_go_on_are_read_to_their_end() {
    let path = file("ways", "lines.jsonl", numbered(4000, 30));
    let mut set = jsonl(&path, &cut(50, Order::Continue));
    let mut lanes = vec![String::new(); 3];
    while set.epoch() == 0 {
        let batch = rows(&mut set, 3);
        let going_on = set.epoch() == 0;
        for (lane, (tokens, _)) in lanes.iter_mut().zip(batch).filter(|_| going_on) {
            *lane += &text(&tokens[usize::from(!lane.is_empty())..]);
        }
    }
    for (lane, words) in lanes.iter().enumerate() {
        let found = numbers(words);
        assert!(found.windows(2).all(|pair| pair[0] + 1 == pair[1]), "lane {lane}: {found:?}");
        assert!(found.len() > 1200, "lane {lane} has {}", found.len());
    }
    assert_eq!(numbers(&lanes[0])[0], 0);
}

#[test]
fn the_parts_of_a_split_share_nothing() {
    let data = Dataset::text((0..100).collect(), &Cut::new(9, 1)).unwrap();
    let (mut train, mut valid) = data.split(0.8).unwrap();
    let largest = *train.next_batch(200).unwrap().tokens().iter().max().unwrap();
    let smallest = *valid.next_batch(200).unwrap().tokens().iter().min().unwrap();
    assert!(largest < smallest, "{largest} {smallest}");
    let path = file("split", "lines.jsonl", numbered(100, 10));
    for order in [Order::Straight, Order::Shuffled] {
        let set = jsonl(&path, &Cut { pack: false, ..cut(30, order) });
        let (mut train, mut valid) = set.split(0.7).unwrap();
        let mut both = [pass(&mut train, 71), pass(&mut valid, 29)].concat();
        assert_eq!((train.epoch(), valid.epoch()), (0, 0));
        both.sort_unstable();
        assert_eq!(both, (0..100).collect::<Vec<_>>());
        assert!(set.split(0.0).is_err() && set.split(1.0).is_err());
    }
    let texts: Vec<_> = (0..10).map(|n| format!("<{n}>")).collect();
    let alone = Cut { pack: false, ..cut(30, Order::Usual) };
    let set = Dataset::documents(&texts, &Tokenizer::bytes(), None, &alone).unwrap();
    let (mut train, mut valid) = set.split(0.9).unwrap();
    assert_eq!((pass(&mut valid, 2), pass(&mut train, 9).contains(&9)), (vec![9, 9], false));
    write_binidx(&place("split", "tokens"), &[(1..1001).collect()]).unwrap();
    let set = Dataset::binidx(&place("split", "tokens"), &cut(10, Order::Usual)).unwrap();
    let (mut train, mut valid) = set.split(0.5).unwrap();
    let tokens = |set: &mut Dataset| set.next_batch(90).unwrap().tokens().to_vec();
    assert!(
        tokens(&mut train).iter().max() < tokens(&mut valid).iter().filter(|&&id| id > 0).min()
    );
    assert!(set.split(0.001).is_err());
}

#[test]
fn tokens_on_disk_come_in_the_official_order() {
    write_binidx(&place("official", "tokens"), &[(1..1000).collect()]).unwrap();
    for end in ["", ".bin", ".idx"] {
        let path = place("official", &format!("tokens{end}"));
        let mut set = Dataset::binidx(&path, &cut(10, Order::Usual)).unwrap();
        assert_eq!(set.len(), Some(1000), "token 0 ends the document");
        let starts: Vec<u32> = rows(&mut set, 90).iter().map(|row| row.0[0] - 1).collect();
        // See the test of the order itself.
        assert_eq!((starts[0], starts[1], starts[89]), (550, 840, 550));
        assert_eq!(set.epoch(), 1);
    }
    // What does not fit two bytes takes four.
    write_binidx(&place("official", "wide"), &[vec![70_000, 5, 0], vec![6; 40]]).unwrap();
    let wide = Dataset::binidx(&place("official", "wide"), &cut(2, Order::Straight)).unwrap();
    assert_eq!((wide.len(), all_of(wide, 2)), (Some(44), vec![70_000, 5, 0, 0, 6, 6]));
}
